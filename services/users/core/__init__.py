"""The room's decisions, pure: accounts.py (what may be one), conditions.py -> rules.py -> symbol_alerts.py -> alerts.py
(does this price fire?), drafts.py (is this a rule?), wording.py (what a notification says).
"""
