"""All rules of one symbol, and what a record does to them.

A rule can change its mind only where the price passes one of its lines, so a tick looks at the lines between the price
before and this one, and at the few rules that are due for another reason: new ones that hold already (`_fresh`), those
that expire or have cooled down (`_timers`). Looking at a rule more often than needed changes nothing.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from math import prod

import msgspec

from services.shared.events import Correction, Record, Split, Tick
from services.users.core.conditions import Way, rounded
from services.users.core.journal import Firing, Journal, Rescaled, Watch
from services.users.core.rules import Outcome, decide, may_act
from services.users.core.thresholds import Thresholds


class Side(msgspec.Struct, omit_defaults=True):
    """What a symbol remembers between ticks; survives restarts as JSON.

    price: of the tick before, None where none counts (the first one ever, or of a new epoch). low, high: the prices
    that rules have been looked at for. before, seq, rearmed: what the last tick found and did, for a
    correction to undo. splits: (time, ratio) of those that thresholds have followed.
    """

    price: float | None = None
    low: float | None = None
    high: float | None = None
    time: str = ""
    before: float | None = None
    seq: int = 0
    rearmed: list[tuple[str, Way]] = []
    splits: list[tuple[str, float]] = []


_decode_side = msgspec.json.Decoder(Side).decode
_encode = msgspec.json.Encoder().encode


class SymbolAlerts:
    """Rules of one symbol. Feed it every record of the symbol in order; what happens stands in the journal."""

    __slots__ = ("_fresh", "_journal", "_lines", "_next_slot", "_side", "_slots", "_symbol", "_timers", "_watches")

    def __init__(self, symbol: str, journal: Journal, stored: bytes = b"") -> None:
        """stored: what `state` returned. Raises msgspec.DecodeError for anything else."""
        self._symbol = symbol
        self._journal = journal
        self._side = _decode_side(stored) if stored else Side()
        self._lines = Thresholds()
        self._watches: dict[int, Watch] = {}
        self._slots: dict[str, int] = {}
        self._next_slot = 0
        self._fresh: set[int] = set()
        self._timers: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def price(self) -> float | None:
        """The price that the next one is compared with."""
        return self._side.price

    def state(self) -> bytes:
        return _encode(self._side)

    # -- rules come and go -----------------------------------------------------------------------------------------

    def add(self, watches: Iterable[Watch]) -> None:
        """From the next record on these count. A rule that is there already (by id) is replaced."""
        added = [(self._enter(watch), watch.rule.lines()) for watch in watches]
        if len(added) > len(self._watches) // 2:
            self._lines.replace((slot, watch.rule.lines()) for slot, watch in self._watches.items())
        else:
            for slot, lines in added:
                self._lines.add(slot, lines)

    def remove(self, rule_id: str) -> None:
        """From the next record on it does not count. Unknown ids are ignored."""
        slot = self._slots.get(rule_id)
        if slot is not None:
            self._leave([slot])

    def _enter(self, watch: Watch) -> int:
        self.remove(watch.rule.id)
        slot, self._next_slot = self._next_slot, self._next_slot + 1
        self._watches[slot] = watch
        self._slots[watch.rule.id] = slot
        seen = self._side.high
        if seen is None or may_act(watch.rule, watch.state, seen):
            self._fresh.add(slot)
        if watch.rule.expires_at is not None:
            heappush(self._timers, (watch.rule.expires_at, slot))
        return slot

    def _leave(self, slots: list[int]) -> None:
        gone = [(slot, self._watches.pop(slot)) for slot in slots]
        for slot, watch in gone:
            del self._slots[watch.rule.id]
            self._fresh.discard(slot)
        self._lines.remove([(slot, watch.rule.lines()) for slot, watch in gone])

    # -- records ---------------------------------------------------------------------------------------------------

    def begin_epoch(self, first: Record) -> None:
        """Positions start again at `first`: the next price sets the side, nothing is crossed by it.

        Where the clock went back (a replay began again), pauses that began later than now mean nothing, and splits
        that are yet to come are taken back.
        """
        side = self._side
        side.price = side.before = None
        side.seq = 0
        side.rearmed = []
        if first.time < side.time:
            self._end_pauses()
            self._take_back_splits(first)
        self._journal.moved.add(self._symbol)

    def tick(self, tick: Tick) -> None:
        side, price = self._side, tick.price
        due = self._due(tick)
        if side.rearmed:
            side.rearmed = []
        if due:
            self._look(due, tick)
        side.before, side.seq = side.price, tick.seq
        side.price = side.low = side.high = price
        side.time = tick.time
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
        side = self._side
        if not side.seq or correction.of_seq != side.seq:
            return
        for rule_id, way in side.rearmed:
            slot = self._slots.get(rule_id)
            if slot is not None:
                watch = self._watches[slot]
                watch.state.way = way
                self._journal.changed[rule_id] = watch
                self._fresh.add(slot)
        if side.before is not None and side.price is not None:
            side.low, side.high = min(side.price, side.before), max(side.price, side.before)
        side.price = side.before
        side.seq = 0
        side.rearmed = []
        self._journal.moved.add(self._symbol)

    def _rescale(self, ratio: float, cause: Record) -> None:
        side = self._side
        for name in ("price", "low", "high", "before"):
            if (price := getattr(side, name)) is not None:
                setattr(side, name, rounded(price / ratio))
        for watch in self._watches.values():
            watch.rule = watch.rule.after_split(ratio)
            self._journal.changed[watch.rule.id] = watch
        self._lines.replace((slot, watch.rule.lines()) for slot, watch in self._watches.items())
        users = sorted({watch.rule.user_id for watch in self._watches.values()})
        self._journal.rescaled += [Rescaled(user, self._symbol, cause.epoch, cause.seq, cause.time) for user in users]
        self._journal.moved.add(self._symbol)

    def _end_pauses(self) -> None:
        for slot, watch in self._watches.items():
            if watch.state.cooling_until:
                watch.state.cooling_until = ""
                self._journal.changed[watch.rule.id] = watch
                self._fresh.add(slot)

    def _take_back_splits(self, first: Record) -> None:
        side = self._side
        to_come = [ratio for time, ratio in side.splits if time >= first.time]
        side.splits = [(time, ratio) for time, ratio in side.splits if time < first.time]
        if to_come:
            self._rescale(1 / prod(to_come), first)

    def _due(self, tick: Tick) -> set[int]:
        """The rules that this tick may concern."""
        side, price = self._side, tick.price
        due: set[int] = set()
        if self._fresh:
            due, self._fresh = self._fresh, set()
        if self._timers and self._timers[0][0] <= tick.time:
            due |= self._expire(tick.time)
        low, high = side.low, side.high
        if low is not None and high is not None and not low == price == high:
            due.update(self._lines.between(min(low, price), max(high, price)))
        return due

    def _expire(self, time: str) -> set[int]:
        """Takes out rules whose time is over; returns the ones that may have cooled down."""
        over: list[int] = []
        due: set[int] = set()
        while self._timers and self._timers[0][0] <= time:
            _, slot = heappop(self._timers)
            watch = self._watches.get(slot)
            if watch is None or slot in over:
                continue
            if watch.rule.expires_at is not None and watch.rule.expires_at <= time:
                watch.status = "expired"
                self._journal.changed[watch.rule.id] = watch
                over.append(slot)
            else:
                watch.waiting = False
                due.add(slot)
        if over:
            self._leave(over)
        return due.difference(over)

    def _look(self, due: set[int], tick: Tick) -> None:
        side, price, time = self._side, tick.price, tick.time
        firings: list[Firing] = []
        over: list[int] = []
        for slot in due:
            watch = self._watches.get(slot)
            if watch is None:
                continue  # expired at this very tick
            rule, state, way = watch.rule, watch.state, watch.state.way
            outcome = decide(rule, state, side.price, price, time)
            if state.way != way:
                self._journal.changed[rule.id] = watch
                if way:
                    side.rearmed.append((rule.id, way))
            if outcome is Outcome.FIRES:
                self._journal.changed[rule.id] = watch
                firings.append(Firing(rule, rule.headline, price, side.price, tick.epoch, tick.seq, time))
                if rule.trigger == "once":
                    watch.status = "fired"
                    over.append(slot)
            elif outcome is Outcome.WAITS and not watch.waiting:
                watch.waiting = True
                heappush(self._timers, (state.cooling_until, slot))
        if over:
            self._leave(over)
        self._journal.firings += sorted(firings, key=lambda firing: firing.rule.id)
