"""What a rule would have done, on demand: over stored bars, or over prices that somebody brings along.

Bounded: so many bars or prices, so many firings, so many at a time; the engine runs in a thread.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.shared.alert_limits import MOST_PREVIEW_BARS, MOST_PREVIEW_FIRINGS, MOST_PREVIEW_TICKS, MOST_PRICE
from services.shared.errors import FieldError
from services.shared.events import parse_time, rfc3339
from services.users.clients import Market
from services.users.core import wording
from services.users.core.asked import Asked
from services.users.core.drafts import checked, refused, timed
from services.users.core.journal import Firing
from services.users.core.preview import Price, in_old_shares, preview, records_of, ticks_of

_AT_ONCE: Final = 2
OF_BARS: Final = (
    "Daily bars: each day is its open and its close at the exchange's times; what lies between them is not known, so "
    "a line that was passed and passed back within a day is not seen. Prices are as traded on that day; the rule's "
    "own are in today's shares, and follow every split."
)
OF_TICKS: Final = "The prices that were given, each as one trade; no bars, no splits."


@dataclass(frozen=True, slots=True)
class Asking:
    """A rule, and what to run it over: ticks, where they are not None, else stored bars (dates; empty = all)."""

    rule: Asked
    start: str = ""
    end: str = ""
    ticks: Sequence[tuple[str, float]] | None = None


class Fired(msgspec.Struct, frozen=True):
    """As its notification would have said. time: RFC 3339."""

    time: str
    price: float
    previous_price: float | None
    condition: str
    threshold: float | None
    message: str


class Previewed(msgspec.Struct, frozen=True):
    """firings: oldest first; more: there would have been others. prices: how many were looked at, from first to last.

    resolution: what can't be seen this way, for people.
    """

    symbol: str
    firings: list[Fired]
    more: bool
    prices: int
    first: str | None
    last: str | None
    resolution: str


@dataclass(frozen=True, slots=True)
class Previews:
    market: Market
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def run(self, asked: Asking) -> Previewed:
        """Raises InvalidInput, NotFound (unknown symbol), Unavailable."""
        draft = checked(asked.rule)
        if draft.source != "prices":
            raise refused([FieldError("conditions", "must be on prices: predictions are not kept")])
        draft = timed(asked.rule, draft, "")
        symbol = await self.market.symbol(draft.symbol)
        rule = draft.rule("preview", "", symbol)
        if asked.ticks is not None:
            records, resolution = ticks_of(symbol, _prices(asked.ticks)), OF_TICKS
        else:
            bars = await self.market.bars(symbol, asked.start, asked.end, MOST_PREVIEW_BARS)
            rule, records, resolution = in_old_shares(rule, bars), records_of(symbol, "1d", bars), OF_BARS
        async with self.gate:
            found = await asyncio.to_thread(preview, rule, records, "1d", MOST_PREVIEW_FIRINGS)
        fired = [_fired(each) for each in found.firings]
        return Previewed(symbol, fired, found.more, found.prices, found.first or None, found.last or None, resolution)


def _fired(firing: Firing) -> Fired:
    condition, message = firing.condition.type, wording.message(firing)
    return Fired(firing.time, firing.price, firing.before, condition, firing.threshold, message)


def _prices(ticks: Sequence[tuple[str, float]]) -> list[Price]:
    """Checks times, their order, and prices. Raises InvalidInput."""
    if len(ticks) > MOST_PREVIEW_TICKS:
        raise refused([FieldError("ticks", f"must be up to {MOST_PREVIEW_TICKS}")])
    found: list[Price] = []
    for number, (time, price) in enumerate(ticks):
        try:
            when = rfc3339(parse_time(time))
        except (ValueError, OverflowError):
            raise refused([FieldError(f"ticks.{number}.time", "must be a time with its offset")]) from None
        if found and when < found[-1].time:
            raise refused([FieldError(f"ticks.{number}.time", "must not be before the one above it")])
        if not 0 < price < MOST_PRICE:
            raise refused([FieldError(f"ticks.{number}.price", "must be a price above 0")])
        found.append(Price(when, price))
    return found
