"""The alert engine written as its specification: every rule looks at every record, in exact fractions, no tricks."""

from dataclasses import dataclass, field
from fractions import Fraction

from services.users.core.bars import Bars
from services.users.core.moment import Moment
from services.users.core.rules import Rule

NOWHERE = Moment("1d", Bars(), Bars(), {})


@dataclass
class Told:
    """A rule as the specification keeps it. fired: the way the price had gone when it fired last, until it is back."""

    rule: Rule
    thresholds: list[Fraction]
    fired: str | None = None
    quiet_until: int = -(10**9)


@dataclass
class Specification:
    """Times are whole seconds. `firings` are (rule id, epoch, seq, price before)."""

    rules: dict[str, Told] = field(default_factory=dict)
    firings: list[tuple[str, str, int, float | None]] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    prices: list[Fraction] = field(default_factory=list)
    last_tick: int = 0
    rearmed: list[tuple[str, str]] = field(default_factory=list)
    clock: int = -(10**9)
    began: bool = False
    splits: list[tuple[int, Fraction]] = field(default_factory=list)

    def add(self, rule: Rule) -> None:
        self.rules[rule.id] = Told(rule, [Fraction(each.shown(NOWHERE) or 0) for each in rule.conditions])

    def remove(self, rule_id: str) -> None:
        self.rules.pop(rule_id, None)

    def new_epoch(self) -> None:
        self.prices, self.last_tick, self.rearmed, self.began = [], 0, [], True

    def record(self, time: int) -> None:
        """Whatever comes: the first of an epoch tells whether the clock went back."""
        if self.began and time < self.clock:
            for told in self.rules.values():
                told.quiet_until = -(10**9)
            for then, ratio in self.splits:
                if then >= time:
                    self.rescale(1 / ratio)
            self.splits = [(then, ratio) for then, ratio in self.splits if then < time]
        self.began = False

    def split(self, ratio: Fraction, time: int) -> None:
        self.record(time)
        self.clock = time
        self.splits.append((time, ratio))
        self.rescale(ratio)

    def rescale(self, ratio: Fraction) -> None:
        self.prices = [price / ratio for price in self.prices]
        for told in self.rules.values():
            told.thresholds = [threshold / ratio for threshold in told.thresholds]

    def correct(self, of_seq: int, time: int) -> None:
        self.record(time)
        if not self.last_tick or of_seq != self.last_tick:
            return
        self.prices.pop()
        for rule_id, way in self.rearmed:
            if rule_id in self.rules:
                self.rules[rule_id].fired = way
        self.last_tick, self.rearmed = 0, []

    def tick(self, epoch: str, seq: int, price: float, time: int, expiries: dict[str, int]) -> None:
        self.record(time)
        p = Fraction(price)
        q = self.prices[-1] if self.prices else None
        self.prices.append(p)
        self.last_tick, self.rearmed, self.clock = seq, [], time
        for rule_id, told in sorted(self.rules.items()):
            if rule_id in expiries and time >= expiries[rule_id]:
                del self.rules[rule_id]
                self.expired.add(rule_id)
                continue
            if told.fired is not None and self._is_back(told, p):
                self.rearmed.append((rule_id, told.fired))
                told.fired = None
            if told.fired is not None or time < told.quiet_until or not self._all_hold(told, q, p):
                continue
            self.firings.append((rule_id, epoch, seq, None if q is None else float(q)))
            told.quiet_until = time + told.rule.cooldown_s
            told.fired = self._went(told, q)
            if told.rule.trigger == "once":
                del self.rules[rule_id]

    def _all_hold(self, told: Told, q: Fraction | None, p: Fraction) -> bool:
        results = []
        for condition, threshold in zip(told.rule.conditions, told.thresholds, strict=True):
            up = q is not None and q < threshold <= p
            down = q is not None and q > threshold >= p
            results.append(
                {
                    "greater_than": p > threshold,
                    "less_than": p < threshold,
                    "crossing_up": up,
                    "crossing_down": down,
                    "crossing": up or down,
                }[condition.type]
            )
        return all(results)

    def _went(self, told: Told, q: Fraction | None) -> str:
        for condition, threshold in zip(told.rule.conditions, told.thresholds, strict=True):
            if condition.type.startswith("crossing"):
                assert q is not None
                return "up" if q < threshold else "down"
        return "level"

    def _is_back(self, told: Told, p: Fraction) -> bool:
        share = Fraction(told.rule.hysteresis_pct) / 100
        back = []
        for condition, threshold in zip(told.rule.conditions, told.thresholds, strict=True):
            if told.fired == "level":
                fell = condition.type == "greater_than"
            elif condition.type.startswith("crossing"):
                fell = told.fired == "up"
            else:
                continue  # a guard
            back.append(p <= threshold * (1 - share) if fell else p >= threshold * (1 + share))
        return any(back)
