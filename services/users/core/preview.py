"""What a rule would have done: the same engine, over records made from stored bars or from somebody's own prices.

A daily bar is two prices, as a replay tells it: its open and its close, then its final bar. What happened between them
nobody knows, so a line that was crossed and crossed back within a day is not seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from services.shared.events import Bar, Record, Split, Tick, seconds
from services.users.core.alerts import Alerts
from services.users.core.journal import Firing, Watch
from services.users.core.moment import Timeframe
from services.users.core.rules import Rule

_EPOCH: Final = "preview"
_LARGEST_PART: Final = 100  # of a split: 3:2, 20:1, 1:50


@dataclass(frozen=True, slots=True)
class PastBar:
    """A final bar as traded. start, end: RFC 3339. shares: how many of today's shares one of its shares has become."""

    date: str
    start: str
    end: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    shares: float = 1.0


@dataclass(frozen=True, slots=True)
class Price:
    """time: RFC 3339, six decimals."""

    time: str
    price: float


@dataclass(frozen=True, slots=True)
class Preview:
    """firings: the first ones; more: there would have been others.

    prices: how many were looked at; first, last: times of the first and the last record.
    """

    firings: Sequence[Firing]
    more: bool
    prices: int
    first: str
    last: str


def preview(rule: Rule, records: Iterable[Record], bar: Timeframe, most: int) -> Preview:
    """What `rule` would have done, counting from the first record on. At most `most` firings are listed."""
    alerts, firings = Alerts(bar=bar), list[Firing]()
    alerts.add([Watch(rule)])
    journal, prices, first, last = alerts.journal, 0, "", ""
    for record in records:
        alerts.apply(record, new_epoch=not last)
        if isinstance(record, Tick):
            prices += 1
        first, last = first or record.time, record.time
        if journal.firings:
            firings += journal.firings
        journal.clear()
        if len(firings) > most:
            break
    return Preview(firings[:most], len(firings) > most, prices, first, last)


def in_old_shares(rule: Rule, bars: Sequence[PastBar]) -> Rule:
    """A rule whose prices are in today's shares, at the prices of the first bar: splits bring it to today's again."""
    return rule.after_split(1 / bars[0].shares) if bars and bars[0].shares != 1 else rule


def records_of(symbol: str, timeframe: Timeframe, bars: Iterable[PastBar]) -> Iterator[Record]:
    """Open, close and final bar of each, and a split wherever a share has become another number of them."""
    seq, shares = 0, 0.0
    for bar in bars:
        if shares and bar.shares != shares:
            seq += 1
            ratio = float(Fraction(shares / bar.shares).limit_denominator(_LARGEST_PART))
            yield Split(symbol=symbol, ratio=ratio, effective=bar.date, epoch=_EPOCH, seq=seq, time=bar.start)
        shares = bar.shares
        yield _tick(symbol, seq + 1, bar.start, bar.open)
        yield _tick(symbol, seq + 2, bar.end, bar.close)
        seq += 3
        yield Bar(
            symbol=symbol,
            timeframe=timeframe,
            start=bar.start,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            final=True,
            epoch=_EPOCH,
            seq=seq,
            time=bar.end,
            date=bar.date,
        )


def ticks_of(symbol: str, prices: Iterable[Price]) -> Iterator[Record]:
    """Prices in the order of their times."""
    for seq, each in enumerate(prices, start=1):
        yield _tick(symbol, seq, each.time, each.price)


def _tick(symbol: str, seq: int, time: str, price: float) -> Tick:
    return Tick(symbol=symbol, price=price, timestamp=seconds(time), epoch=_EPOCH, seq=seq, time=time)
