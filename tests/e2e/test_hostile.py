"""The worst of clients: each is answered in due form, and neither the process nor anybody else notices them."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice, product
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.follower import Follower, listening, until_heard
from tests.e2e.house import Process, embedded
from tests.e2e.mischief import BOMB, MOST_BYTES, Mischief, frame, handshake, hostile_handshakes

PATHS = (
    "/websocket/stocks/all",
    "/websocket/stocks/all?profile=ext",
    "/websocket/stock/AAPL?profile=ext&resume=1",
    "/websocket/stock/IBM",
)
COMPRESSION = "Sec-WebSocket-Extensions: permessage-deflate"
CLEAN = {1000, 1001, 1002, 1003, 1007, 1009, 3000, 4400, 4401, 4429, 4999}
"""What a hostile frame may be answered with: our own codes, and the echo of a client's good one."""
MOST_GROWTH_BYTES = 24 << 20
_AT_ONCE = 16


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Process, str, int]]:
    """A gateway that compresses, its address and its port. Nothing that is done to it may show in its log."""
    limits = {"MAX_CONNECTIONS_PER_ADDRESS": "0", "MAX_HANDSHAKES_PER_SECOND": "0"}
    async with embedded(tmp_path, REPLAY_RATE="50", WEBSOCKET_COMPRESSION="true", **limits) as (running, base):
        yield running, base, int(base.rpartition(":")[2])
        assert running.handle.poll() is None
        assert not re.search("Traceback|ERROR", running.text()), running.text()


async def asked(port: int, said: bytes) -> bytes:
    """The answer to a handshake: its head where it was accepted, else all of it. Fails where the server resets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            writer.write(said)
            head = await reader.readuntil(b"\r\n\r\n")
            return head if head.startswith(b"HTTP/1.1 101 ") else head + await reader.read()
    finally:
        writer.close()


def whole_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each of the server's frames, up to one that is not whole yet."""
    while len(data) > 1:
        size, at = data[1], 2
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at])
        if len(data) < at + size:
            return
        assert data[0] & 0x80, "the server sends nothing in pieces"
        yield data[0] & 0x0F, data[at : at + size]
        data = data[at + size :]


class Wire:
    """One WebSocket, its frames as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._got = b""

    async def offend(self, data: bytes) -> None:
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def answers(self, ping: bytes, within_s: float) -> bool:
        """Does it still answer pings? Not where it has closed, or waits for the rest of what was said."""
        await self.offend(frame(ping, 0x9))
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while (10, ping) not in whole_frames(self._got) and await self._read():
                    pass
        return (10, ping) in whole_frames(self._got)

    async def end(self) -> None:
        """This side is through: it reads what the server has to say yet."""
        self._writer.write_eof()
        async with asyncio.timeout(30):
            while await self._read():
                pass

    async def until_closed(self) -> None:
        """Waits for the server's close frame, then hangs up."""
        async with asyncio.timeout(30):
            while self.close_code is None and await self._read():
                pass
        await self.end()

    @property
    def close_code(self) -> int | None:
        """None where no close frame came. Behind one no message may follow, only answers to pings."""
        opcodes = [opcode for opcode, _ in whole_frames(self._got)]
        assert set(opcodes) <= {1, 8, 9, 10}
        if 8 not in opcodes:
            return None
        assert set(opcodes[opcodes.index(8) + 1 :]) <= {10}
        data = next(data for opcode, data in whole_frames(self._got) if opcode == 8)
        return int.from_bytes(data[:2]) if data else 1000

    async def _read(self) -> bool:
        data = await self._reader.read(1 << 16)
        self._got += data
        return bool(data)


@asynccontextmanager
async def wire(port: int, path: str) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(handshake(port, path, COMPRESSION))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield Wire(reader, writer)
    finally:
        writer.close()


async def offend(port: int, frames: Sequence[bytes], path: str) -> int | None:
    """The close code that these frames are answered with; None where they are borne, or leave something unsaid."""
    async with wire(port, path) as client:
        await client.offend(b"".join(frames))
        if await client.answers(b"one", 0.5):
            await client.answers(b"two", 0.5)  # what it was told was worked on in between
        await client.end()
        return client.close_code


async def offend_often(port: int, mischief: Mischief, frames: int) -> set[int | None]:
    """Sends so many hostile frames, a few on each connection; the close codes that came."""
    source = mischief.frames()
    codes: set[int | None] = set()
    turn = 0
    while frames > 0:
        offences = []
        for _ in range(_AT_ONCE):
            turn += 1
            few = list(islice(source, 1 + turn % 5))
            frames -= len(few)
            offences.append(offend(port, few, PATHS[turn % len(PATHS)]))
        codes |= set(await asyncio.gather(*offences))
    return codes


