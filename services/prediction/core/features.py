"""The one definition of what the model sees of a symbol, for training and live alike.

`Features` takes completed bars one after the other and answers one row each; history is the same object fed in a loop
(`fold`), so a row can't differ between the two. Rows have no unit and no scale: prices count only as ratios, returns
are in units of the symbol's own volatility, so one model serves every symbol and a split changes nothing.
"""

from collections.abc import Iterable
from math import log, sqrt
from typing import Final

import msgspec

from services.prediction.core.bars import Ohlcv
from services.prediction.core.indicators import Ema, Highest, Rsi, Sma, Std, Volatility, Window

NAMES: Final = (
    "return_1",  # log returns over 1, 2, 5, 10, 21 bars / (volatility x root of the span)
    "return_2",
    "return_5",
    "return_10",
    "return_21",
    "gap",  # log(open / close before) / volatility
    "range",  # log(high / low) / volatility
    "range_ratio",  # the range / its mean of 20 bars
    "close_place",  # where in the bar's range it closed, 0 low - 1 high
    "volume_change",  # log(volume / volume before)
    "volume_ratio",  # log(volume / mean volume of 20 bars)
    "sma_10",  # log(close / moving average) / (volatility x root of the span)
    "sma_20",
    "sma_50",
    "ema_12_26",  # log(fast / slow) / volatility
    "rsi_14",  # 0-1
    "place_20",  # where in the range of highs and lows of 20 and 50 bars it closed, 0-1
    "place_50",
    "log_volatility",  # of the EWMA
    "volatility_ratio",  # log(deviation of 10 returns / EWMA volatility)
)
WARM_UP: Final = 51
"""Bars before the first row, that one's included."""
DEFINITION: Final = "1"
"""To be raised with any change of the rows' meaning: stored states and models of another definition are not used."""

_FLOOR: Final = 1e-4  # of volatility per bar: a price that stands still must not turn noise into huge numbers
_MOST: Final = 100.0  # times that a volume may differ from what it is compared with, so that a day of 0 stays a number
_ROOTS: Final = tuple(sqrt(span) for span in (2, 5, 10, 21, 10, 20, 50))


class Row(msgspec.Struct, frozen=True):
    """values: in the order of NAMES. volatility: per bar, > 0; the unit that forecasts are in. close: of that bar."""

    values: tuple[float, ...]
    volatility: float
    close: float


class Features(msgspec.Struct):
    """State of one symbol. Exact in bytes: `to_bytes`, `from_bytes`; a restored one goes on with the same rows."""

    closes: Window = msgspec.field(default_factory=lambda: Window(22))
    volume: float = 0.0
    volumes: Sma = msgspec.field(default_factory=lambda: Sma(20))
    ranges: Sma = msgspec.field(default_factory=lambda: Sma(20))
    sma_10: Sma = msgspec.field(default_factory=lambda: Sma(10))
    sma_20: Sma = msgspec.field(default_factory=lambda: Sma(20))
    sma_50: Sma = msgspec.field(default_factory=lambda: Sma(50))
    ema_12: Ema = msgspec.field(default_factory=lambda: Ema(12))
    ema_26: Ema = msgspec.field(default_factory=lambda: Ema(26))
    rsi: Rsi = msgspec.field(default_factory=lambda: Rsi(14))
    volatility: Volatility = msgspec.field(default_factory=lambda: Volatility(decay=0.94, seed=20))
    deviation: Std = msgspec.field(default_factory=lambda: Std(10))
    high_20: Highest = msgspec.field(default_factory=lambda: Highest(20))
    low_20: Highest = msgspec.field(default_factory=lambda: Highest(20))
    high_50: Highest = msgspec.field(default_factory=lambda: Highest(50))
    low_50: Highest = msgspec.field(default_factory=lambda: Highest(50))
    count: int = 0

    def update(self, bar: Ohlcv) -> Row | None:
        """Take the next completed bar; its row, or None while warming up."""
        close, high, low, volume = bar.close, bar.high, bar.low, bar.volume
        before = self.closes.back(0)
        self.count += 1
        self.closes.update(close)
        volume_change = _times(volume, self.volume)
        self.volume = volume
        volume_ratio = _times(volume, self.volumes.update(volume))
        spread = log(high / low)
        usual_spread = self.ranges.update(spread)
        sma_10, sma_20, sma_50 = self.sma_10.update(close), self.sma_20.update(close), self.sma_50.update(close)
        fast, slow = self.ema_12.update(close), self.ema_26.update(close)
        rsi = self.rsi.update(close)
        high_20, low_20 = self.high_20.update(high), -self.low_20.update(-low)
        high_50, low_50 = self.high_50.update(high), -self.low_50.update(-low)
        if self.count == 1:
            return None
        last_return = log(close / before)
        volatility = max(self.volatility.update(last_return), _FLOOR)
        deviation = max(self.deviation.update(last_return), _FLOOR)
        if self.count < WARM_UP:
            return None
        back = self.closes.back
        root_2, root_5, root_10, root_21, sma_root_10, sma_root_20, sma_root_50 = _ROOTS
        return Row(
            (
                last_return / volatility,
                log(close / back(2)) / (volatility * root_2),
                log(close / back(5)) / (volatility * root_5),
                log(close / back(10)) / (volatility * root_10),
                log(close / back(21)) / (volatility * root_21),
                log(bar.open / before) / volatility,
                spread / volatility,
                spread / usual_spread if usual_spread > 0.0 else 1.0,
                _place(close, low, high),
                volume_change,
                volume_ratio,
                log(close / sma_10) / (volatility * sma_root_10),
                log(close / sma_20) / (volatility * sma_root_20),
                log(close / sma_50) / (volatility * sma_root_50),
                log(fast / slow) / volatility,
                rsi / 100.0,
                _place(close, low_20, high_20),
                _place(close, low_50, high_50),
                log(volatility),
                log(deviation / volatility),
            ),
            volatility,
            close,
        )

    def split(self, ratio: float) -> None:
        """Each share became `ratio` new ones: read all older prices as divided by it, volumes as multiplied."""
        price = 1.0 / ratio
        for held in (self.closes, self.sma_10, self.sma_20, self.sma_50, self.ema_12, self.ema_26, self.rsi):
            held.scale(price)
        for extreme in (self.high_20, self.low_20, self.high_50, self.low_50):
            extreme.scale(price)
        self.volumes.scale(ratio)
        self.volume *= ratio

    def to_bytes(self) -> bytes:
        return _encode(self)

    @classmethod
    def from_bytes(cls, state: bytes) -> "Features":
        """Raises msgspec.DecodeError for what is no state."""
        return _decode(state)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Features).decode


def fold(bars: Iterable[Ohlcv]) -> tuple[Features, list[Row | None]]:
    """The state after `bars` (oldest first) and the row of each."""
    features = Features()
    return features, [features.update(bar) for bar in bars]


def _times(value: float, usual: float) -> float:
    """Log of how many times `usual` the volume `value` is, within the bounds that 0 shares would break."""
    if not usual > 0.0:
        return 0.0
    return log(min(max(value / usual, 1.0 / _MOST), _MOST))


def _place(close: float, low: float, high: float) -> float:
    return (close - low) / (high - low) if high > low else 0.5
