"""A naive evaluator, written as the specification: each rule keeps every price it has seen and looks at all of them.

No gauges, no sorted lines, no shared windows, nothing remembered that could be worked out. Prices are exact fractions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import takewhile

from services.shared.calendars import NEW_YORK, close_time, is_session, open_time
from services.shared.events import Bar, Tick, parse_time
from services.users.core.channels import Channel
from services.users.core.conditions import Condition
from services.users.core.crossings import Crosses
from services.users.core.extremes import Extreme
from services.users.core.levels import Level
from services.users.core.moves import Move
from services.users.core.rules import Rule
from services.users.core.volume import VolumeAbove

JUST_AFTER_S = 1e-6
Seen = tuple[float, Fraction]
"""(seconds since 1970, price)"""


@dataclass
class Naive:
    """One rule. firings: (rule, epoch, seq)."""

    rule: Rule
    prices: list[Seen] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    way: int = 0
    quiet_until: float = 0.0
    over: bool = False
    firings: list[tuple[str, str, int]] = field(default_factory=list)

    def tick(self, tick: Tick) -> None:
        now = parse_time(tick.time).timestamp()
        if self.over or (self.rule.market_hours_only and not in_session(tick.time)):
            return
        self.prices.append((now, Fraction(tick.price)))
        self.decide(now, tick.epoch, tick.seq, moves=True)

    def bar(self, bar: Bar) -> None:
        self.bars.append(bar)
        if self.prices and not self.over:
            self.decide(parse_time(bar.time).timestamp() + JUST_AFTER_S, bar.epoch, bar.seq, moves=False)

    def decide(self, now: float, epoch: str, seq: int, *, moves: bool) -> None:
        rule = self.rule
        if rule.expires_at is not None and now >= parse_time(rule.expires_at).timestamp():
            self.over = True
            return
        event = rule.event
        if self.way:
            of = [event] if event is not None else list(rule.conditions)
            if any(self.is_back(each, self.way if event else each.up, now) for each in of):
                self.way = 0
        if self.way or not all(self.holds(each, now, moves) for each in rule.conditions):
            return
        if now < self.quiet_until or (rule.snoozed_until and now < parse_time(rule.snoozed_until).timestamp()):
            return
        self.firings.append((rule.id, epoch, seq))
        self.over = rule.trigger == "once"
        self.way = self.went(event) if event is not None else rule.conditions[0].up
        self.quiet_until = now + rule.cooldown_s
        if rule.trigger == "once_per_minute":
            self.quiet_until = max(self.quiet_until, now - now % 60 + 60)

    # -- the conditions, word for word -----------------------------------------------------------------------------

    def holds(self, condition: Condition, now: float, moves: bool) -> bool:
        p = self.prices[-1][1]
        q = self.prices[-2][1] if moves and len(self.prices) > 1 else None if moves else p
        match condition:
            case Level(threshold=threshold):
                return p > Fraction(threshold) if condition.up > 0 else p < Fraction(threshold)
            case Crosses(threshold=threshold):
                line = Fraction(threshold)
                up, down = q is not None and q < line <= p, q is not None and q > line >= p
                return (up and 1 in condition.ways) or (down and -1 in condition.ways)
            case Channel(lower=lower, upper=upper):
                if q is None:
                    return False
                was, is_in = lower <= q <= upper, lower <= p <= upper
                return not was and is_in if condition.type == "entering_channel" else was and not is_in
            case Move():
                line = self.move_line(condition)
                return p >= line if condition.up > 0 else p <= line
            case Extreme():
                extreme = self.extreme(condition, now)
                if extreme is None or q is None:
                    return False
                return q <= extreme < p if condition.up > 0 else q >= extreme > p
            case VolumeAbove(times=times):
                volumes = self.volumes(condition)
                return volumes is not None and volumes[0] > Fraction(times) * volumes[1]
        raise AssertionError(condition)

    def is_back(self, condition: Condition, way: int, now: float) -> bool:
        p, share = self.prices[-1][1], Fraction(self.rule.hysteresis_pct) / 100
        match condition:
            case Level(threshold=threshold) | Crosses(threshold=threshold):
                line = Fraction(threshold)
                return p <= line * (1 - share) if way > 0 else p >= line * (1 + share)
            case Channel(lower=low, upper=high) if condition.type == "entering_channel":
                if not share:
                    return not low <= p <= high
                return p <= Fraction(low) * (1 - share) or p >= Fraction(high) * (1 + share)
            case Channel(lower=low, upper=high):
                return p <= Fraction(high) * (1 - share) if way > 0 else p >= Fraction(low) * (1 + share)
            case Move():
                line = self.move_line(condition)
                return p < line and p <= line * (1 - share) if way > 0 else p > line and p >= line * (1 + share)
            case Extreme():
                extreme = self.extreme(condition, now)
                if extreme is None:
                    return False
                return p <= extreme * (1 - share) if way > 0 else p >= extreme * (1 + share)
            case VolumeAbove(times=times):
                volumes = self.volumes(condition)
                return volumes is not None and volumes[0] <= Fraction(times) * (1 - share) * volumes[1]
        raise AssertionError(condition)

    def went(self, event: Condition) -> int:
        q, p = self.prices[-2][1], self.prices[-1][1]
        return 1 if p > q else -1

    def move_line(self, move: Move) -> Fraction:
        since = self.prices[-1][0] - move.window_s
        within = [price for _, price in takewhile(lambda seen: seen[0] >= since, reversed(self.prices))]
        start = min(within) if move.up > 0 else max(within)
        if move.amount is not None:
            return start + move.up * Fraction(move.amount)
        assert move.percent is not None
        return start * (100 + move.up * Fraction(move.percent)) / 100

    def extreme(self, condition: Extreme, now: float) -> Fraction | None:
        days = [each for each in self.bars if parse_time(each.time).timestamp() < now][-condition.days :]
        if len(days) < condition.days:
            return None
        up = condition.up > 0
        return Fraction(max(each.high for each in days) if up else min(each.low for each in days))

    def volumes(self, condition: VolumeAbove) -> tuple[Fraction, Fraction] | None:
        if len(self.bars) <= condition.bars:
            return None
        before = self.bars[-condition.bars - 1 : -1]
        return Fraction(self.bars[-1].volume), sum(
            (Fraction(each.volume) for each in before), Fraction()
        ) / condition.bars


def in_session(time: str) -> bool:
    when = parse_time(time)
    day = when.astimezone(NEW_YORK).date()
    return is_session(day) and open_time(day) <= when <= close_time(day)


def evaluate(rules: Sequence[Rule], records: Sequence[Tick | Bar]) -> list[tuple[str, str, int]]:
    """The firings of rules made before the first record, sorted."""
    by_symbol: dict[str, list[Naive]] = {}
    for rule in rules:
        by_symbol.setdefault(rule.symbol, []).append(Naive(rule))
    for record in records:
        for each in by_symbol.get(record.symbol, ()):
            if isinstance(record, Tick):
                each.tick(record)
            else:
                each.bar(record)
    return sorted(firing for group in by_symbol.values() for each in group for firing in each.firings)
