"""Old is what the market has moved on from, by its own clock."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.core.freshness import Freshness
from services.gateway.core.hall import Hall
from services.gateway.core.wire import Update, read_update
from services.shared.events import Tick, encode, rfc3339, seconds
from tests.unit.gateway.frames import Sink, signal


def _tick(when: datetime, source: str, symbol: str = "AAPL", seq: int = 1) -> bytes:
    time = rfc3339(when)
    return encode(
        Tick(symbol=symbol, price=1.0, timestamp=seconds(time), epoch="e1", seq=seq, time=time, source=source)
    )


def _update(value: bytes) -> Update:
    update = read_update(value)
    assert update is not None
    return update


FRIDAY_CLOSE = datetime(2024, 9, 20, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("traded", "now", "stale"),
    [
        (FRIDAY_CLOSE, FRIDAY_CLOSE + timedelta(days=2), False),  # the market was closed since
        (FRIDAY_CLOSE - timedelta(minutes=16), FRIDAY_CLOSE + timedelta(days=2), True),
        (FRIDAY_CLOSE, datetime(2024, 9, 23, 13, 44, 59, tzinfo=UTC), False),  # 14:59 after Monday's open
        (FRIDAY_CLOSE, datetime(2024, 9, 23, 13, 46, tzinfo=UTC), True),
        (datetime(2024, 9, 23, 13, 35, tzinfo=UTC), datetime(2024, 9, 23, 13, 49, tzinfo=UTC), False),
    ],
)
def test_a_live_price_ages_while_the_market_is_open(traded: datetime, now: datetime, stale: bool) -> None:
    assert Freshness(900).is_stale(_update(_tick(traded, "alpaca")), rfc3339(now)) is stale


def test_a_replay_is_judged_by_its_own_clock_and_the_step_in_hand_does_not_count() -> None:
    freshness, now = Freshness(900), "2026-01-01T00:00:00.000000Z"
    morning, evening = FRIDAY_CLOSE - timedelta(hours=6.5), FRIDAY_CLOSE
    first, second = _update(_tick(morning, "replay")), _update(_tick(evening, "replay", "IBM"))
    freshness.note(first)
    assert not freshness.is_stale(first, now)
    freshness.note(second)
    assert not freshness.is_stale(first, now)  # its own evening price may come at once
    freshness.note(_update(_tick(evening + timedelta(days=3), "replay", "IBM", 2)))
    assert freshness.is_stale(first, now)
    assert not freshness.is_stale(second, now)


def test_a_prediction_is_stale_when_its_horizon_is_over() -> None:
    prediction = _update(signal().replace(b'"source":""', b'"source":"alpaca"'))
    assert not Freshness(900).is_stale(prediction, "2024-09-22T14:00:00.000000Z")
    assert Freshness(900).is_stale(prediction, "2024-09-22T15:00:00.000000Z")


def test_snapshots_and_late_live_records_say_that_they_are_old() -> None:
    clock = [FRIDAY_CLOSE]
    hall = Hall(now=lambda: clock[0])
    live = Sink()
    hall.enter(live.seat(extended=True), "AAPL")
    hall.deliver([_tick(FRIDAY_CLOSE - timedelta(hours=1), "alpaca", seq=1)])
    hall.deliver([_tick(FRIDAY_CLOSE - timedelta(seconds=1), "alpaca", seq=2)])
    clock[0] += timedelta(days=4)
    late = Sink()
    hall.enter(late.seat(extended=True), "AAPL")
    assert [(each["seq"], each["stale"]) for each in live.messages] == [(1, True), (2, False)]
    assert [(each["seq"], each["stale"], each["snapshot"]) for each in late.messages] == [(2, True, True)]
    json.dumps(late.messages)


def test_a_replay_that_begins_again_is_judged_by_its_new_clock() -> None:
    hall = Hall()
    for days in range(3):
        hall.deliver([_tick(FRIDAY_CLOSE + timedelta(days=days), "replay", seq=days + 1)])
    hall.deliver([_tick(FRIDAY_CLOSE - timedelta(days=300), "replay").replace(b'"epoch":"e1"', b'"epoch":"e2"')])
    sink = Sink()
    hall.enter(sink.seat(extended=True), "AAPL")
    assert [(each["epoch"], each["stale"]) for each in sink.messages] == [("e2", False)]
