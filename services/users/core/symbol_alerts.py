"""All rules of one symbol, and what a record does to them."""

from collections.abc import Iterable
from math import prod

import msgspec

from services.shared.events import Bar, Correction, Record, Signal, Split, Tick
from services.users.core.bars import Bars, Past
from services.users.core.condition import rounded
from services.users.core.hours import Hours
from services.users.core.instants import just_after
from services.users.core.journal import Journal, Rescaled, Watch
from services.users.core.lane import Lane, Side
from services.users.core.moment import Timeframe


class SymbolSide(Side, omit_defaults=True):
    """What a symbol remembers: the side that all prices make. Survives restarts as JSON.

    regular: the side that prices of market hours make, where rules see no others; session: the last such price and
    its time, for when there will be some. splits: (time, ratio) of those that thresholds have followed.
    """

    regular: Side | None = None
    session: tuple[float, str] | None = None
    splits: list[tuple[str, float]] = msgspec.field(default_factory=list)

    @property
    def known_before(self) -> str:
        """The time of the last record; just after that where it was a bar or a split. Bars that ended before are known.

        What was known before the very instant of a split is of the shares before it.
        """
        return max(self.time, self.bar, just_after(self.splits[-1][0]) if self.splits else "")


decode_side = msgspec.json.Decoder(SymbolSide).decode
_encode = msgspec.json.Encoder().encode


