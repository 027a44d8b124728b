"""Floods: of pings, of crumbs, of fragments. They cost their sender its connection, and nobody else anything."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from services.gateway import websocket_protocol
from services.gateway.core.wire import frame
from services.gateway.websocket_protocol import EXTENSION, WRITE_HIGH_BYTES, FrameProtocol, FrameWriter
from tests.unit.gateway.frames import frames_of
from tests.unit.gateway.serving import Run, masked, on_both_loops, raw_client, serving, until

EMPTY_PART = masked(Opcode.CONT, b"", fin=False)


class Listener:
    """Takes messages while `listening`."""

    def __init__(self) -> None:
        self.writers: list[FrameWriter] = []
        self.protocols: list[FrameProtocol] = []
        self.heard: list[str] = []
        self.listening = asyncio.Event()
        self.listening.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        writer = scope["extensions"][EXTENSION]["writer"]
        self.protocols.append(writer._protocol)
        self.writers.append(writer)
        while True:
            await self.listening.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            self.heard.append(message["text"])


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_LINGER_S", 0.1)


def _code(closing: Frame) -> int:
    assert closing.opcode is Opcode.CLOSE
    return int.from_bytes(bytes(closing.data)[:2])


FLOODS = {
    "pings": masked(Opcode.PING, b"x") * 20_000,
    "pongs": masked(Opcode.PONG, b"x") * 20_000,
    "empty fragments": masked(Opcode.TEXT, b"", fin=False) + EMPTY_PART * 20_000,
    "crumbs": masked(Opcode.TEXT, b"x", fin=False) + masked(Opcode.CONT, b"x", fin=False) * 20_000,
}


@on_both_loops
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_closes_with_4429(run: Run, flood: str) -> None:
    async def go() -> None:
        listener = Listener()
        async with serving(listener) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await client.send(FLOODS[flood])
            assert _code((await client.to_the_end())[-1]) == 4429
            assert listener.heard == []

    run(go())


@on_both_loops
def test_a_flood_behind_our_close_is_not_looked_at(run: Run) -> None:
    async def go() -> None:
        listener = Listener()
        async with serving(listener) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await until(lambda: bool(listener.writers))
            listener.writers[0].close(4400, "enough")
            await client.send(FLOODS["pings"])
            await until(lambda: "discard" in repr(listener.protocols[0].conn.parser))
            closing, *rest = frames_of(await client.read(lambda got: b"enough" in got))
            assert (_code(closing), rest) == (4400, [])

    run(go())


@on_both_loops
def test_one_that_pings_and_does_not_read_gets_its_last_pong_later_and_fills_no_buffer(run: Run) -> None:
    async def go() -> None:
        listener = Listener()
        async with serving(listener) as port, raw_client(port) as client:
            await until(lambda: bool(listener.writers))
            writer = listener.writers[0]
            while not writer.paused:
                writer.write(frame(b"x" * 10_000))
            buffered = writer.buffered_bytes
            for number in range(300):
                await client.say(Opcode.PING, b"%03d" % number * 40)
            await client.say(Opcode.TEXT, b"and now I read")
            await until(lambda: listener.heard == ["and now I read"])
            assert writer.buffered_bytes == buffered < WRITE_HIGH_BYTES + 11_000
            frames = frames_of(await client.read(lambda got: got.endswith(b"299" * 40)))
            answered = [int(bytes(each.data)[:3]) for each in frames if each.opcode is Opcode.PONG]
            assert answered == list(range(300))[-len(answered) :]  # those of the last portion that was read
            assert len(answered) < 40

    run(go())


@on_both_loops
def test_one_that_pings_reads_nothing_and_says_goodbye_gets_both_answers(run: Run) -> None:
    async def go() -> None:
        listener = Listener()
        async with serving(listener) as port, raw_client(port) as client:
            await until(lambda: bool(listener.writers))
            while not listener.writers[0].paused:
                listener.writers[0].write(frame(b"x" * 10_000))
            await client.send(masked(Opcode.PING, b"still there?") + masked(Opcode.CLOSE, b"\x03\xe8"))
            *_, pong, closing = await client.to_the_end()
            assert (pong.opcode, bytes(pong.data), _code(closing)) == (Opcode.PONG, b"still there?", 1000)

    run(go())


@on_both_loops
def test_thousands_of_messages_in_one_read_wait_unread_and_all_arrive(run: Run) -> None:
    async def go() -> None:
        listener = Listener()
        listener.listening.clear()
        async with serving(listener) as port, raw_client(port) as client:
            await until(lambda: bool(listener.writers))
            texts = [str(number) for number in range(20_000)]
            sending = asyncio.create_task(client.send(b"".join(masked(Opcode.TEXT, text.encode()) for text in texts)))
            protocol = listener.protocols[0]
            await until(lambda: protocol.read_paused)
            assert 0 < protocol.queue.qsize() < 1000
            listener.listening.set()
            await until(lambda: len(listener.heard) == len(texts))
            await sending
            assert listener.heard == texts

    run(go())


@on_both_loops
def test_a_message_in_many_parts_with_control_frames_between_is_one_message(run: Run) -> None:
    async def go() -> None:
        listener = Listener()
        async with (
            serving(listener) as port,
            connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None) as client,
        ):
            parts = [f"part {number} äöü " for number in range(50)]

            async def spoken() -> object:
                for part in parts:
                    await client.ping()
                    yield part

            await client.send(spoken())  # type: ignore[arg-type]
            await until(lambda: listener.heard == ["".join(parts)])

    run(go())


@on_both_loops
def test_the_goodbye_that_waits_unread_is_read_when_we_say_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 60.0)

    async def go() -> None:
        listener = Listener()
        listener.listening.clear()
        async with serving(listener) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await until(lambda: bool(listener.writers))
            await client.send(masked(Opcode.TEXT, b"x" * 100) * 200 + masked(Opcode.CLOSE, b"\x03\xe8"))
            await until(lambda: listener.protocols[0].read_paused)
            listener.writers[0].close(4500)
            listener.listening.set()
            assert _code((await client.to_the_end())[-1]) == 4500

    run(go())
