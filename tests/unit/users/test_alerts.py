"""The engine over series of hand-made records: time, epochs, splits, corrections, rules that come and go, restarts."""

import pytest

from services.shared.events import Bar, Record
from services.stock_data.core import instants
from services.stock_data.core.adjust import adjust
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound
from services.users.core.alerts import Alerts
from services.users.core.crossings import Crossing
from services.users.core.journal import Watch
from services.users.core.rules import Rule, RuleState
from tests.unit.users.ticks import at, correction, feed, fired_at, rule, split, tick


def watching(*rules: Rule, before: float | None = 149.0) -> Alerts:
    alerts = Alerts()
    if before is not None:
        feed(alerts, [tick(0, before)])
    alerts.add([Watch(each) for each in rules])
    return alerts


def go_on(alerts: Alerts, *prices: float, start: int = 1) -> list[int]:
    return feed(alerts, [tick(seq, price) for seq, price in enumerate(prices, start=start)], first_of_epoch=False)


def restarted(alerts: Alerts, *watches: Watch) -> Alerts:
    """What a new process makes of what was stored."""
    again = Alerts({"AAPL": alerts.state("AAPL")})
    again.add(
        Watch(each.rule, RuleState(each.state.way, each.state.cooling_until))
        for each in watches
        if each.status == "active"
    )
    return again


# -- time ----------------------------------------------------------------------------------------------------------


def test_events_during_a_cooldown_are_over() -> None:
    watched = rule(("crossing", 150.0), cooldown_s=10)
    prices = [151.0, *[149.0, 151.0] * 8]  # one tick a second
    assert fired_at(watched, prices, before=149.0) == [1, 11]


def test_a_level_that_still_holds_after_a_cooldown_fires_then() -> None:
    watched = rule(("greater_than", 150.0), cooldown_s=10)
    prices = [151.0, 149.0, *[151.0] * 12]
    assert fired_at(watched, prices, before=149.0) == [1, 11]


def test_a_level_that_is_gone_after_a_cooldown_does_not_fire() -> None:
    watched = rule(("greater_than", 150.0), cooldown_s=10)
    prices = [151.0, 149.0, 151.0, *[149.0] * 12, 151.0]
    assert fired_at(watched, prices, before=149.0) == [1, 16]


def test_a_rule_expires_on_tick_time() -> None:
    late = watching(rule(("crossing_up", 150.0), expires_at=at(2)))
    assert go_on(late, 149.0, 151.0) == []
    assert late.journal.changed["rule"].status == "expired"
    in_time = watching(rule(("crossing_up", 150.0), expires_at=at(2.000001)))
    assert go_on(in_time, 149.0, 151.0) == [2]


def test_a_rule_that_cools_down_and_expires_at_one_tick_is_over() -> None:
    alerts = watching(rule(("greater_than", 150.0), cooldown_s=10, expires_at=at(12)))
    assert go_on(alerts, 151.0, 149.0, 151.0) == [1]
    assert feed(alerts, [tick(4, 151.0, second=20)], first_of_epoch=False) == []
    assert alerts.journal.changed["rule"].status == "expired"
    assert len(alerts) == 0


def test_a_clock_that_went_back_with_a_new_epoch_ends_pauses() -> None:
    alerts = watching(rule(("crossing_up", 150.0), cooldown_s=3600))
    assert go_on(alerts, 151.0) == [1]
    again = [tick(seq, price, epoch="epoch-2", second=seq - 10_000) for seq, price in enumerate([149.0, 151.0], 1)]
    assert feed(alerts, again) == [2]


def test_a_clock_that_went_on_keeps_pauses_in_a_new_epoch() -> None:
    alerts = watching(rule(("crossing_up", 150.0), cooldown_s=3600))
    assert go_on(alerts, 151.0) == [1]
    again = [tick(seq, price, epoch="epoch-2", second=100 + seq) for seq, price in enumerate([149.0, 151.0], 1)]
    assert feed(alerts, again) == []


# -- epochs --------------------------------------------------------------------------------------------------------


