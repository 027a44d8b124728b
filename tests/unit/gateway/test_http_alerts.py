"""Alert rules and notifications of one person."""

import json
from typing import Any

import pytest

from services.gateway.backends import Condition
from services.gateway.http.alert_bodies import TYPES, AlertBody
from services.shared.errors import Conflict
from tests.unit.gateway.http_fakes import EXPLAINED, PREVIEWED, TIME, Front, problem_of

UP = {"type": "crossing_up", "threshold": 150.0}
RULE = {"symbol": "AAPL", "conditions": [UP]}
KEYS = [
    "id",
    "version",
    "status",
    "symbol",
    "conditions",
    "trigger",
    "cooldown_s",
    "hysteresis_pct",
    "expires_at",
    "message",
    "channels",
    "market_hours_only",
    "snoozed_until",
]


async def test_a_rule_is_created_with_defaults_and_shown_as_sent() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts", json=RULE)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/alerts/a1"
    assert list(answer.json()) == KEYS
    assert answer.json() == {
        "id": "a1",
        "version": 1,
        "status": "active",
        "symbol": "AAPL",
        "conditions": [UP],
        "trigger": "once",
        "cooldown_s": 0,
        "hysteresis_pct": 0,
        "expires_at": None,
        "message": None,
        "channels": ["websocket"],
        "market_hours_only": False,
        "snoozed_until": None,
    }
    assert front.users.wishes[0][0] == "u1"


