"""Server-sent events: the extended messages, resumed by the id of the last event."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from services.gateway.core.outbox import MOST_FACTS
from services.gateway.http.callers import Callers
from services.gateway.http.rest import application
from services.gateway.http.stream import Streams
from services.gateway.symbols import Symbols
from services.shared.events import SessionRevoked
from tests.unit.gateway.frames import signal, split, tick
from tests.unit.gateway.serving import serving, until
from tests.unit.gateway.socket_house import House

PATH = "/api/v1/stream"


class StreamHouse(House):
    """The rooms of `House`, and the stream."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        front = self.front
        callers = Callers(self.verifier, anonymous=front.settings.anonymous_market_data, open=front.settings.open)
        streams = Streams(front.settings, self.hall, Symbols(front.stock_data), callers, self.admission, self.reception)
        self.app = application(streams.routes(), self.admission)


@dataclass
class Event:
    id: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    retry: str = ""


class Source:
    """What a browser's EventSource does."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self, count: int = 1) -> list[Event]:
        async with asyncio.timeout(20):
            return [await self._event() for _ in range(count)]

    async def _event(self) -> Event:
        event = Event()
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "data":
                event.data = json.loads(value)
            elif name:
                setattr(event, name, value)
            elif event.data:
                return event
        raise EOFError


@asynccontextmanager
async def house(**settings: Any) -> AsyncIterator[tuple[StreamHouse, httpx.AsyncClient]]:
    built = StreamHouse(**settings)
    async with (
        serving(built.app) as built.port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{built.port}", timeout=20) as client,
    ):
        yield built, client


@asynccontextmanager
async def opened(client: httpx.AsyncClient, symbols: str, **headers: str) -> AsyncIterator[Source]:
    async with client.stream("GET", PATH, params={"symbols": symbols}, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Source(answer)


def told(events: list[Event]) -> list[tuple[str, str, int, bool]]:
    return [
        (each.data["type"], each.data["symbol"], each.data["seq"], each.data.get("snapshot", False)) for each in events
    ]


async def test_it_begins_with_what_is_known_and_resumes_behind_the_last_event() -> None:
    async with house() as (there, client):
        there.hall.deliver([tick("AAPL", 1), signal("AAPL", 1), tick("IBM", 4), tick("TSLA", 9)])
        async with opened(client, "apple, IBM") as source:
            first = await source.next(3)
            assert told(first) == [
                ("stock_price_update", "AAPL", 1, True),
                ("prediction_update", "AAPL", 1, True),
                ("stock_price_update", "IBM", 4, True),
            ]
            there.hall.deliver([tick("IBM", 5), tick("TSLA", 10), tick("AAPL", 2)])
            assert told(await source.next(2)) == [
                ("stock_price_update", "IBM", 5, False),
                ("stock_price_update", "AAPL", 2, False),
            ]
        await until(lambda: len(there.hall.rooms) == 0)
        there.hall.deliver([signal("AAPL", 2, prev_seq=1), split("AAPL", 3)])
        async with opened(client, "AAPL,IBM", **{"Last-Event-ID": first[2].id}) as source:
            events = await source.next(6)
            assert [(each.data["type"], each.data.get("replayed")) for each in events] == [
                ("resumed", 3),
                ("stock_price_update", None),
                ("prediction_update", None),
                ("split", None),
                ("resumed", 1),
                ("stock_price_update", None),
            ]
            assert not any("snapshot" in each.data for each in events)


@pytest.mark.parametrize("event_id", ["", "nonsense", "AAPL:e0:1:1", "AAPL:e1:99:0,IBM:e1", "AAPL:e1:" + "9" * 40])
async def test_an_id_that_proves_nothing_is_a_snapshot(event_id: str) -> None:
    async with house() as (there, client):
        there.hall.deliver([tick("AAPL", 1)])
        async with opened(client, "AAPL", **{"Last-Event-ID": event_id}) as source:
            (event,) = await source.next()
            if event.data["type"] == "resumed":
                assert event.data["recovered"] is False
                (event,) = await source.next()
            assert told([event]) == [("stock_price_update", "AAPL", 1, True)]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid"),
        ("?symbols=", 422, "invalid"),
        ("?symbols=,", 422, "invalid"),
        ("?symbols=NOPE", 404, "unknown_symbol"),
        ("?symbols=AAPL&access_token=x", 401, "bad_token"),
        ("?symbols=AAPL,IBM,AAPL", 422, "invalid"),
    ],
)
async def test_bad_questions_are_problems(query: str, status: int, code: str) -> None:
    async with house(max_symbols_per_connection=2) as (_, client):
        answer = await client.get(PATH + query)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_streams_count_among_the_sockets_and_a_head_does_not() -> None:
    async with house(max_connections_per_address=1) as (_, client):
        assert (await client.head(PATH, params={"symbols": "AAPL"})).status_code == 200
        async with opened(client, "AAPL"):
            answer = await client.get(PATH, params={"symbols": "AAPL"})
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_connections")


async def test_a_head_is_shown_what_a_get_would_be_and_no_length() -> None:
    async with house() as (_, client):
        headed = await client.head(PATH, params={"symbols": "AAPL"})
        async with client.stream("GET", PATH, params={"symbols": "AAPL"}) as got:
            unequal = {"x-request-id", "x-response-time", "date", "transfer-encoding"}
            assert {*headed.headers.items()} - {*got.headers.items()} <= {
                (name, value) for name, value in headed.headers.items() if name in unequal
            }
            assert headed.headers.keys() >= got.headers.keys() - unequal
        assert "content-length" not in headed.headers
        assert (await client.head(PATH, params={"symbols": "NOPE"})).status_code == 404


async def test_a_slow_reader_of_predictions_is_told_to_come_back() -> None:
    async with house() as (there, client):
        async with opened(client, "AAPL") as source:
            await until(lambda: len(there.hall.rooms) == 1)
            for seq in range(1, 3 * MOST_FACTS):
                there.hall.deliver([signal(seq=seq, prev_seq=seq - 1)])
            (event,) = [each for each in await _rest(source) if each.data["type"] == "error"]
            assert event.data["code"] == "too_slow"
        await until(lambda: len(there.hall.rooms) == 0)


async def test_a_logout_and_a_stop_end_the_stream_with_a_word() -> None:
    async with house() as (there, client):
        token = there.token()
        async with opened(client, "AAPL", Authorization=f"Bearer {token}") as source:
            await until(lambda: len(there.hall.rooms) == 1)
            there.revocations.note(
                SessionRevoked(id="1", user_id="u1", session_id="", version=10**6, timestamp="2024-09-21T14:23:00Z")
            )
            assert [each.data["code"] for each in await _rest(source)] == ["token_revoked"]
        async with opened(client, "AAPL") as source:
            await until(lambda: len(there.hall.rooms) == 1)
            await there.drain.empty()
            (goodbye,) = await _rest(source)
            assert goodbye.data["code"] == "draining"
            assert int(goodbye.retry) > 0


async def _rest(source: Source) -> list[Event]:
    events: list[Event] = []
    while True:
        try:
            events += await source.next()
        except EOFError:
            return events
