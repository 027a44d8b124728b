"""Rules that see the same prices of one symbol: all of them, or those of market hours alone; or its signals.

A rule can change its mind only where a gauge passes one of its lines, so a record looks at the lines between the value
before and this one, and at the few rules that are due for another reason: new ones that hold already (`_fresh`), those
that expire or have paused long enough (`_timers`). Looking at a rule more often than needed changes nothing.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

import msgspec

from services.shared.events import Bar, Prediction, Signal, Tick
from services.users.core.bars import Bars
from services.users.core.condition import PRICE, Key, Way, rounded
from services.users.core.gauges import Gauge, measure
from services.users.core.hours import longest_silence, silent_at
from services.users.core.instants import just_after, later, micros
from services.users.core.journal import Firing, Journal, Watch
from services.users.core.moment import Moment, Timeframe
from services.users.core.moves import Move
from services.users.core.rules import Outcome, decide, may_act, pauses_until, unsettled
from services.users.core.shelf import Shelf
from services.users.core.stale import SILENCE, Stale
from services.users.core.windows import Window

_MOVES: Final = ("rise", "rise%", "fall", "fall%")
_BY_BARS: Final = ("high", "low", "volume")


class Side(msgspec.Struct, omit_defaults=True):
    """What a lane remembers between records; survives restarts as JSON.

    price: of the tick before, None where none counts (the first one ever, or of a new epoch). low, high: the prices
    that rules have been looked at for. time, epoch, last: of the last tick. before, seq, rearmed: what it found and
    did, for a correction to undo (seq 0: there is nothing to undo). prediction, confidence: of the last signal. bar:
    just after the end of the last final bar.
    """

    price: float | None = None
    low: float | None = None
    high: float | None = None
    time: str = ""
    before: float | None = None
    seq: int = 0
    rearmed: list[tuple[str, Way]] = []
    epoch: str = ""
    last: int = 0
    windows: dict[int, Window] = {}
    prediction: Prediction | None = None
    confidence: float | None = None
    bar: str = ""


class Lane:
    """Rules of one symbol with what they have seen. What happens stands in the journal."""

    __slots__ = (
        "_drowsy",
        "_fresh",
        "_gauges",
        "_journal",
        "_lines",
        "_rules",
        "_silence",
        "_symbol",
        "_timers",
        "now",
        "side",
    )

    def __init__(self, symbol: str, journal: Journal, side: Side, bar: Timeframe, days: Bars, bars: Bars) -> None:
        self._symbol, self._journal, self.side = symbol, journal, side
        self.now = Moment(bar, days, bars, side.windows)
        self._rules = Shelf()
        self._lines = Gauge().lines  # of the price, which has its range in `side`
        self._gauges: dict[Key, Gauge] = {}
        self._silence: Gauge | None = None
        self._drowsy: dict[int, str] = {}
        self._fresh: set[int] = set()
        self._timers: list[tuple[str, int]] = []
        self._stand()

    def __len__(self) -> int:
        return len(self._rules)

    @property
    def listens(self) -> bool:
        """Has any rule waited for silence?"""
        return self._silence is not None

    # -- rules come and go -----------------------------------------------------------------------------------------

    def add(self, watches: Iterable[Watch], *, known: bool) -> None:
        """From the next record on these count. known: some may be here already; a rule of the same version goes on."""
        added = [self._continued(watch) for watch in watches] if known else list(watches)
        lines: list[tuple[float, int]] = []
        self._stand()
        for slot, watch in zip(self._rules.put(added), added, strict=True):
            rule = watch.rule
            for key, line in rule.lines():
                if key == PRICE:
                    lines.append((line, slot))
                else:
                    self._gauge(key).lines.add(slot, (line,))
            acts = self.side.price is not None and may_act(rule, watch.state, self.now)
            if self.side.price is None or acts or self._unsettled(watch):
                self._fresh.add(slot)
            if acts and pauses_until(rule, watch.state) > self.now.time:
                self._wait(slot, watch)  # as it did before a restart: a bar may come first, and end the pause
            if rule.expires_at is not None:
                heappush(self._timers, (rule.expires_at, slot))
        self._lines.extend(lines)

    def remove(self, rule_id: str) -> Watch | None:
        """From the next record on it does not count. Unknown ids are ignored."""
        found = self._rules.find(rule_id)
        if found is None:
            return None
        self._leave([found])
        return found[1]

    def relatch(self, rule_id: str, way: Way) -> None:
        """What armed this rule was wrong."""
        found = self._rules.find(rule_id)
        if found is not None:
            slot, watch = found
            watch.state.way = way
            self._keep(slot, watch)
            self._fresh.add(slot)

    def _continued(self, watch: Watch) -> Watch:
        before = self.remove(watch.rule.id)
        if before is not None and before.rule.version == watch.rule.version:
            return Watch(watch.rule, before.state)
        if self.side.price is not None and any(isinstance(each, Move) for each in watch.rule.conditions):
            watch.state.since = self.side.time
            self._journal.changed[watch.rule.id] = watch
        return watch

    def _leave(self, gone: list[tuple[int, Watch]]) -> None:
        by_price: list[tuple[int, Iterable[float]]] = []
        for slot, watch in gone:
            self._fresh.discard(slot)
            lines = watch.rule.lines()
            by_price.append((slot, [line for key, line in lines if key == PRICE]))
            for key in {key for key, _ in lines if key != PRICE}:
                self._gauge(key).lines.remove([(slot, [line for other, line in lines if other == key])])
        self._lines.remove(by_price)
        self._rules.drop(gone)

    def _gauge(self, key: Key) -> Gauge:
        gauge = self._silence if key == SILENCE else self._gauges.get(key)
        if gauge is None:
            gauge = Gauge()
            if key == SILENCE:
                self._silence = gauge
                gauge.start(0.0)
                return gauge
            self._gauges[key] = gauge
            self._widen_sight(key)
            gauge.start(measure(key, self.now))
        return gauge

    def _widen_sight(self, key: Key) -> None:
        """Begins to keep what a gauge is measured by."""
        kind, number = key
        side = self.side
        if kind in _MOVES and number not in side.windows:
            window = side.windows[number] = Window(number)
            if side.price is not None:
                window.push(micros(side.time), side.price)
            self._journal.moved.add(self._symbol)
        elif kind in _BY_BARS:
            bars = self.now.bars if kind == "volume" else self.now.days
            bars.most = max(bars.most, number)

    # -- records ---------------------------------------------------------------------------------------------------

    def begin_epoch(self, *, back: bool) -> None:
        """The next price sets the side. back: the clock went back, and pauses that began later mean nothing."""
        side = self.side
        side.price = side.before = side.prediction = side.confidence = None
        side.seq = 0
        side.rearmed = []
        for window in side.windows.values():
            window.clear()
        if back:
            side.bar = ""
            for slot, watch in self._rules:
                if watch.state.cooling_until:
                    watch.state.cooling_until = ""
                    self._keep(slot, watch)
                    self._fresh.add(slot)

    def tick(self, tick: Tick) -> None:
        side, price, now = self.side, tick.price, self.now
        now.before, now.price, now.time = side.price, price, tick.time
        if side.rearmed:
            side.rearmed = []
        due = self._due(tick.time)
        low, high = side.low, side.high
        if low is not None and high is not None and not low == price == high:
            due.update(self._lines.between(min(low, price), max(high, price)))
        if side.windows:
            at = micros(tick.time)
            for window in side.windows.values():
                window.push(at, price)
        if self._gauges:
            due.update(self._moved())
        if self._silence is not None:
            due.update(self._silence.move(0.0))
            self._drowsy.clear()
        if due:
            self._look(due, tick.epoch, tick.seq, remember=True)
        side.before, side.seq = side.price, tick.seq
        side.price = side.low = side.high = price
        side.time, side.epoch, side.last = tick.time, tick.epoch, tick.seq

    def bar(self, bar: Bar) -> None:
        """A bar has become final, and is among the days or bars already. It is no price: nothing is crossed."""
        self.side.bar = just_after(bar.time)
        self._stand()
        if self._gauges and self.now.price is not None:
            due = self._due(bar.time, fresh=False)
            due.update(self._moved())
            self._look(due, bar.epoch, bar.seq, time=bar.time)

    def signal(self, signal: Signal) -> None:
        now, side = self.now, self.side
        now.time, now.price, now.before = signal.time, signal.price_target, None
        now.was, now.prediction, now.confidence = side.prediction, signal.prediction, signal.confidence
        if now.was is not None and now.was != now.prediction:
            now.turns = 1 - now.turns
        due = self._due(signal.time)
        due.update(self._moved())
        self._look(due, signal.epoch, signal.seq)
        side.prediction, side.confidence = signal.prediction, signal.confidence
        side.time, side.epoch, side.last = signal.time, signal.epoch, signal.seq
        side.low = side.high = 0.0  # it has begun: rules need not be looked at because they are new

    def silent(self, clock: str) -> None:
        """It is `clock` by the feed, and no tick has come: fires what has been waiting for that, at its own time."""
        gauge, side, now = self._silence, self.side, self.now
        if gauge is None or side.price is None or gauge.high is None or clock <= side.time:
            return
        silence = longest_silence(side.time, clock)
        if silence <= gauge.high and not self._drowsy:
            return
        slots = {*gauge.lines.between(0.0, max(silence, gauge.high)), *self._drowsy}
        gauge.high = max(silence, gauge.high)
        self._drowsy.clear()
        self._stand()
        for slot in sorted(slots):
            watch = self._rules.get(slot)
            if watch is None:
                continue
            after_s = max(each.after_s for each in watch.rule.conditions if isinstance(each, Stale))
            due = self._told_at(watch, after_s)
            if due is None or (watch.rule.expires_at is not None and watch.rule.expires_at <= due):
                continue
            if due >= clock:
                self._drowsy[slot] = due
                continue
            now.time, now.silence = due, float(after_s)
            self._look({slot}, side.epoch, side.last)
        now.silence = 0.0

    def _told_at(self, watch: Watch, after_s: int) -> str | None:
        """When a silence that lasts is to be told: it may have to wait for the end of a pause."""
        last, due = self.side.time, silent_at(self.side.time, after_s)
        pause = pauses_until(watch.rule, watch.state)
        return due if due is None or pause <= due else silent_at(max(last, later(pause, -after_s)), after_s)

    def next_silence(self) -> str | None:
        """When `silent` has something to do, at the earliest."""
        if self._silence is None or self.side.price is None or self._silence.high is None:
            return None
        line = self._silence.lines.above(self._silence.high)
        due = None if line is None else silent_at(self.side.time, int(line))
        return min([*([] if due is None else [due]), *self._drowsy.values()], default=None)

    def take_back(self) -> None:
        """The last tick was wrong: what it armed is latched again, the next one is compared with the one before it."""
        side = self.side
        if not side.seq:
            return
        for rule_id, way in side.rearmed:
            self.relatch(rule_id, way)
        if side.before is not None and side.price is not None:
            side.low, side.high = min(side.price, side.before), max(side.price, side.before)
        for window in side.windows.values():
            window.take_back()
        side.price = side.before
        side.seq = 0
        side.rearmed = []
        self._stand()
        for key, gauge in self._gauges.items():
            gauge.widen(measure(key, self.now))

    def rescale(self, ratio: float) -> set[str]:
        """A split: lines and prices follow it, so that it moves nothing past a line. Whose rules that changed."""
        side = self.side
        for name in ("price", "low", "high", "before"):
            if (price := getattr(side, name)) is not None:
                setattr(side, name, rounded(price / ratio))
        for window in side.windows.values():
            window.rescale(ratio)
        users: set[str] = set()
        lines: list[tuple[int, list[float]]] = []
        others: dict[Key, list[tuple[int, list[float]]]] = {key: [] for key in self._gauges}
        for slot, watch in self._rules:
            scaled = watch.rule.after_split(ratio)
            if scaled.conditions != watch.rule.conditions:
                watch.rule = scaled
                users.add(scaled.user_id)
                self._keep(slot, watch)
            of = scaled.lines()
            lines.append((slot, [line for key, line in of if key == PRICE]))
            for key, line in of:
                if key in others:
                    others[key].append((slot, [line]))
        self._lines.replace(lines)
        self._stand()
        for key, gauge in self._gauges.items():
            gauge.lines.replace(others[key])
            if key[0] in ("rise", "fall") and gauge.low is not None and gauge.high is not None:
                gauge.low, gauge.high = gauge.low / ratio, gauge.high / ratio
        return users

    def settle(self) -> None:
        """What gauges are measured by has been filled in: that is no movement."""
        self._stand()
        for key, gauge in self._gauges.items():
            gauge.start(measure(key, self.now))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _stand(self) -> None:
        """The moment after the last record: nothing moves."""
        now, side = self.now, self.side
        now.before = now.price = side.price
        now.was = now.prediction = side.prediction
        now.confidence = side.confidence
        now.time = max(side.time, side.bar)

    def _moved(self) -> set[int]:
        """The rules on whose gauges something has moved."""
        found: set[int] = set()
        for key, gauge in self._gauges.items():
            found.update(gauge.move(measure(key, self.now)))
        return found

    def _due(self, time: str, *, fresh: bool = True) -> set[int]:
        """The rules that have to be looked at now whatever has moved."""
        due: set[int] = set()
        if fresh and self._fresh:
            due, self._fresh = self._fresh, set()
        if self._timers and self._timers[0][0] <= time:
            due |= self._expire(time)
        return due

    def _expire(self, time: str) -> set[int]:
        """Takes out rules whose time is over; returns the ones that may have paused long enough."""
        over: dict[int, Watch] = {}
        due: set[int] = set()
        while self._timers and self._timers[0][0] <= time:
            _, slot = heappop(self._timers)
            watch = self._rules.get(slot)
            if watch is None or slot in over:
                continue
            if watch.rule.expires_at is not None and watch.rule.expires_at <= time:
                watch.status = "expired"
                self._journal.changed[watch.rule.id] = watch
                over[slot] = watch
            else:
                watch.waiting = False
                self._rules.keep(slot, watch)
                due.add(slot)
        if over:
            self._leave(list(over.items()))
        return due.difference(over)

    def _look(self, due: set[int], epoch: str, seq: int, *, time: str = "", remember: bool = False) -> None:
        """Lets rules decide at this moment. time: of the record, where that is not `now.time`.

        remember: a correction may want to know what was armed by it.
        """
        now = self.now
        firings: list[Firing] = []
        over: list[tuple[int, Watch]] = []
        for slot in due:
            watch = self._rules.get(slot)
            if watch is None:
                continue  # expired at this very record
            rule, state, way = watch.rule, watch.state, watch.state.way
            outcome = decide(rule, state, now)
            if remember and way and state.way != way:
                self.side.rearmed.append((rule.id, way))
            if outcome is Outcome.FIRES:
                firings.append(self._firing(watch, epoch, seq, time or now.time))
                if rule.trigger == "once":
                    watch.status = "fired"
                    over.append((slot, watch))
            elif outcome is Outcome.WAITS and not watch.waiting:
                self._wait(slot, watch)
            if outcome is Outcome.FIRES or state.way != way:
                self._keep(slot, watch)
            if self._unsettled(watch):
                self._fresh.add(slot)
        if over:
            self._leave(over)
        self._journal.firings += sorted(firings, key=lambda firing: firing.rule.id)

    def _wait(self, slot: int, watch: Watch) -> None:
        """It is looked at again when its pause ends, whatever has moved."""
        watch.waiting = True
        self._rules.keep(slot, watch)
        heappush(self._timers, (pauses_until(watch.rule, watch.state), slot))

    def _firing(self, watch: Watch, epoch: str, seq: int, time: str) -> Firing:
        now, rule = self.now, watch.rule
        assert now.price is not None
        shown, text, silent = rule.headline.shown(now), now.prediction or "", now.silence > 0
        return Firing(rule, rule.headline, now.price, now.before, epoch, seq, time, shown, text, silent)

    def _unsettled(self, watch: Watch) -> bool:
        return bool(self.side.windows) and unsettled(watch.rule, watch.state, self.now)

    def _keep(self, slot: int, watch: Watch) -> None:
        self._rules.keep(slot, watch)
        self._journal.changed[watch.rule.id] = watch
