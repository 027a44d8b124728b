"""What conditions look at: one symbol, as it stands at one record."""

from typing import Literal

from services.shared.events import Prediction
from services.users.core.bars import Bars
from services.users.core.windows import Window

Timeframe = Literal["1d", "1m"]


class Moment:
    """One object a lane, brought forward record by record.

    price: of this trade, else the last one; before: of the trade before (the same as `price` at whatever is no trade),
    None where none counts. time: RFC 3339. since: from when on the rule in hand counts ("" = always). silence: seconds
    of an open market without a trade. prediction, was, confidence: of this signal and of the one before. turns: 0 or
    1, the other one after each signal that differs from the one before.
    """

    __slots__ = (
        "bar",
        "bars",
        "before",
        "confidence",
        "days",
        "prediction",
        "price",
        "silence",
        "since",
        "time",
        "turns",
        "was",
        "windows",
    )

    def __init__(self, bar: Timeframe, days: Bars, bars: Bars, windows: dict[int, Window]) -> None:
        """bar: what once_per_bar means. days: daily bars; bars: those that volumes are compared in."""
        self.bar: Timeframe = bar
        self.days, self.bars, self.windows = days, bars, windows
        self.before: float | None = None
        self.price: float | None = None
        self.time = ""
        self.since = ""
        self.silence = 0.0
        self.prediction: Prediction | None = None
        self.was: Prediction | None = None
        self.confidence: float | None = None
        self.turns = 0

    def volume_ratio(self, count: int) -> float | None:
        """The newest final bar's volume by the average of `count` bars before it; None with fewer, or by nothing."""
        last = self.bars.last(self.time)
        average = None if last is None else self.bars.average_volume(count, last.end)
        return None if last is None or not average else last.volume / average
