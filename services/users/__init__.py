"""OFFICE: accounts, alert rules, firings and notifications. Writes topic `notifications`.

Two roles, together or apart (USERS_ROLE): the API answers gRPC, the worker watches prices, so that hashing passwords
never delays an alert. They meet in the database alone.
"""
