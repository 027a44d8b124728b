"""What the subclass changes, on a real server: ready-made frames, closing, back-pressure, breaches of protocol."""

import asyncio
import random

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Opcode

from services.gateway import server, websocket_protocol
from services.gateway.core.wire import frame
from services.gateway.websocket_protocol import EXTENSION, WRITE_HIGH_BYTES, FrameProtocol, FrameWriter
from tests.unit.gateway.frames import frames_of
from tests.unit.gateway.serving import Run, handshake, masked, on_both_loops, raw_client, serving, until

MIXED_SIZES = [1, 5, 125, 126, 1000, 65535, 65536, 200_000]


class Echo:
    """Accepts, keeps the writer where the test finds it, and counts what happens to it."""

    def __init__(self) -> None:
        self.writers: list[FrameWriter] = []
        self.heard: list[object] = []
        self.paused = self.resumed = self.closed = 0
        self.close_with: tuple[int, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        writer = scope["extensions"][EXTENSION]["writer"]
        writer.watch(pause=self._pause, resume=self._resume, close=self._close)
        self.writers.append(writer)
        while (message := await receive())["type"] != "websocket.disconnect":
            self.heard.append(message.get("text", message.get("bytes")))
            if self.close_with is not None:
                await send({"type": "websocket.close", "code": self.close_with[0], "reason": self.close_with[1]})

    @property
    def writer(self) -> FrameWriter:
        return self.writers[-1]

    @property
    def protocol(self) -> FrameProtocol:
        found = self.writer._protocol
        assert found is not None
        return found

    def _pause(self) -> None:
        self.paused += 1

    def _resume(self) -> None:
        self.resumed += 1

    def _close(self) -> None:
        self.closed += 1


def _client(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/", proxy=None, max_size=None, compression=None)


async def _received(client: ClientConnection, count: int) -> list[str | bytes]:
    async with asyncio.timeout(20):
        return [await client.recv() for _ in range(count)]


@on_both_loops
def test_joined_frames_of_all_sizes_arrive_as_messages(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, _client(port) as client:
            texts = [str(number % 10) * size for number, size in enumerate(MIXED_SIZES)]
            await until(lambda: bool(echo.writers))
            echo.writer.write(b"".join(frame(text.encode()) for text in texts))
            assert await _received(client, len(texts)) == texts

    run(go())


@on_both_loops
def test_pings_are_answered_between_joined_writes_and_nothing_is_torn(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, _client(port) as client:
            await until(lambda: bool(echo.writers))
            expected: list[str] = []
            pongs = []
            for turn in range(60):
                texts = [
                    f"{turn}-{number}-" + "x" * random.Random(turn * 7 + number).randint(0, 3000) for number in range(8)
                ]
                expected += texts
                echo.writer.write(b"".join(frame(text.encode()) for text in texts))
                pongs.append(await client.ping(f"ping {turn}".encode()))
                await client.send(f"said {turn}")
                await asyncio.sleep(0)
            assert await _received(client, len(expected)) == expected
            async with asyncio.timeout(20):
                await asyncio.gather(*pongs)
            await until(lambda: len(echo.heard) == 60)

    run(go())


@on_both_loops
def test_the_servers_own_pings_go_between_joined_writes_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PING_EVERY_S", 0.01)

    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, _client(port) as client:
            await until(lambda: bool(echo.writers))
            for number in range(50):
                echo.writer.write(frame(b"%d" % number) + frame(b"x" * 200))
                await asyncio.sleep(0.002)
            assert (await _received(client, 100))[::2] == [str(number) for number in range(50)]
            assert not echo.writer.closed

    run(go())


@on_both_loops
def test_after_a_close_from_our_side_no_frame_follows(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, _client(port) as client:
            await until(lambda: bool(echo.writers))
            writer = echo.writer
            writer.write(frame(b"one") + frame(b"two"))
            writer.close(4400, "bad message")
            writer.write(frame(b"three"))
            writer.close(1000)
            assert (writer.closed, echo.closed, writer.buffered_bytes) == (True, 1, 0)
            assert await _received(client, 2) == ["one", "two"]
            with pytest.raises(ConnectionClosedError) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, "bad message")

    run(go())


@on_both_loops
def test_the_application_closes_likewise_while_others_write(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        echo.close_with = (4429, "too many")
        async with serving(echo) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await until(lambda: bool(echo.writers))
            echo.writer.write(frame(b"before"))
            await client.say(Opcode.TEXT, b"anything")
            await until(lambda: echo.closed == 1)
            echo.writer.write(frame(b"after"))
            await client.read(lambda got: b"too many" in got)
            await client.say(Opcode.CLOSE, b"\x0f\xa1")
            frames = await client.to_the_end()
            assert [each.opcode for each in frames] == [Opcode.TEXT, Opcode.CLOSE]

    run(go())


@on_both_loops
@pytest.mark.parametrize("who", ["the peer", "the keepalive", "the server's stop", "the application"])
def test_nothing_follows_a_close_frame_that_waits_behind_a_full_buffer(run: Run, who: str) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port) as client:
            await until(lambda: bool(echo.writers))
            writer, protocol = echo.writer, echo.protocol
            write = writer.write  # as a room holds it
            _fill(writer)
            if who == "the peer":
                await client.say(Opcode.CLOSE, b"\x03\xe8")
            elif who == "the keepalive":
                protocol.give_up()
            elif who == "the server's stop":
                protocol.shutdown()
            else:
                writer.close(4400)
            await until(lambda: echo.closed == 1)
            writer.write(frame(b"too late"))
            assert write != writer.write
            frames = frames_of(await client.read(lambda got: got[-100:].rfind(b"\x88") >= 0))
            assert [each.opcode for each in frames[-2:]] == [Opcode.TEXT, Opcode.CLOSE]

    run(go())


@on_both_loops
def test_the_peers_answer_to_a_close_is_read_though_the_application_reads_no_more(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 60.0)
    writers: list[FrameWriter] = []
    done = asyncio.Event()

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        writers.append(scope["extensions"][EXTENSION]["writer"])
        await done.wait()

    async def go() -> None:
        async with serving(deaf) as port, _client(port) as client:
            protocol = writers[0]._protocol
            assert protocol is not None
            await client.send("unheard")
            await until(lambda: protocol.read_paused)
            writers[0].close(1000)
            await until(lambda: protocol.disconnected)
            done.set()

    run(go())


@on_both_loops
def test_a_client_that_leaves_or_vanishes_in_the_middle_of_writes_is_noticed(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port:
            for number, vanish in enumerate((False, True), 1):
                async with raw_client(port) as client:
                    await until(lambda number=number: len(echo.writers) == number)  # type: ignore[misc]
                    writer = echo.writer
                    writer.write(frame(b"x" * 50_000))
                    if vanish:
                        client.reset()
                    else:
                        await client.say(Opcode.CLOSE, b"\x03\xe8")
                    await _write_until_closed(writer)
                    assert echo.closed == number

    run(go())


async def _write_until_closed(writer: FrameWriter) -> None:
    async with asyncio.timeout(20):
        while not writer.closed:
            writer.write(frame(b"y" * 2000))
            await asyncio.sleep(0.001)
    writer.write(frame(b"to nobody"))


@on_both_loops
def test_a_client_that_does_not_read_is_told_of_and_gets_everything_when_it_reads(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port) as slow, _client(port) as quick:
            await until(lambda: len(echo.writers) == 2)
            writer, written = echo.writers[0], 0
            while not writer.paused:
                writer.write(frame(b"%06d" % written))
                written += 1
            assert echo.paused == 1
            assert WRITE_HIGH_BYTES < writer.buffered_bytes < WRITE_HIGH_BYTES + 100
            echo.writers[1].write(frame(b"meanwhile"))
            assert await _received(quick, 1) == ["meanwhile"]
            await slow.read(lambda got: len(got) >= 8 * written)
            assert [bytes(each.data) for each in frames_of(slow.got)] == [b"%06d" % number for number in range(written)]
            await until(lambda: echo.resumed == 1)
            assert not writer.paused

    run(go())


@on_both_loops
def test_one_that_never_reads_is_cut_off_after_a_close(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 0.2)

    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port):
            await until(lambda: bool(echo.writers))
            protocol = echo.protocol
            _fill(echo.writer)
            echo.writer.close(4501, "too slow")
            assert echo.closed == 1
            await until(lambda: protocol.disconnected)

    run(go())


@on_both_loops
def test_one_that_never_reads_is_cut_off_when_the_application_is_through(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 0.2)
    protocols: list[FrameProtocol] = []

    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        writer = scope["extensions"][EXTENSION]["writer"]
        protocols.append(writer._protocol)
        _fill(writer)

    async def go() -> None:
        async with serving(hasty) as port, raw_client(port):
            await until(lambda: protocols != [] and protocols[0].disconnected)

    run(go())


@on_both_loops
def test_one_that_never_answers_a_ping_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 0.2)
    monkeypatch.setattr(server, "_PING_EVERY_S", 0.05)
    monkeypatch.setattr(server, "_PONG_WITHIN_S", 0.1)

    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port):
            await until(lambda: bool(echo.writers))
            protocol = echo.protocol
            _fill(echo.writer)
            await until(lambda: protocol.disconnected)
            assert echo.closed == 1

    run(go())


@on_both_loops
def test_one_that_hangs_up_half_and_never_reads_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_CUT_OFF_S", 0.2)

    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port) as client:
            await until(lambda: bool(echo.writers))
            protocol = echo.protocol
            _fill(echo.writer)
            client.half_close()
            await until(lambda: echo.closed == 1)
            await until(lambda: protocol.disconnected)

    run(go())


@on_both_loops
@pytest.mark.parametrize(
    ("by", "code", "label"),
    [
        ("client", 1000, "1000"),
        ("client", 3999, "other"),
        ("client", None, "1005"),
        ("client", 0, "1006"),
        ("gateway", 4501, "4501"),
        ("gateway", 4999, "other"),
        ("gateway", 0, "1002"),
    ],
)
def test_closes_are_counted_by_who_began_and_why(run: Run, by: str, code: int | None, label: str) -> None:
    async def go() -> None:
        echo = Echo()
        before = _closes(by, label)
        async with serving(echo) as port, raw_client(port, receive_buffer=1 << 20) as client:
            await until(lambda: bool(echo.writers))
            if by == "client" and code == 0:
                client.reset()
            elif by == "client":
                await client.say(Opcode.CLOSE, b"" if code is None else code.to_bytes(2))
            elif code:
                echo.writer.close(code)
                await client.say(Opcode.CLOSE, code.to_bytes(2))
            else:
                await client.say(Opcode.CONT, b"of nothing")
                await client.read(lambda got: len(got) > 3)
                client.close()
            await until(lambda: _closes(by, label) == before + 1)

    run(go())


def _closes(by: str, code: str) -> float:
    return REGISTRY.get_sample_value("gateway_closes_total", {"by": by, "code": code}) or 0.0


def _fill(writer: FrameWriter) -> None:
    while not writer.paused:
        writer.write(frame(b"x" * 10_000))


BREACHES: list[tuple[str, bytes, int]] = [
    ("too big", masked(Opcode.TEXT, b"x" * 1001), 1009),
    ("too big in parts", masked(Opcode.TEXT, b"x" * 600, fin=False) + masked(Opcode.CONT, b"x" * 600), 1009),
    ("claims to be huge", b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"mask", 1009),
    ("no UTF-8", masked(Opcode.TEXT, b"\xff\xfe"), 1007),
    ("not masked", b"\x81\x02hi", 1002),
    ("reserved bit", b"\xc1\x82mask\x00\x00", 1002),
    ("unknown opcode", b"\x83\x80mask", 1002),
    ("long ping", masked(Opcode.PING, b"x" * 125)[:1] + b"\xfe\x00\x7e" + b"mask" + b"x" * 126, 1002),
    ("continues nothing", masked(Opcode.CONT, b"x"), 1002),
    ("close with a bad code", masked(Opcode.CLOSE, b"\x03\xed"), 1002),
]


@on_both_loops
def test_a_breach_closes_with_its_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_LINGER_S", 0.05)

    async def go() -> None:
        echo = Echo()
        async with serving(echo, max_message_bytes=1000) as port:
            for number, (what, data, code) in enumerate(BREACHES, 1):
                async with raw_client(port) as client:
                    await until(lambda number=number: len(echo.writers) == number)  # type: ignore[misc]
                    await client.send(data)
                    await until(lambda number=number: echo.closed == number)  # type: ignore[misc]
                    echo.writer.write(frame(b"nobody gets this"))
                    (closing,) = await client.to_the_end()
                    assert closing.opcode == Opcode.CLOSE, what
                    assert int.from_bytes(bytes(closing.data)[:2]) == code, what

    run(go())


@on_both_loops
def test_a_peer_that_goes_on_sending_after_a_breach_is_told_why_and_not_reset(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo, max_message_bytes=1000) as port, raw_client(port) as client:
            await client.send(masked(Opcode.TEXT, b"x" * 5_000_000))
            await client.read(lambda got: len(got) >= 4)
            assert client.got[2:4] == (1009).to_bytes(2)
            assert not client.was_reset

    run(go())


@on_both_loops
def test_garbage_before_the_handshake_is_answered_hurts_nobody(run: Run) -> None:
    async def go() -> None:
        entered, let_in = asyncio.Event(), asyncio.Event()

        async def slow_door(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            entered.set()
            await let_in.wait()
            await send({"type": "websocket.accept"})

        async with serving(slow_door) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(handshake(port))
            await asyncio.wait_for(entered.wait(), 10)
            writer.write(b"\x81\x02hi")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            let_in.set()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    run(go())


@on_both_loops
def test_random_bytes_end_in_a_close_code_or_are_frames_and_the_next_client_is_served(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_protocol, "_LINGER_S", 0.01)

    async def go() -> None:
        echo = Echo()
        rng = random.Random(7)
        async with serving(echo, max_message_bytes=1000) as port:
            for _ in range(40):
                async with raw_client(port, receive_buffer=1 << 20) as client:
                    await client.send(rng.randbytes(rng.randint(1, 300)))
                    await client.send(masked(Opcode.CLOSE, b"\x03\xe8") * 200)
                    frames = await client.to_the_end()
                    assert frames[-1].opcode == Opcode.CLOSE
                    assert int.from_bytes(bytes(frames[-1].data)[:2]) in (1000, 1002, 1007, 1009)
            async with _client(port) as client_after:
                await client_after.send("still there?")
                await until(lambda: "still there?" in echo.heard)

    run(go())


@on_both_loops
def test_on_another_protocol_class_there_is_no_extension(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FrameProtocol", FrameProtocol.__base__)
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"])
        await receive()
        await send({"type": "websocket.accept"})

    async def go() -> None:
        async with serving(app) as port, raw_client(port):
            assert seen == [{"websocket.http.response": {}}]

    run(go())


async def test_a_refusal_by_http_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"here"})

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(port))
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"\r\n\r\nnot here")
    assert caplog.messages == []