def test_a_new_epoch_sets_sides_anew() -> None:
    alerts = watching(rule(("crossing", 150.0)))
    assert go_on(alerts, 148.0) == []
    jump = [tick(seq, price, epoch="epoch-2") for seq, price in enumerate([151.0, 152.0, 149.0], start=1)]
    assert feed(alerts, jump) == [3]


def test_a_latch_lasts_over_epochs_until_the_level_has_been_false() -> None:
    alerts = watching(rule(("greater_than", 150.0)))
    assert go_on(alerts, 151.0) == [1]
    assert feed(alerts, [tick(1, 152.0, epoch="epoch-2"), tick(2, 151.0, epoch="epoch-2")]) == []
    assert feed(alerts, [tick(1, 140.0, epoch="epoch-3"), tick(2, 151.0, epoch="epoch-3")]) == [2]


# -- splits --------------------------------------------------------------------------------------------------------


def test_a_split_moves_thresholds_and_the_price_before() -> None:
    # 4:1 with lines between the old price (600) and the new one (150)
    alerts = watching(
        rule(("crossing_down", 400.0), id="down"), rule(("greater_than", 604.0), id="above"), before=600.0
    )
    assert feed(alerts, [split(1, 4.0)], first_of_epoch=False) == []
    assert go_on(alerts, 150.0, start=2) == []
    assert go_on(alerts, 151.0, 151.25, 99.0, start=3) == [4, 5]
    named = {firing.rule.id: firing.threshold for firing in alerts.journal.firings}
    assert named == {"above": 151.0, "down": 100.0}


@pytest.mark.parametrize("then", [[], [tick(2, 150.0, second=1)], [tick(2, 150.0, second=2)]])
def test_restarted_behind_a_split_the_past_is_asked_for_in_the_new_shares(then: list[Record]) -> None:
    alerts = watching(before=600.0)
    feed(alerts, [split(1, 4.0), *then], first_of_epoch=False)
    before = instants.parse(restarted(alerts).known_before("AAPL"))
    end = instants.parse(at(0))
    day = FinalBar("AAPL", "1d", end - 1, end, "2024-09-19", 600.0, 600.0, 600.0, 600.0, 10.0)
    (known,) = adjust([day], [SplitFound("AAPL", 4.0, "2024-09-20", instants.parse(at(1)))], before)
    assert known.close == 150.0


def test_a_split_is_told_once_to_each_user() -> None:
    alerts = watching(rule(("crossing", 400.0), id="a"), rule(("crossing", 500.0), id="b"), before=600.0)
    feed(alerts, [split(1, 7.0)], first_of_epoch=False)
    assert [(each.user_id, each.symbol, each.seq) for each in alerts.journal.rescaled] == [("ada", "AAPL", 1)]
    assert {each.rule.conditions for each in alerts.journal.changed.values()} == {
        (Crossing(57.1428571429),),
        (Crossing(71.4285714286),),
    }


def test_a_split_does_not_wake_a_latched_level() -> None:
    alerts = watching(rule(("greater_than", 500.0)), before=600.0)
    assert go_on(alerts, 601.0) == [1]
    assert feed(alerts, [split(2, 4.0)], first_of_epoch=False) == []
    assert go_on(alerts, 150.0, 151.0, 124.0, 126.0, start=3) == [6]


def test_a_replay_that_begins_again_takes_its_splits_back() -> None:
    alerts = watching(rule(("crossing_up", 700.0)), before=600.0)
    assert feed(alerts, [tick(1, 700.0), split(2, 7.0), tick(3, 99.0), tick(4, 100.0)], first_of_epoch=False) == [1, 4]
    again: list[Record] = [
        tick(1, 600.0, epoch="epoch-2", second=0),
        tick(2, 700.0, epoch="epoch-2", second=1),
        split(3, 7.0, epoch="epoch-2", second=2),
        tick(4, 99.0, epoch="epoch-2", second=3),
        tick(5, 100.0, epoch="epoch-2", second=4),
    ]
    assert feed(alerts, again) == [2, 5]
    assert [each.seq for each in alerts.journal.rescaled] == [2, 1, 3]


