"""Idle sockets: what one costs in memory and CPU, and what rooms cost that nobody is in.

    python -m tests.bench.bench_idle [--sockets 20000] [--per-room 10]

Sockets: so many at once in one process, a few in each room, and nothing happens there. What the process grew by (RSS),
for each socket, and the share of a core that it takes to keep them for half a minute, pings included, less what the
empty server takes; for the plain Starlette server and the gateway's two profiles. Then they all leave and as many come
again: what was not given back shows there.

Rooms: what the gateway's CPU spends on a price that nobody is there to hear: while every room has its sockets and the
prices are of other symbols, against an empty gateway, in turns. And what a symbol costs in memory whose ring is full.

A process may hold as many sockets as it may open files: where that is below what is wished for, as many as that.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import median

from services.shared.topics import EMBEDDED_PARTITIONS, partition_of
from tests.bench.arena import PACKAGES, LoadClient, Server, Which, load_client_binary, server
from tests.bench.machine import machine, raise_file_limit, resident_bytes, two_cores

KINDS: tuple[tuple[str, Which, str], ...] = (
    ("plain Starlette", "plain", "/websocket/stock/Q"),
    ("tickroom, plain profile", "ours", "/websocket/stock/Q"),
    ("tickroom, extended", "ours", "/websocket/stocks/all?profile=ext&crowd="),
)
MARK = "M"
TARGET_KB = 25.0
_OTHER_FILES = 100
_OPENING_S = 240.0
_FIRST = 20
_QUIET_S = 30.0
_TURNS = 5
_UNHEARD = 20_000  # prices of a turn
_AT_ONCE = 500
_UNHEARD_SYMBOLS = 50
_RING = 300  # records of a symbol that the gateway keeps
_RING_SYMBOLS = 200


@dataclass(frozen=True)
class Crowd:
    """kb, again_kb: RSS for each socket, of the first crowd and of the second one. cpu: of a core, to keep them."""

    name: str
    ours: bool
    kb: float
    again_kb: float
    cpu: float


async def crowd(name: str, which: Which, path: str, core: int, binary: Path, sockets: int, rooms: int) -> Crowd:
    async with server(which, core, binary, [f"Q{room}" for room in range(rooms)]) as running:
        async with running.clients(path, _FIRST, "count", _FIRST):
            pass  # what the very first visitors bring along is not counted
        empty, quiet = resident_bytes(running.pid), await _busy(running)
        async with running.clients(path, sockets, "count", rooms, _OPENING_S) as first:
            grown = resident_bytes(running.pid) - empty
            kept = await _busy(running) - quiet
            first.check()
        async with running.clients(path, sockets, "count", rooms, _OPENING_S):
            grown_again = resident_bytes(running.pid) - empty
    return Crowd(name, which == "ours", grown / sockets / 1024, grown_again / sockets / 1024, kept)


async def _busy(running: Server) -> float:
    """The share of a core that a server takes while nothing happens."""
    begun = running.cpu_s
    await asyncio.sleep(_QUIET_S)
    return (running.cpu_s - begun) / _QUIET_S


class Pace:
    """Publishes to a gateway no faster than it reads: a socket in the room of MARK tells how far it is."""

    def __init__(self, running: Server, client: LoadClient) -> None:
        self.server = running
        self._client = client
        self._seq = 0
        self._rounds = 0

    async def publish(self, symbols: Sequence[str], prices: int) -> None:
        """So many prices of each symbol (beside the mark); returns when the gateway has read them all."""
        for number in range(prices * len(symbols)):
            self._seq += number % len(symbols) == 0
            await self.server.publish(symbols[number % len(symbols)], 100.5, self._seq)
            if number % _AT_ONCE == 0:
                await self._wait()
        await self._wait()

    async def _wait(self) -> None:
        self._rounds += 1
        await self.server.publish(MARK, float(self._rounds), self._rounds)
        await self._client.ask(str(self._rounds))


def beside_the_mark(letter: str, symbols: int) -> list[str]:
    """Symbols that begin with `letter` and share their partition with MARK: so its prices come behind theirs."""
    partition = partition_of(MARK, EMBEDDED_PARTITIONS)
    names = (f"{letter}{number}" for number in count())
    return list(islice((each for each in names if partition_of(each, EMBEDDED_PARTITIONS) == partition), symbols))


@asynccontextmanager
async def gateway(core: int, binary: Path, symbols: Sequence[str]) -> AsyncIterator[Pace]:
    async with (
        server("ours", core, binary, [*symbols, MARK]) as running,
        running.clients(f"/websocket/stock/{MARK}", 1, "count") as client,
    ):
        yield Pace(running, client)


async def unheard(core: int, binary: Path, sockets: int, rooms: int) -> tuple[float, float, float]:
    """CPU microseconds for a price that nobody hears: of an empty gateway, of a full one; and their ratio."""
    heard = [f"Q{room}" for room in range(rooms)]
    others = beside_the_mark("U", _UNHEARD_SYMBOLS)
    async with (
        gateway(core, binary, heard) as empty,
        gateway(core, binary, heard) as full,
        full.server.clients("/websocket/stock/Q", sockets, "count", rooms, _OPENING_S) as client,
    ):
        turns = [(await _cost(empty, others), await _cost(full, others)) for _ in range(_TURNS + 1)]
        client.check()
    del turns[0]  # in which the rings were filled
    ratio = median(full_us / empty_us for empty_us, full_us in turns)
    return median(us for us, _ in turns), median(us for _, us in turns), ratio


async def _cost(pace: Pace, symbols: Sequence[str]) -> float:
    begun = pace.server.cpu_s
    await pace.publish(symbols, _UNHEARD // len(symbols))
    return 1e6 * (pace.server.cpu_s - begun) / _UNHEARD


async def ring(core: int, binary: Path) -> float:
    """Kilobytes of a symbol whose ring is full."""
    symbols = beside_the_mark("R", _RING_SYMBOLS)
    async with gateway(core, binary, symbols) as pace:
        await pace.publish(symbols, 1)
        before = resident_bytes(pace.server.pid)
        await pace.publish(symbols, _RING)
        return (resident_bytes(pace.server.pid) - before) / _RING_SYMBOLS / 1024


async def measure(core: int, binary: Path, sockets: int, rooms: int) -> str:
    crowds = [await crowd(*kind, core, binary, sockets, rooms) for kind in KINDS]
    empty_us, full_us, ratio = await unheard(core, binary, sockets, rooms)
    lines = [
        f"{sockets} sockets in {rooms} rooms where nothing happens",
        "                            KB a socket  when they come again  target  share of a core",
        *(
            f"{each.name:<27} {each.kb:>11.1f}  {each.again_kb:>20.1f}  {TARGET_KB if each.ours else '-':>6}"
            f"  {100 * each.cpu:>13.1f} %"
            for each in crowds
        ),
        "",
        "a price that nobody hears (medians of turns)",
        f"CPU, empty gateway          {empty_us:>11.1f} us",
        f"CPU, with those sockets     {full_us:>11.1f} us  ratio {ratio:.2f}x",
        f"a symbol's full ring of {_RING}  {await ring(core, binary):>10.1f} KB",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description="What idle sockets and empty rooms cost")
    arguments.add_argument("--sockets", type=int, default=20_000)
    arguments.add_argument("--per-room", type=int, default=10)
    wish, _ = arguments.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    core, _ = two_cores()
    most = raise_file_limit() - _OTHER_FILES
    rooms = min(wish.sockets, most) // wish.per_room
    with load_client_binary() as binary:
        found = asyncio.run(measure(core, binary, rooms * wish.per_room, rooms))
    print(f"{machine(*PACKAGES)}\n{found}")
    if wish.sockets > most:
        print(f"(fewer than {wish.sockets}: this machine allows a process {most + _OTHER_FILES} open files)")


if __name__ == "__main__":
    main()
