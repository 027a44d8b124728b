"""What the gateway puts on the wire, read by the client."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.gateway.core.wire import read_notice, read_update
from services.shared import events
from tickroom_client import AccountUpdate, AlertTriggered, Bar, Correction, Garbled, Interval, Prediction, Price, Split
from tickroom_client.messages import read

_NOON = datetime(2024, 9, 21, 14, 23, 0, 123456, tzinfo=UTC)
_TIME = "2024-09-21T14:23:00.123456Z"


def _sent(event: events.Event, **more: Any) -> dict[str, Any]:
    """As the gateway sends it to an extended client."""
    update = read_update(events.encode(event))
    assert update is not None
    told: dict[str, Any] = json.loads(update.retold(conflated=2, snapshot=True, stale=True))
    return told | more


_PLACE: dict[str, Any] = {"symbol": "AAPL", "epoch": "e1", "seq": 7, "time": _TIME, "source": "replay"}
_READ: dict[str, Any] = {**_PLACE, "time": _NOON, "stale": True, "snapshot": True, "conflated": 2}


def test_a_price() -> None:
    sent = _sent(events.Tick(price=151.75, timestamp="2024-09-21T14:23:00Z", volume=3, trade_id="t", **_PLACE))
    assert read(sent) == Price(price=151.75, volume=3, trade_id="t", **_READ)
    del sent["volume"], sent["trade_id"]
    assert read(sent) == Price(price=151.75, volume=None, trade_id=None, **_READ)


@pytest.mark.parametrize("interval", [None, Interval(low=1.0, high=2.0, coverage=0.8)])
def test_a_prediction(interval: Interval | None) -> None:
    told: dict[str, Any] = {
        "prediction": "buy",
        "prev_seq": 3,
        "confidence": 0.6,
        "horizon": "1d",
        "price_target": 1.5,
        "direction": "bullish",
        "model_version": "m",
        "reason": "warm_up",
    }
    signal = events.Signal(
        timestamp="2024-09-21T14:23:00Z",
        interval=None if interval is None else events.Interval(low=1.0, high=2.0, coverage=0.8),
        skill=events.Skill(
            count=9, hit_rate=0.5, hit_rate_interval=(0.4, 0.6), baseline_hit_rate=0.5, mae=0.1, baseline_mae=0.1
        ),
        valid_until=_TIME,
        **told,
        **_PLACE,
    )
    found = read(_sent(signal))
    assert isinstance(found, Prediction)
    assert found.skill is not None
    assert found.skill["hit_rate_interval"] == [0.4, 0.6]
    assert found == Prediction(interval=interval, skill=found.skill, valid_until=_NOON, **told, **_READ)


def test_a_bar_a_split_and_a_correction() -> None:
    prices: dict[str, Any] = {"open": 1.0, "high": 4.0, "low": 0.5, "close": 2.0, "volume": 9.0, "final": True}
    bar = events.Bar(timeframe="1d", start=_TIME, date="2024-09-21", **prices, **_PLACE)
    assert read(_sent(bar)) == Bar(timeframe="1d", start=_NOON, date=date(2024, 9, 21), **prices, **_READ)
    split = events.Split(ratio=4.0, effective="2024-09-21", **_PLACE)
    assert read(_sent(split)) == Split(ratio=4.0, effective=date(2024, 9, 21), **_READ)
    correction = events.Correction(of_seq=5, price=None, **_PLACE)
    assert read(_sent(correction)) == Correction(of_seq=5, price=None, **_READ)


def test_notifications() -> None:
    alert: dict[str, Any] = {
        "id": "n1",
        "alert_id": "a1",
        "symbol": "AAPL",
        "condition": "crossing_up",
        "threshold": 150.0,
        "price": 151.75,
        "message": "AAPL rose",
    }
    internal: dict[str, Any] = {"user_id": "u", "rule_version": 1, "epoch": "e", "seq": 1, "previous_price": None}
    when = datetime(2024, 9, 21, 14, 23, tzinfo=UTC)
    told = events.encode(events.AlertTriggered(timestamp="2024-09-21T14:23:00Z", **alert, **internal))
    assert read(_noticed(told)) == AlertTriggered(timestamp=when, **alert)
    told = events.encode(
        events.AccountUpdated(id="n2", event="email_changed", timestamp="2024-09-21T14:23:00Z", user_id="u")
    )
    assert read(_noticed(told)) == AccountUpdate(id="n2", event="email_changed", timestamp=when)


def _noticed(event: bytes) -> dict[str, Any]:
    notice = read_notice(event)
    assert notice is not None
    told: dict[str, Any] = json.loads(notice.text)
    return told


def test_what_is_new_on_the_wire_is_no_problem() -> None:
    tick = events.Tick(price=1.0, timestamp="2024-09-21T14:23:00Z", **_PLACE)
    assert isinstance(read(_sent(tick, colour="red")), Price)
    assert read({"type": "weather", "wind": 3}) is None


@pytest.mark.parametrize("wrong", [{"price": None, "time": 5}, {"time": "noon"}])
def test_a_message_that_is_none(wrong: dict[str, Any]) -> None:
    tick = events.Tick(price=1.0, timestamp="2024-09-21T14:23:00Z", **_PLACE)
    with pytest.raises(Garbled, match="stock_price_update"):
        read(_sent(tick, **wrong))
    with pytest.raises(Garbled, match="epoch"):
        read({key: value for key, value in _sent(tick).items() if key != "epoch"})