def test_an_epoch_that_goes_on_in_time_keeps_its_splits() -> None:
    alerts = watching(rule(("crossing_up", 600.0)), before=500.0)
    feed(alerts, [split(1, 4.0)], first_of_epoch=False)
    later = [tick(1, 140.0, epoch="epoch-2", second=10), tick(2, 150.0, epoch="epoch-2", second=11)]
    assert feed(alerts, later) == [2]


# -- corrections ---------------------------------------------------------------------------------------------------


def test_the_right_price_after_a_wrong_one_fires_nothing_again() -> None:
    alerts = watching(rule(("greater_than", 150.0), id="level"), rule(("crossing_up", 150.0), id="event"))
    assert go_on(alerts, 151.0) == [1, 1]
    fixed: list[Record] = [correction(2, 1, 150.5), tick(3, 150.5)]
    assert feed(alerts, fixed, first_of_epoch=False) == []


def test_the_right_price_is_compared_with_the_one_before_the_wrong_one() -> None:
    alerts = watching(rule(("crossing_down", 150.0)))
    assert go_on(alerts, 151.0) == []  # wrong: it never went up
    fixed: list[Record] = [correction(2, 1, 149.5), tick(3, 149.5)]
    assert feed(alerts, fixed, first_of_epoch=False) == []
    missed = watching(rule(("crossing_up", 150.0)))
    assert go_on(missed, 148.0) == []  # wrong: it did go up
    assert feed(missed, (correction(2, 1, 151.0), tick(3, 151.0)), first_of_epoch=False) == [3]


def test_a_cancelled_trade_cannot_arm_a_latched_rule() -> None:
    alerts = watching(rule(("greater_than", 150.0)))
    assert go_on(alerts, 151.0) == [1]
    assert go_on(alerts, 100.0, start=2) == []  # wrong: the level has not been false
    cancelled: list[Record] = [correction(3, 2, None), tick(4, 151.0), tick(5, 152.0)]
    assert feed(alerts, cancelled, first_of_epoch=False) == []
    assert go_on(alerts, 150.0, 151.0, start=6) == [7]


def test_a_cancelled_trade_cannot_arm_a_rule_across_a_restart() -> None:
    alerts = watching(rule(("greater_than", 150.0)))
    go_on(alerts, 151.0, 100.0)
    again = restarted(alerts, alerts.journal.changed["rule"])
    assert feed(again, [correction(3, 2, None), tick(4, 151.0)], first_of_epoch=False) == []


def test_a_real_fall_after_a_false_alarm_arms_the_rule() -> None:
    alerts = watching(rule(("greater_than", 150.0)))
    assert go_on(alerts, 151.0) == [1]  # wrong
    fixed: list[Record] = [correction(2, 1, 149.5), tick(3, 149.5), tick(4, 151.0)]
    assert feed(alerts, fixed, first_of_epoch=False) == [4]


def test_the_first_price_of_an_epoch_taken_back_leaves_no_side() -> None:
    alerts = watching(rule(("crossing", 150.0)), before=None)
    assert feed(alerts, [tick(1, 100.0)]) == []
    assert feed(alerts, [correction(2, 1, 151.0), tick(3, 151.0)], first_of_epoch=False) == []
    assert go_on(alerts, 149.0, start=4) == [4]


def test_the_right_price_after_a_pause_fires_what_the_wrong_one_could_not() -> None:
    # the crossing at the wrong price came while the rule cooled down; the right price, beyond the line too, comes after
    alerts = watching(rule(("crossing_up", 150.0), cooldown_s=10))
    assert feed(alerts, [tick(1, 151.0, second=1), tick(2, 149.0, second=2)], first_of_epoch=False) == [1]
    late = (tick(3, 152.0, second=10), correction(4, 3, 151.0), tick(5, 151.0, second=11))
    assert feed(alerts, late, first_of_epoch=False) == [5]


def test_a_latch_that_the_first_price_of_an_epoch_ended_wrongly_ends_at_the_right_one() -> None:
    alerts = watching(rule(("greater_than", 150.0)))
    assert go_on(alerts, 155.0) == [1]
    again: list[Record] = [tick(1, 100.0, epoch="epoch-2"), correction(2, 1, 145.0, epoch="epoch-2")]
    assert feed(alerts, again) == []
    later = [tick(seq, price, epoch="epoch-2") for seq, price in enumerate([145.0, 151.0], start=3)]
    assert feed(alerts, later, first_of_epoch=False) == [4]


