"""The bar as this room works with it: completed, split-adjusted, nothing but numbers and when they were final."""

from typing import NamedTuple, Protocol


class Ohlcv(Protocol):
    """What the features read of a bar; events.Bar and PastBar both have it. Prices > 0, volume >= 0 in shares."""

    @property
    def open(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float: ...


class PastBar(NamedTuple):
    """A completed bar of history. date: the session's date at the exchange; time: RFC 3339 at which it was final."""

    date: str
    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
