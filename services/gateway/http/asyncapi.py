"""The AsyncAPI 3 document: the events on Kafka, the WebSocket rooms with every message both ways, and the event stream.

Made from what is encoded and decoded: the Structs of events and of control frames. A plain message is the beginning of
its event, so its schema is the beginning of that event's schema.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec

from services.gateway.core import speech
from services.shared.events import AccountUpdated, AlertTriggered, Notification, Record, Signal, Tick
from services.shared.topics import NOTIFICATIONS, SIGNALS, TICKS, TOPICS, Topic

Json = dict[str, Any]
Struct = type[msgspec.Struct]

_SCHEMAS: Final = "#/components/schemas/"
_EVENTS: Final[Mapping[Topic, tuple[Struct, ...]]] = {
    TICKS: get_args(Record),
    SIGNALS: (Signal,),
    NOTIFICATIONS: get_args(Notification),
}
_EVENTS_ARE: Final[Mapping[Topic, str]] = {
    TICKS: "What happened to each symbol, in order. Key: the symbol. Written by stock_data.",
    SIGNALS: "Buy, sell or hold, each caused by a record of `ticks`. Key: the symbol. Written by prediction.",
    NOTIFICATIONS: "What users are told. Key: the user id. Written by users.",
}
_PLAIN: Final[Mapping[str, tuple[Struct, str]]] = {
    "PlainPrice": (Tick, "epoch"),
    "PlainPrediction": (Signal, "epoch"),
    "AlertNotification": (AlertTriggered, "user_id"),
    "AccountNotification": (AccountUpdated, "user_id"),
}
"""Messages that are the beginning of an event: which, and the first key that is not shown."""

_EXTENDED: Final[Mapping[str, Struct]] = {f"Extended{each.__name__}": each for each in (*get_args(Record), Signal)}
_TOLD: Final[Json] = {
    "stale": {"type": "boolean", "description": "older than it should be by now"},
    "conflated": {"type": "integer", "minimum": 0, "description": "how many were merged away before this one"},
    "snapshot": {"const": True, "description": "there where it is the last known state, not news"},
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "PlainPrice": '{"type":"stock_price_update","symbol":"AAPL","price":151.75,"timestamp":"2024-09-21T14:23:00Z"}',
    "PlainPrediction": (
        '{"type":"prediction_update","symbol":"AAPL","prediction":"buy","timestamp":"2024-09-21T14:24:00Z"}'
    ),
    "AlertNotification": (
        '{"type":"alert_triggered","id":"n1","alert_id":"a1","symbol":"AAPL","condition":"crossing_up",'
        '"threshold":150.0,"price":151.75,"message":"AAPL rose to 151.75","timestamp":"2024-09-21T14:23:00Z"}'
    ),
    "AccountNotification": (
        '{"type":"account_update","id":"n2","event":"password_changed","timestamp":"2024-09-21T14:23:00Z"}'
    ),
    "Subscribe": '{"type":"subscribe","id":"1","symbols":["AAPL"]}',
    "Resume": '{"type":"resume","positions":{"AAPL":{"epoch":"...","price":123,"prediction":45}}}',
    "SetRate": '{"type":"set_rate","max_per_second":2}',
    "Resumed": '{"type":"resumed","symbol":"AAPL","recovered":true,"replayed":12}',
    "TokenExpiring": '{"type":"token_expiring","in_s":60}',
}

_MARKET: Final = ("PlainPrice", "PlainPrediction", *_EXTENDED)
_EVERYWHERE: Final = ("Authenticated", "ServerPong", "ServerPing", "TokenExpiring", "ErrorFrame")
_STREAMED: Final = (*_EXTENDED, "Resumed", "TokenExpiring", "ErrorFrame")
_ANSWERED_EVERYWHERE: Final = ("Auth", "Ping", "Pong")
_PROFILES: Final = (
    "Plain profile: one JSON object per text frame, and nothing but `auth` and `ack` is heard. Extended profile "
    "(subprotocol `tickroom.v1`, or `?profile=ext`): the messages named Extended and all control frames; a frame may "
    "hold a JSON array of messages."
)
_CLOSE_CODES: Final = (
    "Close codes: 1000, 1001, 1009 too big, 1011, 1012 restart, 1013 try later. 44xx = do not retry unchanged: 4400 "
    "bad message, 4401 token, 4403 forbidden, 4404 unknown symbol, 4408 authentication timeout, 4409 too many "
    "connections, 4429 too many messages. 45xx = reconnect and resume: 4500 internal, 4501 too slow, 4502 position "
    "lost, 4503 draining (reason `retry_after_ms=...`)."
)
_HANDSHAKE: Final[Json] = {
    "method": "GET",
    "query": {
        "type": "object",
        "properties": {
            "profile": {"const": "ext", "description": "the extended profile, for tools that can't set a subprotocol"},
            "resume": {"const": "1", "description": "hold everything back until `resume`, 10 s at most"},
            "ticket": {"type": "string", "description": "of POST /api/v1/ws-tickets, good for one handshake"},
        },
    },
    "headers": {
        "type": "object",
        "properties": {
            "Authorization": {"type": "string", "description": "Bearer <jwt>"},
            "X-API-Key": {"type": "string", "description": "of POST /api/v1/api-keys, instead of a token"},
            "Sec-WebSocket-Protocol": {"type": "string", "description": "tickroom.v1, bearer.<jwt> (for pages)"},
        },
    },
    "bindingVersion": "0.1.0",
}


@dataclass(frozen=True, slots=True)
class Room:
    """A place to listen at. says, hears: names of messages; private: does it always need a token?"""

    name: str
    address: str
    what: str
    says: tuple[str, ...]
    hears: tuple[str, ...]
    private: bool = False


_ROOMS: Final = (
    Room(
        "stock",
        "/websocket/stock/{symbol}",
        "Prices and predictions of one symbol, the last known ones first.",
        (*_MARKET, "Resumed", "RateSet", *_EVERYWHERE),
        ("Resume", "SetRate", *_ANSWERED_EVERYWHERE),
    ),
    Room(
        "stocks_all",
        "/websocket/stocks/all",
        "The same for every symbol, or for those subscribed to.",
        (*_MARKET, "Subscribed", "Resumed", "RateSet", *_EVERYWHERE),
        ("Subscribe", "Unsubscribe", "Resume", "SetRate", *_ANSWERED_EVERYWHERE),
    ),
    Room(
        "notifications_of_user",
        "/websocket/user/{user_id}/notifications",
        "Alerts and account updates of that user alone: unread ones first, oldest first. At least once, never lost.",
        ("AlertNotification", "AccountNotification", "Acked", *_EVERYWHERE),
        ("Ack", *_ANSWERED_EVERYWHERE),
        private=True,
    ),
)
_PARAMETERS: Final[Mapping[str, Json]] = {
    "symbol": {"description": "a symbol, or the name of a company", "examples": ["AAPL"]},
    "user_id": {"description": "as a login gives it"},
}


def document(host: str, *, secure: bool) -> Json:
    """The document of a gateway that is reached at `host` (with its port)."""
    schemas = _schemas()
    rooms = {room.name: _room(room) for room in _ROOMS}
    topics = {topic.name: _topic(topic) for topic in TOPICS}
    dead = {f"{topic.name}_dead": _dead(topic) for topic in TOPICS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tickroom",
            "version": "1",
            "description": "Rooms to listen in, and the events behind them. For what is asked: `/openapi.json`.",
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {"host": host, "protocol": "wss" if secure else "ws", "description": "WebSocket rooms"},
            "web": {"host": host, "protocol": "https" if secure else "http", "description": "server-sent events"},
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "KAFKA_BOOTSTRAP_SERVERS; inside the process where that is empty",
                "variables": {"bootstrap": {"default": "localhost:9092"}},
            },
        },
        "channels": rooms | {"stream": _stream()} | topics | dead,
        "operations": _operations(),
        "components": {
            "schemas": schemas,
            "messages": {name: _message(name, schema) for name, schema in schemas.items() if _is_message(schema)}
            | {"DeadLetter": _dead_letter()},
            "parameters": dict(_PARAMETERS),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _schemas() -> Json:
    """Every message and what it is made of, by name."""
    frames: tuple[Struct, ...] = (*speech.CLIENT_FRAMES.values(), *speech.SERVER_FRAMES)
    events = [event for each in _EVENTS.values() for event in each]
    _, found = msgspec.json.schema_components((*events, *frames), ref_template=_SCHEMAS + "{name}")
    schemas: Json = _as_draft_7(found)
    plain = {name: _beginning(schemas[event.__name__], end) for name, (event, end) in _PLAIN.items()}
    extended = {name: _told(schemas[record.__name__]) for name, record in _EXTENDED.items()}
    return schemas | plain | extended


def _as_draft_7(schema: Any) -> Any:
    """AsyncAPI's schemas are those of JSON Schema draft 7, where a tuple is written in another way."""
    if isinstance(schema, dict):
        found = {key: _as_draft_7(value) for key, value in schema.items()}
        if "prefixItems" in found:
            found["items"] = found.pop("prefixItems")  # minItems and maxItems say that there are no others
        return found
    return [_as_draft_7(each) for each in schema] if isinstance(schema, list) else schema