def test_a_trade_before_a_split_can_be_corrected_after_it() -> None:
    alerts = watching(rule(("crossing_up", 600.0)), before=596.0)
    assert go_on(alerts, 590.0) == []  # wrong
    late: list[Record] = [split(2, 4.0), correction(3, 1, 151.0), tick(4, 151.0)]
    assert feed(alerts, late, first_of_epoch=False) == [4]


def test_a_correction_of_an_older_trade_changes_nothing() -> None:
    alerts = watching(rule(("crossing", 150.0)))
    assert go_on(alerts, 100.0, 149.0) == []
    assert feed(alerts, [correction(3, 1, 149.0), tick(4, 151.0)], first_of_epoch=False) == [4]


# -- other records -------------------------------------------------------------------------------------------------


def test_a_bar_is_no_price() -> None:
    # its high is above a threshold whose latch came from the last price: nothing fires, all day
    alerts = watching(rule(("greater_than", 150.0)))
    bar = Bar(
        symbol="AAPL", timeframe="1d", start=at(0), open=149.0, high=160.0, low=140.0, close=149.5,
        volume=1e6, final=True, epoch="epoch-1", seq=3, time=at(3), date="2024-09-20",
    )  # fmt: skip
    assert go_on(alerts, 151.0, 149.0) == [1]
    assert feed(alerts, [bar, bar, tick(5, 149.6)], first_of_epoch=False) == []
    assert go_on(alerts, 150.1, start=6) == [6]


def test_symbols_do_not_disturb_one_another() -> None:
    alerts = watching(rule(("crossing_up", 150.0)))
    feed(alerts, [tick(1, 100.0, symbol="IBM")])
    assert feed(alerts, [tick(2, 200.0, symbol="IBM")], first_of_epoch=False) == []
    assert go_on(alerts, 150.0) == [1]


# -- rules come and go ---------------------------------------------------------------------------------------------


def test_a_removed_rule_is_silent_and_the_others_go_on() -> None:
    alerts = watching(rule(("crossing", 150.0), id="a"), rule(("crossing", 150.0), id="b"))
    alerts.remove("AAPL", "a")
    alerts.remove("AAPL", "never existed")
    alerts.remove("IBM", "a")
    assert go_on(alerts, 151.0) == [1]
    assert alerts.journal.firings[0].rule.id == "b"
    assert len(alerts) == 1


def test_a_changed_rule_replaces_the_old_one() -> None:
    alerts = watching(rule(("crossing", 150.0)))
    alerts.add([Watch(rule(("crossing", 200.0)))])
    assert go_on(alerts, 151.0, 149.0, 201.0) == [3]
    assert len(alerts) == 1


def test_thousands_fire_at_one_tick_in_a_fixed_order() -> None:
    rules = [rule(("crossing_up", 150.0), id=f"{number:04}", every_time=False) for number in range(3000)]
    alerts = watching(*rules)
    assert go_on(alerts, 150.0) == [1] * 3000
    assert [firing.rule.id for firing in alerts.journal.firings] == [each.id for each in rules]
    assert len(alerts) == 0
    assert go_on(alerts, 149.0, 150.0, start=2) == []


# -- restarts ------------------------------------------------------------------------------------------------------


def test_sides_latches_and_pauses_survive_a_restart() -> None:
    rules = [
        rule(("crossing_up", 150.0), id="crossing"),
        rule(("greater_than", 150.0), id="latched"),
        rule(("greater_than", 140.0), id="paused", cooldown_s=3600),
    ]
    alerts = watching(*rules)
    assert go_on(alerts, 151.0, 139.0, 149.0) == [1, 1, 1]
    again = restarted(alerts, *alerts.journal.changed.values())
    assert go_on(again, 151.0, start=4) == [4, 4]
    assert [firing.rule.id for firing in again.journal.firings] == ["crossing", "latched"]
    last = restarted(again, *again.journal.changed.values())
    assert go_on(last, 152.0, start=5) == []
