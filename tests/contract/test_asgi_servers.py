"""The rooms on any ASGI server: our own writes ready-made frames, uvicorn as it comes and Hypercorn send messages."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, cast

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.unit.gateway.frames import signal, tick
from tests.unit.gateway.serving import serving, until
from tests.unit.gateway.socket_house import House, closed, refused, told

ALL = "/websocket/stocks/all"
MINE = "/websocket/user/u1/notifications"

Server = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
"""Serves an application on a port."""


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Any:
        yield


@asynccontextmanager
async def _uvicorn(app: ASGIApp) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = _Quiet(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
        running = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await asyncio.wait_for(running, 10)


@asynccontextmanager
async def _hypercorn(app: ASGIApp) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = hypercorn.config.Config()
        config.bind = [f"fd://{listening.fileno()}"]
        config.errorlog = None
        config.graceful_timeout = 1.0
        stop = asyncio.Event()
        running = asyncio.create_task(hypercorn.asyncio.serve(cast(Any, app), config, shutdown_trigger=stop.wait))
        yield listening.getsockname()[1]
        stop.set()
        await asyncio.wait_for(running, 10)
        listening.detach()  # Hypercorn has closed it


@pytest.fixture(params=[serving, _uvicorn, _hypercorn], ids=["tickroom", "uvicorn", "hypercorn"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.param
    return found


@asynccontextmanager
async def _house(server: Server, **settings: Any) -> AsyncIterator[House]:
    built = House(**settings)
    async with server(built.app) as built.port:
        yield built


async def _next(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Messages one by one, whether they come alone or in arrays."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        text = json.loads(await asyncio.wait_for(client.recv(), 20))
        found += text if isinstance(text, list) else [text]
    assert len(found) == count
    return found


async def test_the_last_known_comes_first_then_news_in_the_exact_plain_form(server: Server) -> None:
    async with _house(server) as there:
        there.hall.deliver([tick("AAPL", 1), signal("AAPL", 1), tick("IBM", 1)])
        async with there.enter("/websocket/stock/aapl") as one, there.enter(ALL) as all_of_them:
            await until(lambda: len(there.hall.rooms) == 2)
            there.hall.deliver([tick("AAPL", number) for number in range(2, 30)] + [tick("IBM", 2)])
            texts = [str(await asyncio.wait_for(one.recv(), 20)) for _ in range(30)]
            assert texts[:3] == [
                '{"type":"stock_price_update","symbol":"AAPL","price":1.0,"timestamp":"2024-09-21T14:01:00Z"}',
                '{"type":"prediction_update","symbol":"AAPL","prediction":"buy","timestamp":"2024-09-21T14:01:01Z"}',
                '{"type":"stock_price_update","symbol":"AAPL","price":2.0,"timestamp":"2024-09-21T14:01:00Z"}',
            ]
            assert [json.loads(text)["price"] for text in texts[2:]] == list(range(2, 30))
            assert {each["symbol"] for each in await told(all_of_them, 32)} == {"AAPL", "IBM"}


async def test_extended_clients_ask_resume_and_hear_positions(server: Server) -> None:
    async with _house(server) as there:
        there.hall.deliver([tick("AAPL", number) for number in range(1, 6)])
        async with there.enter(f"{ALL}?resume=1", subprotocols=["tickroom.v1"]) as client:
            assert client.subprotocol == "tickroom.v1"
            await client.send(json.dumps({"type": "resume", "positions": {"AAPL": {"epoch": "e1", "price": 3}}}))
            answer, *missed = await _next(client, 3)
            assert answer == {"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 2}
            assert [each["seq"] for each in missed] == [4, 5]
            await client.send(json.dumps({"type": "ping", "id": "7"}))
            assert await _next(client, 1) == [{"type": "pong", "id": "7"}]
            there.hall.deliver([tick("AAPL", 6), tick("AAPL", 7)])
            assert [(each["seq"], each["conflated"]) for each in await _next(client, 2)] == [(6, 0), (7, 0)]


async def test_refusals_are_problems_for_programs_and_close_codes_for_pages(server: Server) -> None:
    async with _house(server) as there:
        assert await refused(there.enter("/websocket/stock/NOPE")) == (404, "unknown_symbol")
        assert await refused(there.enter(MINE)) == (401, "token_missing")
        async with there.enter("/websocket/stock/NOPE", origin=Origin(there.own_origin)) as page:
            assert (await closed(page))[0] == 4404
        with pytest.raises(InvalidStatus) as foreign:
            await there.enter(origin=Origin("https://elsewhere.example"))
        assert foreign.value.response.status_code == 403


async def test_bad_messages_and_too_many_close_with_their_codes(server: Server) -> None:
    async with _house(server) as there:
        async with there.enter() as client:
            await client.send("no JSON")
            assert (await closed(client))[0] == 4400
        async with there.enter() as client:
            for _ in range(12):
                await client.send("{}")
            assert (await closed(client))[0] == 4429


async def test_notifications_come_stored_first_and_are_acknowledged(server: Server) -> None:
    async with _house(server) as there:
        for number in range(3):
            there.mailbox.store(number)
        async with there.enter(MINE, token=there.token()) as client:
            assert [each["id"] for each in await told(client, 3)] == ["n0", "n1", "n2"]
            there.hall.deliver([there.mailbox.store(3)])
            assert [each["id"] for each in await told(client, 1)] == ["n3"]
            await client.send('{"type":"ack","up_to":"n3"}')
            assert [each["type"] for each in await told(client, 1)] == ["acked"]
        await until(lambda: there.hall.listeners == 0)


async def test_one_that_does_not_read_costs_the_others_nothing_and_gets_the_newest_in_the_end(server: Server) -> None:
    async with _house(server) as there, there.enter(max_queue=1) as slow, there.enter() as quick:
        await until(lambda: len(there.hall.rooms) == 2)
        for begin in range(1, 20_001, 100):
            there.hall.deliver([tick("AAPL", seq) for seq in range(begin, begin + 100)])
            if begin % 2000 == 1:
                await _until_price(quick, begin + 99)
        await asyncio.gather(_until_price(slow, 20_000), _until_price(quick, 20_000))


async def _until_price(client: ClientConnection, price: float) -> None:
    async with asyncio.timeout(30):
        while json.loads(await client.recv())["price"] != price:
            pass


async def test_who_leaves_is_forgotten_and_a_goodbye_reaches_those_who_stay(server: Server) -> None:
    async with _house(server) as there:
        async with there.enter() as client:
            await until(lambda: len(there.hall.rooms) == 1)
        await until(lambda: len(there.hall.rooms) == 0)
        async with there.enter(ALL) as client:
            await until(lambda: there.drain.sockets == 1)
            emptying = asyncio.create_task(there.drain.empty())
            with pytest.raises(ConnectionClosed) as goodbye:
                await asyncio.wait_for(client.recv(), 20)
            assert goodbye.value.rcvd is not None
            assert goodbye.value.rcvd.code == 4503
            await emptying
