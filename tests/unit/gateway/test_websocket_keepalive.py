"""Pings: whoever says anything is alive, and how long a pong takes is known."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from services.gateway import server
from services.gateway.core.wire import frame
from services.gateway.websocket_protocol import EXTENSION, FrameProtocol, FrameWriter
from tests.unit.gateway.frames import frames_of
from tests.unit.gateway.serving import RawClient, Run, on_both_loops, raw_client, serving, until


class Room:
    """Listens, save while it is `busy`."""

    def __init__(self) -> None:
        self.writers: list[FrameWriter] = []
        self.protocols: list[FrameProtocol] = []
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        writer = scope["extensions"][EXTENSION]["writer"]
        self.writers.append(writer)
        self.protocols.append(writer._protocol)
        while (await receive())["type"] != "websocket.disconnect":
            await self.idle.wait()


def _pings(client: RawClient) -> list[Frame]:
    return [each for each in frames_of(client.got) if each.opcode is Opcode.PING]


def _pongs_timed() -> float:
    return REGISTRY.get_sample_value("gateway_pong_seconds_count") or 0.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PING_EVERY_S", 0.05)
    monkeypatch.setattr(server, "_PONG_WITHIN_S", 0.3)


@on_both_loops
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.PING, Opcode.PONG])
def test_one_who_talks_and_never_answers_is_alive_and_has_one_ping_in_flight(run: Run, opcode: Opcode) -> None:
    async def go() -> None:
        room = Room()
        async with serving(room) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await until(lambda: bool(room.writers))
            for _ in range(20):
                await asyncio.sleep(0.05)
                await client.say(opcode, b"hi")
            assert not room.writers[0].closed
            assert room.writers[0].behind_s > 0.3
            await client.say(Opcode.CLOSE, b"\x03\xe8")
            await client.to_the_end()
            assert len(_pings(client)) == 1

    run(go())


@on_both_loops
def test_silence_after_all_is_noticed(run: Run) -> None:
    async def go() -> None:
        room = Room()
        async with serving(room) as port, raw_client(port, receive_buffer=1 << 20) as client:
            for _ in range(3):
                await client.read(lambda got: b"\x89" in got)
                await client.say(Opcode.TEXT, b"still here")
            *_, closing = await client.to_the_end()
            assert (closing.opcode, bytes(closing.data)[:2]) == (Opcode.CLOSE, (1011).to_bytes(2))

    run(go())


@on_both_loops
def test_a_late_answer_tells_how_far_behind_its_reader_is(run: Run) -> None:
    async def go() -> None:
        room = Room()
        timed = _pongs_timed()
        async with serving(room) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await client.read(lambda got: b"\x89" in got)
            await client.say(Opcode.PING, b"I am reading, slowly")
            await asyncio.sleep(0.2)
            await client.say(Opcode.PONG, b"not this one")
            assert _pongs_timed() == timed
            await client.say(Opcode.PONG, bytes(_pings(client)[0].data))
            await until(lambda: _pongs_timed() == timed + 1)
            assert 0.2 < room.writers[0].behind_s < 20
            await client.read(lambda _got: len(_pings(client)) == 2)

    run(go())


@on_both_loops
def test_an_ordinary_client_is_pinged_again_and_again(run: Run) -> None:
    async def go() -> None:
        room = Room()
        timed = _pongs_timed()
        async with serving(room) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None):
            await until(lambda: _pongs_timed() >= timed + 5)
            assert room.writers[0].behind_s < 20

    run(go())


@on_both_loops
def test_a_client_that_is_not_listened_to_is_not_taken_for_dead(run: Run) -> None:
    async def go() -> None:
        room = Room()
        room.idle.clear()
        async with serving(room) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            await client.send("one")
            await client.send("two")
            await until(lambda: bool(room.protocols) and room.protocols[0].read_paused)
            await asyncio.sleep(0.8)
            assert not room.writers[0].closed
            room.idle.set()
            room.writers[0].write(frame(b"sorry"))
            assert await asyncio.wait_for(client.recv(), 10) == "sorry"

    run(go())


@on_both_loops
def test_a_server_that_stood_still_reads_first_what_came_meanwhile(run: Run) -> None:
    async def go() -> None:
        room = Room()
        async with serving(room) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            await until(lambda: bool(room.protocols) and room.protocols[0].pending_ping_payload is not None)
            time.sleep(2.0)  # noqa: ASYNC251 (nobody reads: neither side)
            await asyncio.sleep(0.2)
            assert not room.writers[0].closed
            room.writers[0].write(frame(b"good morning"))
            assert await asyncio.wait_for(client.recv(), 10) == "good morning"

    run(go())


@on_both_loops
def test_after_the_end_there_is_nothing_to_measure(run: Run) -> None:
    async def go() -> None:
        room = Room()
        async with serving(room) as port:
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None):
                pass
            await until(lambda: room.writers[0].closed)
            assert room.writers[0].behind_s == 0.0

    run(go())