async def test_every_field_reaches_the_room_behind() -> None:
    front = Front()
    rule = {
        "symbol": "apple",
        "condition": {"type": "less_than", "threshold": 100},
        "trigger": "every_time",
        "cooldown_s": 60,
        "hysteresis_pct": 0.5,
        "expires_at": "2030-01-31T18:00:00+02:00",
        "message": "sell! 💥",
        "channels": ["websocket"],
    }
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts", json=rule, headers={"Idempotency-Key": "once-only"})
    _, wish = front.users.wishes[0]
    assert wish.symbol == "AAPL"
    assert wish.conditions == [Condition("less_than", 100.0)]
    assert (wish.trigger, wish.cooldown_s, wish.hysteresis_pct) == ("every_time", 60, 0.5)
    assert (wish.expires_at, wish.message) == ("2030-01-31T16:00:00.000000Z", "sell! 💥")
    assert wish.idempotency_key == "once-only"
    assert answer.json()["expires_at"] == "2030-01-31T16:00:00Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"symbol": 1}, "symbol"),
        ({"conditions": []}, "conditions"),
        ({"conditions": [UP] * 6}, "conditions"),
        ({"conditions": [{"type": "crossing_up", "threshold": "150"}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "crossing_up", "threshold": True}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "crossing_up", "threshold": -1}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "crossing_up", "threshold": 1e300}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "crossing_up", "threshold": 150, "until": 1}]}, "conditions.0.until"),
        ({"conditions": [{"type": "crossing_up"}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "moon", "threshold": 150}]}, "conditions.0.type"),
        ({"conditions": [UP, 7]}, "conditions.1"),
        ({"conditions": [{"type": "entering_channel", "lower": 2, "upper": 1}]}, "conditions.0.upper"),
        ({"conditions": [{"type": "exiting_channel", "upper": 1}]}, "conditions.0.lower"),
        ({"conditions": [{"type": "moving_up", "window_s": 60}]}, "conditions.0"),
        ({"conditions": [{"type": "moving_up", "window_s": 60, "amount": 1, "percent": 1}]}, "conditions.0"),
        ({"conditions": [{"type": "moving_down", "window_s": 86401, "percent": 1}]}, "conditions.0.window_s"),
        ({"conditions": [{"type": "new_high", "days": 1.5}]}, "conditions.0.days"),
        ({"conditions": [{"type": "new_low", "days": 367}]}, "conditions.0.days"),
        ({"conditions": [{"type": "volume_above", "times": 0, "bars": 20}]}, "conditions.0.times"),
        ({"conditions": [{"type": "prediction_changed", "to": "moon"}]}, "conditions.0.to"),
        ({"conditions": [{"type": "confidence_above", "threshold": 1.1}]}, "conditions.0.threshold"),
        ({"conditions": [{"type": "stale", "after_s": 0}]}, "conditions.0.after_s"),
        ({"trigger": "twice"}, "trigger"),
        ({"channels": []}, "channels"),
        ({"snooze_s": -1}, "snooze_s"),
        ({"snoozed_until": "tomorrow"}, "snoozed_until"),
        ({"market_hours_only": 1}, "market_hours_only"),
        ({"conditions": [{"threshold": 150}]}, "conditions.0.type"),
        ({"condition": UP}, "body"),
        ({"cooldown_s": 1.5}, "cooldown_s"),
        ({"cooldown_s": 10**30}, "cooldown_s"),
        ({"hysteresis_pct": 50.1}, "hysteresis_pct"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-31T16:00:00"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"message": "a\x00b"}, "message"),
        ({"mesage": "typo"}, "mesage"),
    ],
)
async def test_a_wrong_rule_is_refused_with_the_field_named(change: dict[str, Any], field: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        body = problem_of(await client.post("/api/v1/alerts", json=RULE | change), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert front.users.wishes == []


async def test_every_type_of_condition_reaches_the_room_behind_and_is_shown_as_sent() -> None:
    front = Front()
    conditions = [
        {"type": "exiting_channel", "lower": 140.0, "upper": 150.0},
        {"type": "moving_up", "percent": 2.0, "window_s": 300},
        {"type": "moving_down", "amount": 5.0, "window_s": 300},
        {"type": "new_high", "days": 20},
        {"type": "volume_above", "times": 2.0, "bars": 20},
        {"type": "prediction_changed"},
        {"type": "prediction_changed", "to": "buy"},
        {"type": "confidence_above", "threshold": 0.7},
        {"type": "stale", "after_s": 300},
    ]
    async with front.client(signed_in=True) as client:
        for each in conditions:
            answer = await client.post("/api/v1/alerts", json={"symbol": "AAPL", "condition": each})
            assert (answer.status_code, answer.json()["conditions"]) == (201, [each])
    assert front.users.wishes[1][1].conditions == [Condition("moving_up", percent=2.0, window_s=300)]


def test_documented_types_are_those_that_are_told_apart() -> None:
    schema = AlertBody.model_json_schema()["properties"]["conditions"]["anyOf"][0]["items"]
    assert set(schema["discriminator"]["mapping"]) == set(TYPES)


async def test_a_change_names_what_was_given() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/alerts", json=RULE)
        body = {"condition": {"type": "less_than", "threshold": 9.0}, "message": None, "paused": False}
        answer = await client.patch("/api/v1/alerts/a1", json=body)
        assert answer.status_code == 200
        assert (answer.json()["version"], answer.json()["conditions"]) == (2, [body["condition"]])
        await client.patch("/api/v1/alerts/a1", json={"symbol": "apple", "snooze_s": 60})
        problem_of(await client.patch("/api/v1/alerts/a1", json={"symbol": "NOPE"}), 404, "unknown_symbol")
        problem_of(await client.patch("/api/v1/alerts/a9", json={"paused": True}), 404, "unknown_alert")
    first, second = [change for _, _, change in front.users.rule_changes]
    assert (first.given, first.paused) == (["conditions", "message"], False)
    assert (second.given, second.paused) == (["snooze_s", "symbol"], None)
    assert (second.wish.symbol, second.wish.snooze_s) == ("AAPL", 60)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trigger": None}, "trigger"),
        ({"symbol": None}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"conditions": []}, "conditions"),
        ({"conditions": [UP], "condition": UP}, "body"),
        ({"paused": "no"}, "paused"),
        ({"status": "active"}, "status"),
        ({"version": 7}, "version"),
    ],
)
async def test_a_wrong_change_is_refused_with_the_field_named(change: dict[str, Any], field: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/alerts", json=RULE)
        body = problem_of(await client.patch("/api/v1/alerts/a1", json=change), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert front.users.rule_changes == []


async def test_a_rule_is_explained() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/alerts", json=RULE)
        answer = await client.get("/api/v1/alerts/a1/explain")
        assert (answer.status_code, answer.json()) == (200, json.loads(EXPLAINED))
        problem_of(await client.get("/api/v1/alerts/a9/explain"), 404, "unknown_alert")


async def test_a_rule_is_previewed_over_bars_or_over_prices() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts/preview", json=RULE | {"symbol": "apple", "start": "2012-01-01"})
        assert (answer.status_code, answer.json()) == (200, json.loads(PREVIEWED))
        ticks = [{"time": "2012-01-01T15:00:00Z", "price": 149.0}]
        await client.post("/api/v1/alerts/preview", json=RULE | {"ticks": ticks})
    (user_id, over_bars), (_, over_prices) = front.users.previews
    assert (user_id, over_bars.rule.symbol, over_bars.start, over_bars.end) == ("u1", "AAPL", "2012-01-01", "")
    assert (over_bars.prices, over_prices.prices) == (None, [("2012-01-01T15:00:00Z", 149.0)])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ticks": [{"time": "2012-01-01T15:00:00Z", "price": 0}]}, "ticks.0.price"),
        ({"ticks": [{"price": 1}]}, "ticks.0.time"),
        ({"ticks": [{"time": "2012-01-01T15:00:00Z", "price": 1}] * 10_001}, "ticks"),
        ({"start": 2012}, "start"),
        ({"conditions": []}, "conditions"),
    ],
)
async def test_a_wrong_preview_is_refused(change: dict[str, Any], field: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        body = problem_of(await client.post("/api/v1/alerts/preview", json=RULE | change), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert front.users.previews == []


async def test_rules_are_filtered() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        made = (await client.post("/api/v1/alerts", json=RULE)).json()
        assert (await client.get("/api/v1/alerts?symbol=apple&status=active")).json()["items"] == [made]
        assert (await client.get("/api/v1/alerts?status=fired")).json()["items"] == []
        problem_of(await client.get("/api/v1/alerts?status=odd"), 422, "invalid")
        problem_of(await client.get("/api/v1/alerts?symbol=NOPE"), 404, "unknown_symbol")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400])
