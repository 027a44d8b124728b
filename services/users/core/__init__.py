"""The room's decisions, pure.

accounts.py: what an account may be. drafts.py: is this a rule? conditions.py -> rules.py -> symbol_alerts.py ->
alerts.py: does this price fire it? wording.py: what its notification says.
"""