def _beginning(schema: Json, end: str) -> Json:
    """`schema` with the properties before `end` alone."""
    names = list(schema["properties"])
    kept = names[: names.index(end)]
    return schema | {
        "description": _first_sentence(schema),
        "properties": {name: schema["properties"][name] for name in kept},
        "required": [name for name in schema["required"] if name in kept],
        "additionalProperties": False,
    }


def _told(schema: Json) -> Json:
    """The schema of a record as extended clients get it."""
    return schema | {
        "description": _first_sentence(schema),
        "properties": schema["properties"] | _TOLD,
        "required": [*schema["required"], "stale", "conflated"],
    }


def _first_sentence(schema: Json) -> str:
    """The rest is about the event as others keep it."""
    description: str = schema["description"]
    return description.partition("\n\n")[0].partition(". ")[0].removesuffix(".") + "."


def _is_message(schema: Json) -> bool:
    return "type" in schema.get("properties", {})


def _message(name: str, schema: Json) -> Json:
    (tag,) = schema["properties"]["type"]["enum"]
    found: Json = {"name": tag, "title": name, "payload": {"$ref": _SCHEMAS + name}}
    if name in _EXAMPLES:
        found["examples"] = [{"payload": msgspec.json.decode(_EXAMPLES[name])}]
    return found


