"""Is this quote a tick? The one place that says so.

A feed brings raw quotes; `Gate.judge` makes each a clean one or refuses it with a word. Refused quotes are counted and
leave no trace in the numbering: a symbol's seq has no holes.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Final

import msgspec

from services.shared import symbols
from services.shared.errors import InvalidInput
from services.stock_data.core import instants

MAX_PRICE: Final = 1e9
"""No share has ever cost that much: a price at or above it is an error of the feed."""


class Quote(msgspec.Struct, frozen=True, gc=False):
    """A trade as a feed tells it. price: a share's, as traded; time: an instant; volume: shares, None = unknown."""

    symbol: str
    price: float
    time: int
    volume: float | None = None
    trade_id: str | None = None


class Refusal(StrEnum):
    """Why a quote is no tick."""

    BAD_SYMBOL = "bad_symbol"
    BAD_TIME = "bad_time"
    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    ABSURD = "absurd"
    BAD_VOLUME = "bad_volume"
    LATE = "late"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Limits:
    """max_jump: how many times dearer or cheaper than the last price a price may be, None = any. A jump that
    `confirmed_by` quotes in a row agree on is real. remembered_trades: ids a symbol that repeats are known by."""

    max_jump: float | None = 20.0
    confirmed_by: int = 3
    remembered_trades: int = 1024


@dataclass(slots=True)
class _Symbol:
    """What the gate remembers of one symbol."""

    time: int
    price: float
    doubted: float = 0.0
    doubts: int = 0
    trades: OrderedDict[str, None] = field(default_factory=OrderedDict)


class Gate:
    """Lets ticks in, in order of time for each symbol. `refused` counts what it turned away."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.refused: Counter[Refusal] = Counter()
        self._limits = limits or Limits()
        self._names: dict[str, str] = {}
        self._symbols: dict[str, _Symbol] = {}

    def judge(self, quote: Quote) -> Quote | Refusal:
        """The quote with its symbol normalised, or the reason why it is no tick."""
        verdict = self._judge(quote)
        if isinstance(verdict, Refusal):
            self.refused[verdict] += 1
        return verdict

    def _judge(self, quote: Quote) -> Quote | Refusal:
        name = self._names.get(quote.symbol) or self._learn(quote.symbol)
        if name is None:
            return Refusal.BAD_SYMBOL
        if (wrong := _wrong_numbers(quote)) is not None:
            return wrong
        known = self._symbols.get(name)
        if known is None:
            known = self._symbols[name] = _Symbol(quote.time, quote.price)
        elif quote.trade_id is not None and quote.trade_id in known.trades:
            return Refusal.DUPLICATE
        elif quote.time < known.time:
            return Refusal.LATE
        elif not self._plausible(known, quote.price):
            return Refusal.ABSURD
        known.time, known.price = quote.time, quote.price
        if quote.trade_id is not None:
            known.trades[quote.trade_id] = None
            if len(known.trades) > self._limits.remembered_trades:
                known.trades.popitem(last=False)
        return quote if name == quote.symbol else msgspec.structs.replace(quote, symbol=name)

    def _learn(self, raw: str) -> str | None:
        try:
            name = symbols.normalise(raw)
        except InvalidInput:
            return None
        self._names[raw] = name
        return name

    def _plausible(self, known: _Symbol, price: float) -> bool:
        """Near enough to the last price, or the last of enough quotes in a row that agree on a new one."""
        most = self._limits.max_jump
        if most is None or known.price / most <= price <= known.price * most:
            known.doubts = 0
            return True
        agrees = known.doubts > 0 and known.doubted / 2 <= price <= known.doubted * 2
        known.doubted, known.doubts = price, known.doubts + 1 if agrees else 1
        if known.doubts < self._limits.confirmed_by:
            return False
        known.doubts = 0
        return True


def _wrong_numbers(quote: Quote) -> Refusal | None:
    price, volume = quote.price, quote.volume
    if not isfinite(price):
        return Refusal.NOT_FINITE
    if price <= 0:
        return Refusal.NOT_POSITIVE
    if price >= MAX_PRICE:
        return Refusal.ABSURD
    if volume is not None and not (isfinite(volume) and volume >= 0):
        return Refusal.BAD_VOLUME
    if not instants.EARLIEST <= quote.time < instants.LATEST:
        return Refusal.BAD_TIME
    return None
