"""Each family of conditions over hand-made records, with the exact ones that fire."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from services.shared.calendars import close_time
from services.shared.events import Bar, Prediction, Record, Signal, Tick, rfc3339, seconds
from services.users.core.alerts import Alerts
from services.users.core.bars import Past
from services.users.core.channels import EnteringChannel, ExitingChannel
from services.users.core.conditions import AnyCondition
from services.users.core.crossings import CrossingUp
from services.users.core.extremes import NewHigh, NewLow
from services.users.core.journal import Watch
from services.users.core.levels import GreaterThan
from services.users.core.moves import MovingDown, MovingUp
from services.users.core.rules import Rule, Trigger
from services.users.core.signals import ConfidenceAbove, PredictionChanged
from services.users.core.stale import Stale
from services.users.core.volume import VolumeAbove
from tests.unit.users.ticks import at, correction, feed, split, tick


def watched(
    *conditions: AnyCondition,
    trigger: Trigger = "every_time",
    cooldown_s: int = 0,
    hysteresis_pct: float = 0.0,
    market_hours_only: bool = False,
    snoozed_until: str | None = None,
) -> Rule:
    return Rule(
        "rule",
        1,
        "ada",
        "AAPL",
        conditions,
        trigger,
        cooldown_s,
        hysteresis_pct,
        market_hours_only=market_hours_only,
        snoozed_until=snoozed_until,
    )


def after(rule: Rule, price: float | None) -> Alerts:
    """A rule made after a price (None: before any)."""
    alerts = Alerts()
    if price is not None:
        feed(alerts, [tick(0, price)])
    alerts.add([Watch(rule)])
    return alerts


def go_on(alerts: Alerts, *prices: float, start: int = 1, every_s: int = 1) -> list[int]:
    ticks = [tick(seq, price, second=seq * every_s) for seq, price in enumerate(prices, start=start)]
    return feed(alerts, ticks, first_of_epoch=False)


# -- channels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "made_at", "prices", "fires"),
    [
        (EnteringChannel(140.0, 150.0), 139.0, [140.0, 145.0, 139.0, 150.0], [1, 4]),
        (EnteringChannel(140.0, 150.0), 139.0, [151.0, 139.0, 151.0, 150.0], [4]),
        (EnteringChannel(140.0, 150.0), 145.0, [146.0, 150.0, 140.0], []),
        (ExitingChannel(140.0, 150.0), 145.0, [150.0, 151.0, 152.0, 145.0, 139.0], [2, 5]),
        (ExitingChannel(140.0, 150.0), 151.0, [139.0, 151.0, 140.0, 139.99], [4]),
    ],
)
def test_channels(condition: AnyCondition, made_at: float, prices: list[float], fires: list[int]) -> None:
    assert go_on(after(watched(condition), made_at), *prices) == fires


def test_the_first_price_ever_enters_nothing() -> None:
    alerts = after(watched(EnteringChannel(140.0, 150.0)), None)
    assert feed(alerts, [tick(1, 145.0), tick(2, 139.0), tick(3, 145.0)]) == [3]


def test_channels_with_hysteresis() -> None:
    entering = after(watched(EnteringChannel(140.0, 150.0), hysteresis_pct=10.0), 139.0)
    assert go_on(entering, 140.0, 139.0, 140.0, 126.0, 140.0, 164.0, 150.0, 165.0, 150.0) == [1, 5, 9]
    exiting = after(watched(ExitingChannel(140.0, 150.0), hysteresis_pct=2.0), 145.0)
    assert go_on(exiting, 151.0, 150.0, 151.0, 147.0, 151.0, 141.0, 139.0, 142.8, 139.0) == [1, 5, 7, 9]


def test_a_channel_tells_the_bound_that_was_passed_and_follows_splits() -> None:
    alerts = after(watched(ExitingChannel(400.0, 600.0)), 500.0)
    assert feed(alerts, [split(1, 4.0)], first_of_epoch=False) == []
    assert go_on(alerts, 125.0, 150.0, 151.0, start=2) == [4]
    assert alerts.journal.firings[0].threshold == 150.0
    assert alerts.journal.firings[0].condition == ExitingChannel(100.0, 150.0)


# -- moves ---------------------------------------------------------------------------------------------------------


def test_a_move_counts_from_the_lowest_price_of_the_window() -> None:
    alerts = after(watched(MovingUp(window_s=60, amount=5.0)), 100.0)
    ticks = [(30, 104.99), (31, 105.0), (60, 106.0), (61, 106.0), (90, 109.98), (91, 110.0)]
    # at 61 the 100 of second 0 has become too old, and 104.99 counts; at 91 that has, and 105 counts
    fires = feed(alerts, [tick(n, p, second=s) for n, (s, p) in enumerate(ticks, 1)], first_of_epoch=False)
    assert fires == [2, 6]


def test_a_fall_in_percent() -> None:
    alerts = after(watched(MovingDown(window_s=60, percent=5.0)), 100.0)
    assert go_on(alerts, 95.1, 95.0, 94.0, 95.1, 95.0) == [2, 5]


def test_a_latched_move_with_hysteresis_waits_for_the_line_of_the_moment() -> None:
    alerts = after(watched(MovingUp(window_s=60, amount=5.0), hysteresis_pct=2.0), 100.0)
    # the line is 105; back at 102.9
    assert go_on(alerts, 105.0, 104.0, 105.0, 102.9, 105.0) == [1, 5]


def test_prices_before_a_rule_do_not_count_for_it() -> None:
    alerts = after(watched(MovingUp(window_s=600, amount=50.0)), 100.0)
    assert go_on(alerts, 110.0) == []
    late = Rule("late", 1, "ada", "AAPL", (MovingUp(window_s=600, amount=5.0),), "every_time")
    alerts.add([Watch(late)])  # the last price, 110, is the first that counts for it
    assert go_on(alerts, 112.0, 114.9, 115.0, start=2) == [4]


def test_a_split_is_no_move() -> None:
    alerts = after(watched(MovingDown(window_s=600, amount=10.0)), 600.0)
    later = Rule("percent", 1, "ada", "AAPL", (MovingDown(window_s=600, percent=10.0),), "every_time")
    alerts.add([Watch(later)])
    assert feed(alerts, [split(1, 4.0)], first_of_epoch=False) == []
    assert go_on(alerts, 150.0, 147.51, 147.5, 135.0, start=2) == [4, 5]
    assert [each.rule.id for each in alerts.journal.firings] == ["rule", "percent"]
    assert [each.rule.conditions for each in alerts.journal.changed.values() if each.rule.id == "rule"] == [
        (MovingDown(window_s=600, amount=2.5),)
    ]


def test_a_wrong_price_leaves_no_trace_in_a_window() -> None:
    alerts = after(watched(MovingUp(window_s=600, amount=5.0)), 100.0)
    wrong: list[Record] = [tick(1, 90.0), correction(2, 1, 99.5), tick(3, 99.5), tick(4, 104.4), tick(5, 104.5)]
    assert feed(alerts, wrong, first_of_epoch=False) == [5]


def test_a_correction_of_the_tick_that_fired_fires_nothing_again() -> None:
    for condition in (MovingUp(window_s=600, amount=5.0), EnteringChannel(104.0, 120.0)):
        alerts = after(watched(condition), 100.0)
        story: list[Record] = [tick(1, 106.0), correction(2, 1, 105.0), tick(3, 105.0), tick(4, 107.0)]
        assert feed(alerts, story, first_of_epoch=False) == [1]


# -- new highs and lows --------------------------------------------------------------------------------------------


DAYS = [date(2024, 9, 16), date(2024, 9, 17), date(2024, 9, 18), date(2024, 9, 19)]


def past(*highs: float) -> list[Past]:
    """Days before 2024-09-20, the newest last, ten wide."""
    days = DAYS[-len(highs) :]
    return [Past(rfc3339(close_time(day)), high, high - 10, 100.0) for day, high in zip(days, highs, strict=True)]


def day_bar(seq: int, high: float, low: float, volume: float = 100.0, day: date = date(2024, 9, 20)) -> Bar:
    end = rfc3339(close_time(day))
    return Bar(
        symbol="AAPL", timeframe="1d", start=at(0), open=low, high=high, low=low, close=high, volume=volume,
        final=True, epoch="epoch-1", seq=seq, time=end, date=day.isoformat(),
    )  # fmt: skip


def looking_back(rule: Rule, price: float, days: Sequence[Past]) -> Alerts:
    alerts = after(rule, price)
    alerts.give("AAPL", days, ())
    return alerts


def test_a_new_high_is_above_every_high_of_so_many_days() -> None:
    alerts = looking_back(watched(NewHigh(days=2)), 101.0, past(120.0, 100.0, 102.0))
    assert go_on(alerts, 102.0, 102.01, 103.0, 102.0, 103.0) == [2, 5]
    assert alerts.journal.firings[0].threshold == 102.0


def test_a_new_low() -> None:
    alerts = looking_back(watched(NewLow(days=2)), 95.0, past(100.0, 102.0))
    assert go_on(alerts, 90.0, 89.99, 89.0) == [2]


def test_with_fewer_days_nothing_is_new() -> None:
    alerts = looking_back(watched(NewHigh(days=3)), 101.0, past(100.0, 102.0))
    assert go_on(alerts, 150.0) == []


def test_each_day_raises_the_line() -> None:
    alerts = looking_back(watched(NewHigh(days=1)), 101.0, past(102.0))
    assert go_on(alerts, 104.0) == [1]
    story: list[Record] = [day_bar(2, 105.0, 100.0), tick(3, 104.9, second=86_400), tick(4, 105.1, second=86_401)]
    assert feed(alerts, story, first_of_epoch=False) == [4]


def test_a_gap_over_the_line_of_a_new_day_is_a_new_high() -> None:
    alerts = looking_back(watched(NewHigh(days=1)), 101.0, past(102.0))
    assert go_on(alerts, 104.0) == [1]
    story: list[Record] = [day_bar(2, 105.0, 100.0), tick(3, 106.0, second=86_400)]
    assert feed(alerts, story, first_of_epoch=False) == [3]


def test_a_split_moves_the_days() -> None:
    alerts = looking_back(watched(NewHigh(days=2)), 500.0, past(520.0, 600.0))
    assert feed(alerts, [split(1, 4.0)], first_of_epoch=False) == []
    assert go_on(alerts, 149.0, 150.0, 150.01, start=2) == [4]


# -- volume --------------------------------------------------------------------------------------------------------


def volumes(rule: Rule, *bars: float) -> list[int]:
    """Which of the daily bars (1, 2, 3 ...) fire, after three of 100, 110 and 90."""
    alerts = after(rule, 50.0)
    days = [date(2024, 9, 20) + timedelta(days=number) for number in range(len(bars))]
    three = [each._replace(volume=volume) for each, volume in zip(past(60, 60, 60), (100.0, 110.0, 90.0), strict=True)]
    alerts.give("AAPL", three, ())
    return feed(
        alerts,
        [day_bar(seq, 60.0, 50.0, volume, day) for seq, (volume, day) in enumerate(zip(bars, days, strict=True), 1)],
        first_of_epoch=False,
    )


def test_a_bars_volume_is_compared_with_those_before_it() -> None:
    assert volumes(watched(VolumeAbove(times=2.0, bars=3)), 200.0, 300.0, 500.0, 600.0, 2000.0) == [2, 5]


def test_with_fewer_bars_no_volume_is_high() -> None:
    assert volumes(watched(VolumeAbove(times=2.0, bars=5)), 300.0) == []


def test_a_crossing_with_volume_behind_it() -> None:
    alerts = looking_back(watched(CrossingUp(105.0), VolumeAbove(times=2.0, bars=2)), 100.0, past(102.0, 102.0))
    assert go_on(alerts, 106.0, 104.0) == []
    bar = day_bar(3, 106.0, 100.0, 250.0)
    story: list[Record] = [bar, tick(4, 104.0, second=86_400), tick(5, 105.0, second=86_401)]
    assert feed(alerts, story, first_of_epoch=False) == [5]


# -- signals -------------------------------------------------------------------------------------------------------


def signal(seq: int, prediction: Prediction, confidence: float = 0.5, epoch: str = "epoch-1") -> Signal:
    return Signal(
        symbol="AAPL", prediction=prediction, timestamp=seconds(at(seq)), epoch=epoch, seq=seq, prev_seq=0,
        time=at(seq), confidence=confidence, horizon="1d", price_target=100.0, direction="bullish", interval=None,
        model_version="1", skill=None, valid_until=at(seq), reason=None,
    )  # fmt: skip


def signals(rule: Rule, *told: Signal) -> list[int]:
    alerts = Alerts()
    alerts.add([Watch(rule)])
    epoch = ""
    for each in told:
        alerts.apply(each, new_epoch=each.epoch != epoch)
        epoch = each.epoch
    return [firing.seq for firing in alerts.journal.firings]


def test_a_changed_prediction() -> None:
    told = [signal(n, each) for n, each in enumerate(["hold", "buy", "buy", "sell", "buy"], 1)]  # type: ignore[arg-type]
    assert signals(watched(PredictionChanged()), *told) == [2, 4, 5]
    assert signals(watched(PredictionChanged(to="buy")), *told) == [2, 5]
    assert signals(watched(PredictionChanged(to="buy"), trigger="once"), *told) == [2]
    assert signals(watched(PredictionChanged()), told[0], signal(1, "buy", epoch="epoch-2")) == []


def test_confidence_above() -> None:
    told = [signal(n, "buy", each) for n, each in enumerate([0.55, 0.6, 0.61, 0.7, 0.6, 0.61, 0.54, 0.61], 1)]
    assert signals(watched(ConfidenceAbove(threshold=0.6)), *told) == [3, 6, 8]
    assert signals(watched(ConfidenceAbove(threshold=0.6), hysteresis_pct=10.0), *told) == [3, 8]
    assert signals(watched(ConfidenceAbove(threshold=0.9), PredictionChanged()), *told) == []


# -- silence -------------------------------------------------------------------------------------------------------


def trade(seq: int, when: datetime, symbol: str = "AAPL") -> Tick:
    time = rfc3339(when)
    return Tick(symbol=symbol, price=100.0, timestamp=seconds(time), epoch="epoch-1", seq=seq, time=time)


def friday(hour: int, minute: int, second: int = 0) -> datetime:
    """2024-09-20 in New York (UTC-4)."""
    return datetime(2024, 9, 20, hour + 4, minute, second, tzinfo=UTC)


def silences(rule: Rule, *ticks: Tick) -> list[tuple[int, str]]:
    """(seq of the last tick, New York's time) of each firing."""
    alerts, begun = Alerts(), set[str]()
    alerts.add([Watch(rule)])
    for each in ticks:
        alerts.apply(each, new_epoch=each.symbol not in begun)
        begun.add(each.symbol)
    return [(each.seq, each.time[8:16]) for each in alerts.journal.firings]


def test_silence_is_noticed_by_other_symbols_and_by_its_own_next_tick() -> None:
    rule = watched(Stale(after_s=600))
    first = trade(1, friday(10, 0))
    assert silences(rule, first, trade(1, friday(10, 10), "IBM")) == []
    assert silences(rule, first, trade(1, friday(10, 10, 1), "IBM")) == [(1, "20T14:10")]
    assert silences(rule, first, trade(2, friday(10, 10))) == []  # in time
    assert silences(rule, first, trade(2, friday(11, 0))) == [(1, "20T14:10")]


def test_silence_is_told_once_until_there_is_a_trade() -> None:
    rule = watched(Stale(after_s=600))
    others = [trade(n, friday(10, 5 * n), "IBM") for n in range(1, 10)]
    assert silences(rule, trade(1, friday(10, 0)), *others) == [(1, "20T14:10")]
    assert silences(rule, trade(1, friday(10, 0)), *others, trade(2, friday(11, 0)), trade(3, friday(11, 20))) == [
        (1, "20T14:10"),
        (2, "20T15:10"),
    ]


def test_a_firing_says_whether_a_record_or_a_silence_caused_it() -> None:
    alerts = Alerts()
    alerts.add([Watch(watched(Stale(after_s=600))), Watch(Rule("line", 1, "ada", "AAPL", (GreaterThan(99.0),)))])
    alerts.apply(trade(1, friday(10, 0)), new_epoch=True)
    alerts.pass_time(rfc3339(friday(11, 0)))
    assert [(each.rule.id, each.seq, each.silent) for each in alerts.journal.firings] == [
        ("line", 1, False),
        ("rule", 1, True),
    ]


def test_a_closed_market_is_not_silent() -> None:
    rule = watched(Stale(after_s=600))
    monday = friday(9, 39) + timedelta(days=3)
    last = trade(1, friday(15, 55))
    assert silences(rule, last, trade(1, friday(18, 0), "IBM"), trade(2, monday, "IBM")) == []
    assert silences(rule, last, trade(2, monday + timedelta(minutes=2), "IBM")) == [(1, "23T13:40")]


def test_a_silence_during_a_pause_is_told_at_its_end() -> None:
    rule = watched(Stale(after_s=600), cooldown_s=3600)
    told = [trade(1, friday(10, 0)), trade(2, friday(10, 20)), trade(1, friday(11, 0), "IBM")]
    assert silences(rule, *told) == [(1, "20T14:10")]
    assert silences(rule, *told, trade(2, friday(11, 30), "IBM")) == [(1, "20T14:10"), (2, "20T15:10")]


# -- triggers, market hours, snoozing ------------------------------------------------------------------------------


def test_once_a_minute_and_once_a_bar() -> None:
    prices = [151.0, 149.0] * 60  # a tick a second from 13:30:01 on, up at every odd one
    minute = after(watched(CrossingUp(150.0), trigger="once_per_minute"), 149.0)
    assert go_on(minute, *prices) == [1, 61]
    day = after(watched(CrossingUp(150.0), trigger="once_per_bar"), 149.0)
    assert go_on(day, *prices, every_s=1800) == [1, 29, 77]  # New York's midnight is 14.5 hours later


def test_a_level_held_back_by_its_minute_fires_with_the_next_one() -> None:
    alerts = after(watched(GreaterThan(150.0), trigger="once_per_minute"), 149.0)
    assert go_on(alerts, 151.0, 149.0, *[151.0] * 70) == [1, 60]


def test_prices_outside_sessions_are_not_seen() -> None:
    rule = watched(CrossingUp(150.0), market_hours_only=True)
    alerts = Alerts()
    evening = friday(18, 0)
    feed(alerts, [tick(0, 149.0)])
    alerts.add([Watch(rule)])
    after_hours = [
        Tick(symbol="AAPL", price=price, timestamp="", epoch="epoch-1", seq=seq, time=rfc3339(evening))
        for seq, price in enumerate([151.0, 149.0, 152.0], 1)
    ]
    assert feed(alerts, after_hours, first_of_epoch=False) == []
    monday = evening + timedelta(days=2, hours=16)
    opening = Tick(symbol="AAPL", price=151.0, timestamp="", epoch="epoch-1", seq=4, time=rfc3339(monday))
    assert feed(alerts, [opening], first_of_epoch=False) == [4]  # seen from 149, the last price of a session


def test_a_rule_made_after_hours_starts_from_the_last_price_of_the_session() -> None:
    alerts, evening = Alerts(), friday(18, 0)
    late = Tick(symbol="AAPL", price=151.0, timestamp="", epoch="epoch-1", seq=1, time=rfc3339(evening))
    feed(alerts, [tick(0, 149.0), late])
    again = Alerts({"AAPL": alerts.state("AAPL")})
    again.add([Watch(watched(CrossingUp(150.0), market_hours_only=True))])
    monday = evening + timedelta(days=2, hours=16)
    opening = Tick(symbol="AAPL", price=151.0, timestamp="", epoch="epoch-1", seq=2, time=rfc3339(monday))
    assert feed(again, [opening], first_of_epoch=False) == [2]


def test_a_snooze_is_silent_and_a_level_that_lasts_fires_then() -> None:
    event = after(watched(CrossingUp(150.0), snoozed_until=at(4)), 149.0)
    assert go_on(event, 151.0, 149.0, 151.0, 149.0, 151.0) == [5]
    level = after(watched(GreaterThan(150.0), snoozed_until=at(4)), 149.0)
    assert go_on(level, 151.0, 151.0, 151.0, 151.0, 151.0) == [4]


def test_a_rule_that_is_only_snoozed_keeps_its_latch() -> None:
    alerts = after(watched(GreaterThan(150.0)), 149.0)
    assert go_on(alerts, 151.0) == [1]
    alerts.add([Watch(watched(GreaterThan(150.0), snoozed_until=at(2)))])
    assert go_on(alerts, 152.0, 152.0, 152.0, start=2) == []


def test_only_splits_that_change_a_rule_are_told() -> None:
    alerts = after(watched(MovingUp(window_s=60, percent=5.0)), 600.0)
    feed(alerts, [split(1, 4.0)], first_of_epoch=False)
    assert alerts.journal.rescaled == []
