"""What this room tells Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RULES: Final = Gauge("users_rules_watched", "Alert rules that this process watches", ["source"])
FIRINGS: Final = Counter("users_firings", "Alert rules that fired and were stored")
TAKEN: Final = Counter("users_rules_taken", "New, changed and deleted rules taken in by the owner of their symbol")
STORE_SECONDS: Final = Histogram(
    "users_store_seconds", "Time to write firings and their notifications, before the commit"
)
PUBLISHED: Final = Counter("users_notifications_published", "Notifications acknowledged by Kafka")
LOGINS: Final = Counter("users_logins", "Logins by how they ended", ["outcome"])
REFRESHES: Final = Counter("users_refreshes", "Refresh tokens shown, by what they were", ["outcome"])
REGISTRATIONS: Final = Counter("users_registrations", "Accounts made")
HASHING: Final = Gauge("users_passwords_in_hand", "Passwords being hashed or waiting for it")
DELIVERIES: Final = Counter(
    "users_deliveries",
    "Attempts to deliver beyond the socket, by kind of channel and how they ended",
    ["kind", "status"],
)
