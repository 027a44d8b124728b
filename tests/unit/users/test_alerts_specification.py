"""The engine's firings equal those of the specification: random rules and records, rules that come and go, restarts."""

from fractions import Fraction

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.shared.events import Record
from services.users.core.alerts import Alerts
from services.users.core.conditions import KINDS
from services.users.core.journal import Watch
from services.users.core.rules import Rule, RuleState, Trigger
from tests.unit.users.specification import Specification
from tests.unit.users.ticks import at, correction, split, tick

prices = st.one_of(st.integers(90, 110), st.sampled_from([95, 99, 100, 101, 105])).map(float)
levels = st.lists(st.tuples(st.sampled_from(["greater_than", "less_than"]), prices), max_size=2)
events = st.lists(st.tuples(st.sampled_from(["crossing", "crossing_up", "crossing_down"]), prices), max_size=1)
conditions = st.tuples(events, levels).map(lambda pair: pair[0] + pair[1]).filter(bool)
rules = st.tuples(
    conditions,
    st.sampled_from(["once", "every_time", "every_time"]),
    st.sampled_from([0, 0, 1, 3, 8]),
    st.sampled_from([0.0, 0.0, 1.0, 5.0]),
    st.sampled_from([None, None, None, 5, 20]),
)
actions = st.one_of(
    st.tuples(st.just("tick"), prices, st.integers(0, 2)),
    st.tuples(st.just("tick"), prices, st.integers(0, 2)),
    st.tuples(st.just("tick"), prices, st.integers(0, 2)),
    st.tuples(st.just("add"), rules),
    st.tuples(st.just("remove"), st.integers(0, 30)),
    st.tuples(st.just("correct"), prices, st.integers(0, 3), st.integers(0, 2)),
    st.tuples(st.just("split"), st.sampled_from([2.0, 0.5])),
    st.tuples(st.just("epoch"), st.integers(-30, 30)),
    st.tuples(st.just("restart")),
)

Asked = tuple[list[tuple[str, float]], Trigger, int, float, int | None]


class Both:
    """Drives the engine and the specification through the same story; the engine is stored and loaded now and then."""

    def __init__(self) -> None:
        self.engine, self.plain = Alerts(), Specification()
        self.stored: dict[str, tuple[Rule, bytes]] = {}
        self.firings: list[tuple[str, str, int, float | None]] = []
        self.expired: set[str] = set()
        self.expiries: dict[str, int] = {}
        self.epoch, self.seq, self.time, self.made, self.began = 1, 0, 0, 0, True

    def add(self, asked: Asked) -> None:
        kinds, trigger, cooldown_s, hysteresis_pct, lasts = asked
        self.made += 1
        name = f"{self.made:03}"
        expires_at = None if lasts is None else self.time + lasts
        if expires_at is not None:
            self.expiries[name] = expires_at
        rule = Rule(
            id=name,
            version=1,
            user_id="ada",
            symbol="AAPL",
            conditions=tuple(KINDS[kind](price) for kind, price in kinds),
            trigger=trigger,
            cooldown_s=cooldown_s,
            hysteresis_pct=hysteresis_pct,
            expires_at=None if expires_at is None else at(expires_at),
        )
        self.plain.add(rule)
        self.engine.add([Watch(rule)])
        self.stored[name] = (rule, msgspec.json.encode(RuleState()))

    def remove(self, number: int) -> None:
        name = f"{number:03}"
        self.plain.remove(name)
        self.engine.remove("AAPL", name)
        self.save()
        self.stored.pop(name, None)

    def tick(self, price: float, pause: int) -> None:
        self.time += pause
        self.apply(tick(self.next(), price, second=self.time, epoch=self.name()))
        self.plain.tick(self.name(), self.seq, price, self.time, self.expiries)

    def correct(self, price: float, age: int, pause: int) -> None:
        """Of the last record or an older one; where it was the last trade, the right price follows."""
        of_seq = self.seq - age
        was_last = of_seq == self.plain.last_tick and of_seq > 0
        self.apply(correction(self.next(), of_seq, price, second=self.time, epoch=self.name()))
        self.plain.correct(of_seq, self.time)
        if was_last:
            self.tick(price, pause)

    def split(self, ratio: float) -> None:
        self.apply(split(self.next(), ratio, second=self.time, epoch=self.name()))
        self.plain.split(Fraction(ratio), self.time)

    def begin(self, jump: int) -> None:
        self.epoch, self.seq, self.began = self.epoch + 1, 0, True
        self.time += jump
        self.plain.new_epoch()

    def save(self) -> None:
        journal = self.engine.journal
        self.firings += [(each.rule.id, each.epoch, each.seq, each.before) for each in journal.firings]
        journal.firings.clear()
        for name, watch in journal.changed.items():
            if watch.status == "expired":
                self.expired.add(name)
            if watch.status == "active" and name in self.stored:
                self.stored[name] = (watch.rule, msgspec.json.encode(watch.state))
            else:
                self.stored.pop(name, None)
        journal.changed.clear()

    def restart(self) -> None:
        self.save()
        self.engine = Alerts({"AAPL": self.engine.state("AAPL")} if self.engine.journal.moved else {})
        self.engine.journal.moved.add("AAPL")
        self.engine.add(Watch(rule, msgspec.json.decode(state, type=RuleState)) for rule, state in self.stored.values())

    def name(self) -> str:
        return f"epoch-{self.epoch}"

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def apply(self, record: Record) -> None:
        self.engine.apply(record, new_epoch=self.began)
        self.began = False


def tell(story: list[tuple[object, ...]]) -> Both:
    both = Both()
    both.tick(100.0, 0)
    for verb, *details in story:
        {
            "tick": both.tick,
            "add": both.add,
            "remove": both.remove,
            "correct": both.correct,
            "split": both.split,
            "epoch": both.begin,
            "restart": both.restart,
        }[str(verb)](*details)  # type: ignore[operator]  # each verb with its own details
    both.save()
    return both


_LESS: Asked = ([("less_than", 91.0)], "once", 0, 0.0, None)


@settings(max_examples=200, deadline=None)
@given(story=st.lists(actions, min_size=5, max_size=60))
@example([("tick", 90.0, 0), ("epoch", 0), ("add", _LESS), ("correct", 90.0, 0, 0), ("restart",), ("tick", 90.0, 0)])
def test_firings_equal_the_specification(story: list[tuple[object, ...]]) -> None:
    both = tell(story)
    assert both.firings == both.plain.firings
    assert both.expired == both.plain.expired


@settings(max_examples=30, deadline=None)
@given(
    asked=st.lists(rules, min_size=20, max_size=60),
    path=st.lists(st.tuples(prices, st.integers(0, 2)), min_size=30, max_size=120),
)
def test_many_rules_over_a_long_path(asked: list[Asked], path: list[tuple[float, int]]) -> None:
    story: list[tuple[object, ...]] = [("add", each) for each in asked]
    for number, (price, pause) in enumerate(path):
        story.append(("tick", price, pause))
        if number % 13 == 12:
            story.append(("restart",))
    both = tell(story)
    assert both.firings == both.plain.firings