@asynccontextmanager
async def dawdlers(port: int) -> AsyncIterator[list[asyncio.Task[bytes]]]:
    """Clients that begin a handshake, some of them byte by byte, and never finish it; what each is answered."""

    async def dawdle(said: bytes, more: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def go_on() -> None:
            for byte in more:
                await asyncio.sleep(0.5)
                writer.write(bytes([byte]))

        writer.write(said)
        going_on = asyncio.create_task(go_on())
        try:
            return await reader.read()
        finally:
            going_on.cancel()
            writer.close()

    said = handshake(port)
    tasks = [asyncio.create_task(dawdle(said[:cut], said[cut:-4] if cut % 2 else b"")) for cut in range(0, 60)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(900)
async def test_hostile_frames_end_with_a_close_code_and_cost_no_memory(
    house: tuple[Process, str, int], full: bool
) -> None:
    running, base, port = house
    frames = 10_000 if full else 800
    mischief, neighbour = Mischief(seed=7), Follower()
    async with listening(base, neighbour) as hearing, dawdlers(port) as slow:
        codes = await offend_often(port, mischief, frames // 4)
        before = psutil.Process(running.handle.pid).memory_info().rss
        codes |= await offend_often(port, mischief, frames - frames // 4)
        grown = psutil.Process(running.handle.pid).memory_info().rss - before
        assert codes - {None} <= CLEAN
        assert codes >= {1002, 1007, 1009, 4400}
        assert grown < MOST_GROWTH_BYTES
        async with asyncio.timeout(60):
            assert set(await asyncio.gather(*slow)) == {b""}
        await until_heard(neighbour, neighbour.heard + 10, hearing)
        assert [gap for gap in neighbour.gaps if gap.prediction] == []
        async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
            assert (await http.get("/health")).json() == {"status": "healthy"}


async def test_each_breach_has_its_code(house: tuple[Process, str, int]) -> None:
    _, _, port = house
    breaches = {
        "a bomb": (BOMB, 1009),
        "garbage that says it is compressed": (frame(b"\xff\xff\xff\xff", bits=0x40), 1002),
        "not masked": (frame(b"{}", masked=False), 1002),
        "a long ping": (frame(b"x" * 126, 0x9), 1002),
        "a ping in pieces": (frame(b"x", 0x9, fin=False), 1002),
        "an unknown opcode": (frame(b"{}", 0x3), 1002),
        "a reserved bit": (frame(b"{}", bits=0x20), 1002),
        "continues nothing": (frame(b"{}", 0x0), 1002),
        "no UTF-8": (frame(b'"\xed\xa0\x80"'), 1007),
        "no UTF-8 in pieces": (frame(b'"\xe2', fin=False) + frame(b'\x82"', 0x0), 1007),
        "too big": (frame(b" " * (MOST_BYTES + 1)), 1009),
        "too big in pieces": (frame(b" " * MOST_BYTES, fin=False) + frame(b" ", 0x0), 1009),
        "claims to be huge": (frame(b"", claim=1 << 62), 1009),
        "a code that nobody may send": (frame((1006).to_bytes(2), 0x8), 1002),
        "a nest of arrays": (frame(b"[" * MOST_BYTES), 4400),
        "a nest of objects": (frame(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 4400),
        "half a character": (frame(b'"\\ud800"'), 4400),
        "half a message": (frame(b'{"type":"ping"'), 4400),
    }
    for path, (what, (data, code)) in product(PATHS, breaches.items()):
        async with wire(port, path) as client:
            await client.offend(data)
            await client.until_closed()
            assert client.close_code == code, (what, path)


async def test_what_is_only_nonsense_is_borne(house: tuple[Process, str, int]) -> None:
    _, _, port = house
    nonsense = (b'{"a":' * 500 + b"1" + b"}" * 500, b"[]", b"7", b'{"type":7}', b'{"type":"nonsense"}')
    for path in PATHS:
        async with wire(port, path) as client:
            for each in nonsense:
                await client.offend(frame(each))
            await client.offend(
                frame(b"[", fin=False) + frame(b"1", 0x0, fin=False) + frame(b"", 0x9) + frame(b"]", 0x0)
            )
            assert await client.answers(b"still here?", 30)
            await client.end()
            assert client.close_code is None


async def test_hostile_handshakes_are_refused_in_due_form(house: tuple[Process, str, int]) -> None:
    _, base, port = house
    handshakes = hostile_handshakes(port)
    answers = await asyncio.gather(*(asked(port, said) for said, _ in handshakes.values()))
    wrong = {
        what: answer[:100]
        for (what, (_, statuses)), answer in zip(handshakes.items(), answers, strict=True)
        if not (line := re.match(rb"HTTP/1\.1 (\d{3}) ", answer)) or int(line[1]) not in statuses
    }
    assert wrong == {}
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        assert (await http.get("/health")).json() == {"status": "healthy"}
