"""How much a rule may ask for. The gateway documents it, users decides it: one copy of the numbers for both."""

from typing import Final

MOST_CONDITIONS: Final = 5
MOST_PRICE: Final = 1e9  # exclusive, as 0 is
MOST_PERCENT: Final = 1000.0  # of a move
MOST_WINDOW_S: Final = 86_400
MOST_DAYS: Final = 366  # completed days that a high or low is compared with
MOST_TIMES: Final = 1000.0
MOST_BARS: Final = 1000
MOST_AFTER_S: Final = 86_400
MOST_COOLDOWN_S: Final = 366 * 86_400
MOST_SNOOZE_S: Final = 366 * 86_400
MOST_HYSTERESIS_PCT: Final = 50.0
MOST_MESSAGE: Final = 500
MOST_CHANNELS: Final = 10
MOST_PREVIEW_BARS: Final = 10_000
MOST_PREVIEW_TICKS: Final = 10_000
MOST_PREVIEW_FIRINGS: Final = 1000

PREDICTIONS: Final = ("buy", "sell", "hold")
TRIGGERS: Final = ("once", "every_time", "once_per_minute", "once_per_bar")
STATUSES: Final = ("active", "pending", "paused", "fired", "expired")
PLACEHOLDERS: Final = ("symbol", "price", "previous_price", "threshold", "condition", "time")
"""What a message may name in braces."""