async def test_absurd_numbers_are_422(number: str) -> None:
    raw = f'{{"symbol":"AAPL","conditions":[{{"type":"crossing_up","threshold":{number}}}]}}'
    async with Front().client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts", content=raw, headers={"Content-Type": "application/json"})
    problem_of(answer, 422, "invalid")


async def test_unknown_symbols_and_reused_keys_are_told_apart() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        problem_of(await client.post("/api/v1/alerts", json=RULE | {"symbol": "NOPE"}), 404, "unknown_symbol")
        front.users.fails = Conflict("the key was used for another rule", code="idempotency_key_reused")
        problem_of(await client.post("/api/v1/alerts", json=RULE), 409, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_a_bad_idempotency_key_is_refused(key: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts", json=RULE, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    problem_of(answer, 422)
    assert front.users.wishes == []


async def test_rules_are_listed_read_and_deleted() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        made = (await client.post("/api/v1/alerts", json=RULE)).json()
        assert (await client.get("/api/v1/alerts")).json() == {"items": [made], "next_page_token": None}
        assert (await client.get("/api/v1/alerts?limit=1")).json()["next_page_token"] == "more"
        assert (await client.get("/api/v1/alerts/a1")).json() == made
        deleted = await client.delete("/api/v1/alerts/a1")
        assert (deleted.status_code, deleted.content) == (204, b"")
        problem_of(await client.get("/api/v1/alerts/a1"), 404)
        problem_of(await client.delete("/api/v1/alerts/a1"), 404)
        problem_of(await client.get("/api/v1/alerts/%00"), 404)
        problem_of(await client.get("/api/v1/alerts?limit=-1"), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/alerts"),
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/alerts/a1"),
        ("PATCH", "/api/v1/alerts/a1"),
        ("GET", "/api/v1/alerts/a1/explain"),
        ("POST", "/api/v1/alerts/preview"),
        ("GET", "/api/v1/notifications/n1"),
        ("DELETE", "/api/v1/alerts/a1"),
        ("GET", "/api/v1/notifications"),
        ("POST", "/api/v1/notifications/read"),
        ("POST", "/api/v1/notifications/n1/read"),
    ],
)
async def test_alerts_and_notifications_always_need_their_owner(method: str, path: str) -> None:
    async with Front(auth_mode="open").client() as client:
        problem_of(await client.request(method, path, json=RULE), 401, "token_missing")


async def test_notifications_are_the_pushed_objects_plus_read() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        items = (await client.get("/api/v1/notifications")).json()["items"]
        unread = (await client.get("/api/v1/notifications?unread=true")).json()["items"]
    assert [each["read"] for each in items] == [False, True]
    assert unread == items[:1]
    assert list(items[0]) == [
        "type",
        "id",
        "alert_id",
        "symbol",
        "condition",
        "threshold",
        "price",
        "message",
        "timestamp",
        "read",
    ]


async def test_history_is_asked_from_an_instant_on_and_of_one_rule() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.get("/api/v1/notifications?since=2012-06-01T16:00:00%2B02:00&alert_id=a1")
        problem_of(await client.get("/api/v1/notifications?since=2012-06-01T16:00:00"), 422, "invalid")
        problem_of(await client.get("/api/v1/notifications?since=0001-01-01T00:00:00Z"), 422, "invalid")
    assert front.users.asked_since == [("2012-06-01T14:00:00Z", "a1")]


async def test_why_a_rule_fired() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        pushed = (await client.get("/api/v1/notifications")).json()["items"]
        found = (await client.get("/api/v1/notifications/n1")).json()
        assert found.pop("cause") == {
            "alert_id": "a1",
            "rule_version": 3,
            "symbol": "AAPL",
            "epoch": "e",
            "seq": 7,
            "time": TIME,
            "price": 151.75,
            "previous_price": 149.0,
            "condition": "crossing_up",
            "threshold": 150.0,
            "conditions": [UP],
            "trigger": "every_time",
            "hysteresis_pct": 0.5,
        }
        assert found == pushed[0]
        assert (await client.get("/api/v1/notifications/n0")).json()["cause"] is None
        problem_of(await client.get("/api/v1/notifications/n9"), 404, "unknown_notification")


async def test_one_that_was_read_already_is_fine_and_one_that_is_not_there_is_404() -> None:
    async with Front().client(signed_in=True) as client:
        assert (await client.post("/api/v1/notifications/n0/read")).status_code == 204
        problem_of(await client.post("/api/v1/notifications/nope/read"), 404, "unknown_notification")


async def test_notifications_are_marked_as_read() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        assert (await client.post("/api/v1/notifications/n1/read")).status_code == 204
        body = {"notification_ids": ["n1", "n2"]}
        assert (await client.post("/api/v1/notifications/read", json=body)).status_code == 204
        assert (await client.post("/api/v1/notifications/read", json={"up_to": "n9"})).status_code == 204
        problem_of(await client.post("/api/v1/notifications/read", json={}), 422)
    assert front.users.acked == [("u1", ("n1",), ""), ("u1", ("n1", "n2"), ""), ("u1", (), "n9")]
