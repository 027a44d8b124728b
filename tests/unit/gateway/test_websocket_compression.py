"""permessage-deflate: agreed on without context takeover, shared frames, and bombs that do not go off."""

import asyncio
import zlib

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode

from services.gateway import websocket_protocol
from services.gateway.core.deflate import deflate
from services.gateway.core.wire import frame
from services.gateway.websocket_protocol import EXTENSION, FrameProtocol, FrameWriter
from tests.unit.gateway.serving import RawClient, Run, masked, on_both_loops, raw_client, serving, until

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
LIMIT = 10_000
_RSV1 = 0x40


class Parrot:
    """Says everything again, by the server's own send. let_go: it listens; heard: sizes of what came."""

    def __init__(self) -> None:
        self.writers: list[FrameWriter] = []
        self.heard: list[int] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.writers.append(scope["extensions"][EXTENSION]["writer"])
        while True:
            await self.let_go.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            self.heard.append(len(message["text"]))
            await send({"type": "websocket.send", "text": message["text"][:1000]})

    @property
    def protocol(self) -> FrameProtocol:
        found = self.writers[-1]._protocol
        assert found is not None
        return found


def _client(port: int, *factories: ClientPerMessageDeflateFactory) -> connect:
    return connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None, extensions=factories or None)


async def _received(client: ClientConnection, count: int) -> list[str | bytes]:
    async with asyncio.timeout(20):
        return [await client.recv() for _ in range(count)]


def _agreed(client: ClientConnection) -> str | None:
    assert client.response is not None
    return client.response.headers.get("Sec-WebSocket-Extensions")


@on_both_loops
def test_one_compressed_frame_serves_all_who_agreed_and_the_servers_own_messages_go_between(run: Run) -> None:
    async def go() -> None:
        parrot = Parrot()
        async with (
            serving(parrot, compression=True) as port,
            _client(port, ClientPerMessageDeflateFactory()) as one,
            _client(port, ClientPerMessageDeflateFactory(compress_settings={"level": 9})) as two,
        ):
            await until(lambda: len(parrot.writers) == 2)
            assert all(writer.deflated for writer in parrot.writers)
            texts = [f"price {number} " * 50 for number in range(20)]
            joined = b"".join(deflate(text.encode()) for text in texts)
            for client in (one, two):
                assert _agreed(client) == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            for writer in parrot.writers:
                writer.write(joined)
            await one.send("said " * 100)
            for writer in parrot.writers:
                writer.write(deflate(b"ab") + joined)
            got = await _received(one, 42)
            assert sorted(got) == sorted([*texts, "ab", *texts, "said " * 100])
            assert await _received(two, 41) == [*texts, "ab", *texts]

    run(go())


@pytest.mark.parametrize(("compression", "offers"), [(False, [ClientPerMessageDeflateFactory()]), (True, [])])
async def test_without_setting_or_wish_nothing_is_compressed(
    compression: bool, offers: list[ClientPerMessageDeflateFactory]
) -> None:
    parrot = Parrot()
    async with serving(parrot, compression=compression) as port, _client(port, *offers) as client:
        assert _agreed(client) is None
        await client.send("said")
        assert await _received(client, 1) == ["said"]
        assert not parrot.writers[0].deflated


async def test_a_peer_with_a_smaller_window_gets_plain_frames_and_its_own_compressed_ones() -> None:
    parrot = Parrot()
    async with (
        serving(parrot, compression=True) as port,
        _client(port, ClientPerMessageDeflateFactory(server_max_window_bits=10)) as client,
    ):
        agreed = _agreed(client)
        assert agreed is not None
        assert "server_max_window_bits=10" in agreed
        await client.send("said " * 100)
        assert await _received(client, 1) == ["said " * 100]
        assert not parrot.writers[0].deflated
        parrot.writers[0].write(frame(b"plain"))
        assert await _received(client, 1) == ["plain"]


def _compressed(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return (packer.compress(b"x" * size) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def _masked(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    first, *_ = plain = masked(opcode, data, fin=fin)
    return bytes([first | (_RSV1 if opcode is Opcode.TEXT else 0)]) + plain[1:]


def _in_parts(data: bytes, at: int) -> bytes:
    return _masked(data[:at], fin=False) + _masked(data[at:], Opcode.CONT)


BOMBS = {
    "one frame": _masked(_compressed(5_000_000)),
    "one byte too many": _masked(_compressed(LIMIT + 1)),
    "parts": _in_parts(_compressed(5_000_000), 2000),
    "the limit, then more": _in_parts(_compressed(3 * LIMIT), 12),
}


@on_both_loops
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_closes_with_1009_before_it_goes_off(run: Run, bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_LINGER_S", 0.05)

    async def go() -> None:
        parrot = Parrot()
        async with (
            serving(parrot, compression=True, max_message_bytes=LIMIT) as port,
            raw_client(port, headers=OFFER) as client,
        ):
            await client.send(BOMBS[bomb])
            assert await _close_code(client) == 1009
            assert parrot.heard == []

    run(go())


async def test_garbage_that_claims_to_be_compressed_closes_with_1002(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "_LINGER_S", 0.05)
    async with serving(Parrot(), compression=True) as port, raw_client(port, headers=OFFER) as client:
        await client.send(_masked(b"\xff\xff\xff\xff"))
        assert await _close_code(client) == 1002


async def _close_code(client: RawClient) -> int:
    (closing,) = await client.to_the_end()
    assert closing.opcode is Opcode.CLOSE
    return int.from_bytes(bytes(closing.data)[:2])


@on_both_loops
def test_many_bombs_below_the_limit_wait_packed_until_the_application_listens(run: Run) -> None:
    """Each is as large as allowed; unpacked at once, those of a single read would fill the memory."""

    async def go() -> None:
        parrot = Parrot()
        parrot.let_go.clear()
        bombs, whole = 2000, _masked(_compressed(LIMIT))
        async with (
            serving(parrot, compression=True, max_message_bytes=LIMIT) as port,
            raw_client(port, receive_buffer=1 << 20, headers=OFFER) as client,
        ):
            await until(lambda: bool(parrot.writers))
            sending = asyncio.create_task(client.send(whole * bombs))
            await until(lambda: parrot.protocol.read_paused)
            protocol = parrot.protocol
            assert protocol.queue.qsize() <= 4096 // len(whole)
            parrot.let_go.set()
            await until(lambda: len(parrot.heard) == bombs)
            await sending
            assert set(parrot.heard) == {LIMIT}

    run(go())
