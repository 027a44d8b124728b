"""What an API key may do. A login may do everything that its account may."""

from enum import StrEnum


class Scope(StrEnum):
    """The value is the word that people write; the docstring of each says what it opens."""

    READ = "read"
    """Reads market data and predictions, and one's own alerts, notifications, channels and watchlist; joins rooms."""

    ALERTS = "alerts"
    """Makes, changes and deletes one's own alerts, channels and watchlist, and marks notifications as read."""

    ACCOUNT = "account"
    """Reads and changes the profile (address and password with the current password, as always)."""

    OPERATE = "operate"
    """What operators do: uploads, training, caches, metrics. The account must be an operator's, too."""