class SymbolAlerts:
    """Rules of one symbol. Feed it every record of the symbol in order; what happens stands in the journal."""

    __slots__ = ("_all", "_bar", "_bars", "_days", "_hours", "_journal", "_regular", "_side", "_symbol")

    def __init__(self, symbol: str, journal: Journal, hours: Hours, bar: Timeframe, stored: bytes = b"") -> None:
        """hours: shared, for it remembers. stored: what `state` returned, else msgspec.DecodeError is raised."""
        self._symbol, self._journal, self._hours, self._bar = symbol, journal, hours, bar
        self._side = decode_side(stored) if stored else SymbolSide()
        self._days = Bars()
        self._bars = self._days if bar == "1d" else Bars()
        self._all = self._lane(self._side)
        self._regular = None if self._side.regular is None else self._lane(self._side.regular)

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes())

    @property
    def price(self) -> float | None:
        """The price that the next one is compared with."""
        return self._side.price

    @property
    def time(self) -> str:
        """Of the last record, see `SymbolSide.known_before`."""
        return self._side.known_before

    @property
    def days(self) -> int:
        """How many completed days its rules look back."""
        return self._days.most

    @property
    def volumes(self) -> int:
        """How many final bars (of the signal bar) its rules look back, where those are not days."""
        return 0 if self._bars is self._days else self._bars.most

    @property
    def listens(self) -> bool:
        """Has any of its rules waited for silence?"""
        return self._all.listens or (self._regular is not None and self._regular.listens)

    def state(self) -> bytes:
        return _encode(self._side)

    # -- rules come and go -----------------------------------------------------------------------------------------

    def add(self, watches: Iterable[Watch], *, known: bool) -> None:
        """From the next record on these count. known: some may be there already (by id) and are replaced."""
        regular: list[Watch] = []
        others: list[Watch] = []
        for watch in watches:
            (regular if watch.rule.market_hours_only else others).append(watch)
            if known and (moved := self._other_lane(watch.rule.market_hours_only)) is not None:
                moved.remove(watch.rule.id)
        if others:
            self._all.add(others, known=known)
        if regular:
            self._regular_lane().add(regular, known=known)

    def remove(self, rule_id: str) -> None:
        """From the next record on it does not count. Unknown ids are ignored."""
        for lane in self._lanes():
            if lane.remove(rule_id) is not None:
                return

    def give(self, days: Iterable[Past], bars: Iterable[Past]) -> None:
        """The completed days, and the final bars that volumes are compared in, as they are known to stock_data."""
        self._days.replace(days)
        if self._bars is not self._days:
            self._bars.replace(bars)
        for lane in self._lanes():
            lane.settle()

    # -- records ---------------------------------------------------------------------------------------------------

    def begin_epoch(self, first: Record | Signal) -> None:
        """Positions start again at `first`: the next price sets the side, nothing is crossed by it.

        Where the clock went back (a replay began again), pauses that began later than now mean nothing, and splits
        that are yet to come are taken back.
        """
        back = first.time < self._side.time
        for lane in self._lanes():
            lane.begin_epoch(back=back)
        self._side.session = None
        if back:
            self._take_back_splits(first)
        self._journal.moved.add(self._symbol)

    def tick(self, tick: Tick) -> None:
        if self.listens:
            self.silent(tick.time)
        self._all.tick(tick)
        if self._hours.counts(tick.time):
            if self._regular is not None:
                self._regular.tick(tick)
            else:
                self._side.session = tick.price, tick.time
        self._journal.moved.add(self._symbol)

    def bar(self, bar: Bar) -> None:
        """Only final ones say anything."""
        if not bar.final:
            return
        past = Past(bar.time, bar.high, bar.low, bar.volume)
        if bar.timeframe == "1d":
            self._days.add(past)
        elif bar.timeframe == self._bar:
            self._bars.add(past)
        else:
            return
        self._all.bar(bar)
        if self._regular is not None and (bar.timeframe == "1d" or self._hours.counts(bar.time)):
            self._regular.bar(bar)
        self._journal.moved.add(self._symbol)

    def signal(self, signal: Signal) -> None:
        self._all.signal(signal)
        if self._regular is not None and self._hours.counts(signal.time):
            self._regular.signal(signal)
        self._journal.moved.add(self._symbol)

    def split(self, split: Split) -> None:
        """Thresholds and the price before follow the split, so that it moves nothing past a line."""
        self._side.splits.append((split.time, split.ratio))
        self._side.time = split.time
        self._rescale(split.ratio, split)

    def correct(self, correction: Correction) -> None:
        """Takes the last tick back: what it armed is latched again, the next tick is compared with the one before it.

        What it fired stays fired and latched, so the right price can't fire it once more. Corrections of older trades
        change nothing: later prices have spoken since.
        """
        for lane in self._lanes():
            if lane.side.seq == correction.of_seq:
                lane.take_back()
        self._journal.moved.add(self._symbol)

    def silent(self, clock: str) -> None:
        """It is `clock` by the feed and no tick has come."""
        for lane in self._lanes():
            lane.silent(clock)

    def next_silence(self) -> str | None:
        """When `silent` has something to do, at the earliest."""
        return min((due for lane in self._lanes() if (due := lane.next_silence()) is not None), default=None)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _lanes(self) -> tuple[Lane, ...]:
        return (self._all,) if self._regular is None else (self._all, self._regular)

    def _lane(self, side: Side) -> Lane:
        return Lane(self._symbol, self._journal, side, self._bar, self._days, self._bars)

    def _regular_lane(self) -> Lane:
        """The lane of market hours; it begins at the last price of them."""
        if self._regular is None:
            whole = self._side
            side = whole.regular = Side(bar=whole.bar)
            if whole.session is not None:
                side.price, side.time = whole.session
                side.low = side.high = side.price
                side.epoch, side.last = whole.epoch, whole.last
            self._regular = self._lane(side)
            self._journal.moved.add(self._symbol)
        return self._regular

    def _other_lane(self, market_hours_only: bool) -> Lane | None:
        return self._all if market_hours_only else self._regular

    def _rescale(self, ratio: float, cause: Record | Signal) -> None:
        side = self._side
        if side.session is not None:
            side.session = rounded(side.session[0] / ratio), side.session[1]
        self._days.rescale(ratio)
        if self._bars is not self._days:
            self._bars.rescale(ratio)
        users = set[str]().union(*(lane.rescale(ratio) for lane in self._lanes()))
        self._journal.rescaled += [
            Rescaled(user, self._symbol, cause.epoch, cause.seq, cause.time) for user in sorted(users)
        ]
        self._journal.moved.add(self._symbol)

    def _take_back_splits(self, first: Record | Signal) -> None:
        side = self._side
        to_come = [ratio for time, ratio in side.splits if time >= first.time]
        side.splits = [(time, ratio) for time, ratio in side.splits if time < first.time]
        if to_come:
            self._rescale(1 / prod(to_come), first)
