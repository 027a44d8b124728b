"""The AsyncAPI document: valid, complete, and true of what travels."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator
from pydantic_asyncapi.v3 import AsyncAPI
from starlette.routing import Route, WebSocketRoute

from services.gateway.core import speech
from services.gateway.core.wire import read_notice, read_update
from services.gateway.http.asyncapi import document
from services.gateway.sockets import websocket_routes
from services.shared.events import (
    AccountUpdated,
    AlertTriggered,
    Bar,
    Correction,
    Interval,
    Notification,
    Record,
    Signal,
    Skill,
    Split,
    Tick,
    encode,
)
from services.shared.topics import TOPICS
from tests.unit.gateway.http_fakes import Front

DOCUMENT: dict[str, Any] = document("localhost:8000", secure=False)
POSITION: dict[str, Any] = {"epoch": "20120601T000000", "seq": 7, "time": "2012-06-01T20:00:00.000000Z"}
SKILL = Skill(count=9, hit_rate=0.5, hit_rate_interval=(0.4, 0.6), baseline_hit_rate=0.5, mae=0.01, baseline_mae=0.01)
TICK = Tick(symbol="AAPL", price=151.75, timestamp="2012-06-01T20:00:00Z", volume=100.0, source="replay", **POSITION)
SIGNAL = Signal(
    symbol="AAPL",
    prediction="buy",
    timestamp="2012-06-01T20:00:00Z",
    prev_seq=3,
    confidence=0.6,
    horizon="1d",
    price_target=152.0,
    direction="bullish",
    interval=Interval(low=150.0, high=153.0, coverage=0.8),
    model_version="v1",
    skill=SKILL,
    valid_until="2012-06-04T20:00:00.000000Z",
    reason=None,
    **POSITION,
)
BAR = Bar(
    symbol="AAPL",
    timeframe="1d",
    start="2012-06-01T13:30:00.000000Z",
    open=1.0,
    high=2.0,
    low=0.5,
    close=1.5,
    volume=10.0,
    final=True,
    date="2012-06-01",
    **POSITION,
)
SPLIT = Split(symbol="AAPL", ratio=4.0, effective="2012-06-04", **POSITION)
CORRECTION = Correction(symbol="AAPL", of_seq=6, price=None, **POSITION)
ALERT = AlertTriggered(
    id="n1",
    alert_id="a1",
    symbol="AAPL",
    condition="crossing_up",
    threshold=150.0,
    price=151.75,
    message="AAPL rose to 151.75",
    timestamp="2012-06-01T20:00:00Z",
    user_id="u1",
    rule_version=1,
    epoch="e",
    seq=7,
    previous_price=149.0,
)
ACCOUNT = AccountUpdated(id="n2", event="password_changed", timestamp="2012-06-01T20:00:00Z", user_id="u1")


def _wrong(schema: str, value: Any) -> list[str]:
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    return [error.message for error in Draft7Validator(whole).iter_errors(value)]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


async def test_it_is_served_for_the_host_that_was_asked() -> None:
    async with Front(allowed_hosts="rooms.example.org").client() as client:
        answer = await client.get("/asyncapi", headers={"Host": "rooms.example.org:8443"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document("rooms.example.org:8443", secure=False)


async def test_behind_a_proxy_that_speaks_tls_it_says_so() -> None:
    async with Front(auth_mode="strict", trusted_proxies="127.0.0.1").client() as client:
        found = (await client.get("/asyncapi", headers={"X-Forwarded-Proto": "https"})).json()
    assert (found["servers"]["gateway"]["protocol"], found["servers"]["web"]["protocol"]) == ("wss", "https")


def test_it_is_valid() -> None:
    AsyncAPI.model_validate(DOCUMENT)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))
    assert len(references) > 100
    for reference in references:
        node = DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]
        assert isinstance(node, dict)


def test_every_room_and_topic_is_in_it() -> None:
    class Door:
        def __getattr__(self, name: str) -> Any:
            return None

    routes = websocket_routes(Door())  # type: ignore[arg-type]
    rooms = {route.path for route in routes if isinstance(route, WebSocketRoute) and "{path:path}" not in route.path}
    streams = {route.path for route in routes if isinstance(route, Route)}
    topics = {name for topic in TOPICS for name in (topic.name, topic.dead)}
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == rooms | topics | {"/api/v1/stream"}
    assert streams <= {"/api/v1/stream"}
    for channel in DOCUMENT["channels"].values():
        assert re.findall(r"{(\w+)}", channel["address"]) == list(channel.get("parameters", {}))


def test_every_message_can_be_said_somewhere() -> None:
    said = {name for channel in DOCUMENT["channels"].values() for name in channel["messages"]}
    assert said == set(DOCUMENT["components"]["messages"])
    frames = {each.__name__ for each in (*speech.CLIENT_FRAMES.values(), *speech.SERVER_FRAMES)}
    events = {each.__name__ for each in (*get_args(Record), Signal, *get_args(Notification))}
    assert frames | events < said


@pytest.mark.parametrize(
    "event", [TICK, SIGNAL, BAR, SPLIT, CORRECTION, ALERT, ACCOUNT], ids=lambda event: type(event).__name__
)
def test_events_are_as_described(event: Any) -> None:
    written = json.loads(encode(event))
    assert _wrong(type(event).__name__, written) == []
    assert _wrong(type(event).__name__, written | {"type": "something_else"})


@pytest.mark.parametrize(("event", "schema"), [(TICK, "PlainPrice"), (SIGNAL, "PlainPrediction")])
def test_plain_messages_are_as_described(event: Any, schema: str) -> None:
    update = read_update(encode(event))
    assert update is not None
    shown = json.loads(update.text)
    assert _wrong(schema, shown) == []
    assert list(DOCUMENT["components"]["schemas"][schema]["properties"]) == list(shown)
    assert _wrong(schema, shown | {"epoch": "e"})


@pytest.mark.parametrize("event", [TICK, SIGNAL, BAR, SPLIT, CORRECTION], ids=lambda event: type(event).__name__)
def test_extended_messages_are_as_described(event: Any) -> None:
    update = read_update(encode(event))
    assert update is not None
    for text in (update.extended, update.retold(conflated=3, snapshot=False, stale=True)):
        assert _wrong(f"Extended{type(event).__name__}", json.loads(text)) == []
    snapshot = json.loads(update.retold(conflated=0, snapshot=True, stale=False))
    assert _wrong(f"Extended{type(event).__name__}", snapshot) == []


@pytest.mark.parametrize(("event", "schema"), [(ALERT, "AlertNotification"), (ACCOUNT, "AccountNotification")])
def test_notifications_are_as_described(event: Any, schema: str) -> None:
    notice = read_notice(encode(event))
    assert notice is not None
    shown = json.loads(notice.text)
    assert _wrong(schema, shown) == []
    assert list(DOCUMENT["components"]["schemas"][schema]["properties"]) == list(shown)


@pytest.mark.parametrize(
    ("frame", "schema"),
    [
        (speech.Subscribed(symbols=["AAPL"], id="1"), "Subscribed"),
        (speech.Resumed(symbol="AAPL", recovered=True, replayed=12), "Resumed"),
        (speech.ErrorFrame(code="not_here", message="no", retryable=False), "ErrorFrame"),
        (speech.ServerPing(), "ServerPing"),
    ],
)
def test_control_frames_are_as_described(frame: Any, schema: str) -> None:
    assert _wrong(schema, json.loads(speech.spoken(frame))) == []


def test_examples_are_of_their_schemas_and_understood() -> None:
    checked = 0
    for name, message in DOCUMENT["components"]["messages"].items():
        for example in message.get("examples", []):
            assert _wrong(name, example["payload"]) == []
            if name in {each.__name__ for each in speech.CLIENT_FRAMES.values()}:
                (said,) = speech.understand(json.dumps(example["payload"]))
                assert type(said).__name__ == name
            checked += 1
    assert checked > 5


def test_prices_are_shown_as_they_are_promised() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert messages["PlainPrice"]["examples"][0]["payload"] == {
        "type": "stock_price_update",
        "symbol": "AAPL",
        "price": 151.75,
        "timestamp": "2024-09-21T14:23:00Z",
    }