def _dead_letter() -> Json:
    headers = {"reason": {"type": "string"}, "origin": {"type": "string", "description": "topic/partition/offset"}}
    return {
        "title": "DeadLetter",
        "description": "the bytes as they came",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers, "required": ["reason", "origin"]},
        "payload": {},
    }


def _topic(topic: Topic) -> Json:
    return _kafka_channel(topic.name, topic.partitions, _EVENTS_ARE[topic], [each.__name__ for each in _EVENTS[topic]])


def _dead(topic: Topic) -> Json:
    return _kafka_channel(topic.dead, 1, f"What nobody could read on `{topic.name}`, for people.", ["DeadLetter"])


def _kafka_channel(name: str, partitions: int, what: str, messages: Iterable[str]) -> Json:
    return {
        "address": name,
        "description": what,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": _referred("#/components/messages/", messages),
        "bindings": {"kafka": {"topic": name, "partitions": partitions, "bindingVersion": "0.5.0"}},
    }


def _room(room: Room) -> Json:
    named = [name for name in _PARAMETERS if f"{{{name}}}" in room.address]
    found = {
        "address": room.address,
        "description": f"{room.what}\n\n{_PROFILES}\n\n{_CLOSE_CODES}",
        "servers": [{"$ref": "#/servers/gateway"}],
        "messages": _referred("#/components/messages/", (*room.says, *room.hears)),
        "bindings": {"ws": _HANDSHAKE},
    }
    return found | ({"parameters": _referred("#/components/parameters/", named)} if named else {})


def _stream() -> Json:
    return {
        "address": "/api/v1/stream",
        "description": (
            "Server-sent events, for those behind proxies that break WebSocket: prices and predictions of the symbols "
            "in `?symbols=`, by comma, each as the `data` of one event. Its `id` holds the positions of all of them: "
            "with it as `Last-Event-ID` the next connection goes on behind it, at any gateway."
        ),
        "servers": [{"$ref": "#/servers/web"}],
        "messages": _referred("#/components/messages/", _STREAMED),
    }


def _operations() -> Json:
    found: Json = {}
    for room in _ROOMS:
        secured = {"security": [{"$ref": "#/components/securitySchemes/bearer"}]} if room.private else {}
        found[f"{room.name}_says"] = _operation("send", room.name, room.says) | secured
        found[f"{room.name}_hears"] = _operation("receive", room.name, room.hears) | secured
    found["stream_says"] = _operation("send", "stream", _STREAMED)
    for topic in TOPICS:
        found[f"publish_{topic.name}"] = _operation("send", topic.name, [each.__name__ for each in _EVENTS[topic]])
        found[f"park_{topic.name}"] = _operation("send", f"{topic.name}_dead", ["DeadLetter"])
    return found


def _operation(action: str, channel: str, messages: Iterable[str]) -> Json:
    """`send` and `receive` as Tickroom does them; its clients do the other."""
    of_channel = f"#/channels/{channel}"
    references = list(_referred(f"{of_channel}/messages/", messages).values())
    return {"action": action, "channel": {"$ref": of_channel}, "messages": references}


def _referred(where: str, names: Iterable[str]) -> Json:
    return {name: {"$ref": where + name} for name in names}
