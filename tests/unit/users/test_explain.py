"""Why a rule has not fired, told from what the engine has stored."""

import pytest

from services.shared.events import Record
from services.users.core.alerts import Alerts
from services.users.core.bars import Past
from services.users.core.channels import EnteringChannel
from services.users.core.conditions import AnyCondition
from services.users.core.crossings import CrossingUp
from services.users.core.explain import Beside, Explanation, explain, looks_back, looks_beside
from services.users.core.extremes import NewHigh
from services.users.core.journal import Watch
from services.users.core.levels import GreaterThan, LessThan
from services.users.core.moves import MovingUp
from services.users.core.rules import Rule, RuleState
from services.users.core.signals import ConfidenceAbove
from services.users.core.stale import Stale
from services.users.core.volume import VolumeAbove
from tests.unit.users.ticks import at, feed, tick


def of(
    *conditions: AnyCondition, hysteresis_pct: float = 0.0, cooldown_s: int = 0, snoozed_until: str | None = None
) -> Rule:
    return Rule(
        "rule",
        1,
        "ada",
        "AAPL",
        conditions,
        "every_time",
        hysteresis_pct=hysteresis_pct,
        cooldown_s=cooldown_s,
        snoozed_until=snoozed_until,
    )


def after(rule: Rule, *prices: float, status: str = "active", beside: Beside | None = None) -> Explanation:
    """What is told of a rule that was made before these prices."""
    alerts = Alerts()
    alerts.add([Watch(rule)])
    records: list[Record] = [tick(number, price) for number, price in enumerate(prices, start=1)]
    feed(alerts, records)
    watch = alerts.journal.changed.get("rule")
    return explain(rule, watch.state if watch else RuleState(), status, alerts.state("AAPL"), beside)


def test_armed_below_its_line() -> None:
    found = after(of(CrossingUp(threshold=150.0)), 140.0, 144.0)
    assert (found.state, found.latched, found.would_fire, found.why_not) == ("armed", False, False, ("condition_0",))
    assert (found.last_price, found.previous_price, found.seen_at) == (144.0, 140.0, at(2))
    (reading,) = found.conditions
    assert (reading.type, reading.event, reading.holds, reading.side) == ("crossing_up", True, False, "below")
    assert (reading.value, reading.line, reading.distance, reading.distance_pct) == (144.0, 150.0, 6.0, 4.1667)


def test_latched_until_its_way_back() -> None:
    found = after(of(GreaterThan(threshold=150.0), hysteresis_pct=2.0), 149.0, 151.0, 148.0)
    assert (found.state, found.latched, found.would_fire) == ("latched", True, False)
    assert found.why_not == ("latched", "condition_0")
    assert found.conditions[0].rearms_at == 147.0


def test_a_pause_is_told_by_its_kind() -> None:
    found = after(of(CrossingUp(threshold=150.0), cooldown_s=60), 149.0, 151.0, 149.0)
    assert (found.state, found.cooling_until) == ("cooling_down", at(62))
    found = after(of(GreaterThan(threshold=150.0), snoozed_until=at(99)), 149.0, 151.0)
    assert (found.state, found.why_not, found.snoozed_until) == ("snoozed", ("snoozed",), at(99))


@pytest.mark.parametrize("status", ["paused", "pending", "fired", "expired"])
def test_a_rule_that_is_not_watched(status: str) -> None:
    found = after(of(CrossingUp(threshold=150.0)), 149.0, status=status)
    assert (found.state, found.would_fire, found.why_not[0]) == (status, False, status)


def test_two_conditions_are_told_apart() -> None:
    found = after(of(GreaterThan(threshold=140.0), LessThan(threshold=142.0)), 145.0)
    assert [each.holds for each in found.conditions] == [True, False]
    assert found.why_not == ("condition_1",)


def test_channels_are_measured_to_the_nearer_bound() -> None:
    found = after(of(EnteringChannel(lower=140.0, upper=150.0)), 138.0)
    assert (found.conditions[0].side, found.conditions[0].line, found.conditions[0].distance) == ("outside", 140.0, 2.0)
    assert after(of(EnteringChannel(lower=140.0, upper=150.0)), 149.0).conditions[0].side == "inside"


def test_moves_have_a_line_that_moves() -> None:
    reading = after(of(MovingUp(window_s=60, amount=5.0)), 150.0, 148.0, 149.0).conditions[0]
    assert (reading.line, reading.value, reading.distance, reading.holds) == (153.0, 149.0, 4.0, False)


def test_what_bars_say_is_not_known_here() -> None:
    found = after(of(NewHigh(days=2)), 150.0)
    assert (found.would_fire, found.why_not, found.conditions[0].holds) == (None, (), None)


def beside(*highs: float, clock: str = at(1)) -> Beside:
    """Days (and bars) before all records, of growing volumes: 100, 200 ..."""
    days = [
        Past(f"2024-09-{number:02d}T20:00:00.000000Z", high, high - 10.0, 100.0 * number)
        for number, high in enumerate(highs, start=1)
    ]
    return Beside(days, days, "1d", clock)


def test_with_the_bars_beside_it_is_known() -> None:
    found = after(of(NewHigh(days=2)), 150.0, 148.0, beside=beside(170.0, 155.0, 160.0))
    (reading,) = found.conditions
    assert (reading.holds, reading.side, reading.value, reading.line) == (False, "below", 148.0, 160.0)
    assert (found.would_fire, found.why_not) == (False, ("condition_0",))
    reading = after(of(NewHigh(days=4)), 150.0, beside=beside(170.0, 155.0, 160.0)).conditions[0]
    assert (reading.holds, reading.line) == (False, None)  # fewer days: nothing is new


def test_volumes_are_compared_with_the_bars_beside() -> None:
    found = after(of(VolumeAbove(times=1.5, bars=2)), 150.0, beside=beside(10.0, 10.0, 10.0))
    (reading,) = found.conditions
    assert (reading.holds, reading.value, reading.line) == (True, 2.0, 1.5)
    assert found.would_fire
    assert looks_back(of(VolumeAbove(times=1.5, bars=2), NewHigh(days=7))) == (7, 3)


def test_silence_lasts_until_the_clock_beside() -> None:
    rule = of(Stale(after_s=60))
    assert not looks_beside(of(GreaterThan(threshold=1.0)))
    assert looks_beside(rule)
    for clock, holds in ((at(61), False), (at(62), True)):
        reading = after(rule, 150.0, beside=beside(clock=clock)).conditions[0]
        assert (reading.holds, reading.line) == (holds, 60.0)


def test_before_any_price() -> None:
    found = explain(of(CrossingUp(threshold=150.0)), RuleState(), "active", b"")
    assert (found.last_price, found.seen_at, found.would_fire) == (None, None, False)
    assert found.why_not == ("no_price_yet", "condition_0")
    assert explain(of(ConfidenceAbove(threshold=0.7)), RuleState(), "active", b"").why_not == ("condition_0",)
