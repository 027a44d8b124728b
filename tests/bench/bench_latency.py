"""Latency: from publishing a price to Kafka until each socket's client has read it, with readers that don't read too.

    python -m tests.bench.bench_latency [--sockets 1000] [--seconds 12]

Every socket gets 20 prices a second, once as a crowd in one room, once spread over 50 rooms. The price in a record is
the microsecond of CLOCK_MONOTONIC right before the record is handed to the producer (stock_data's: it lingers for 2
ms); the client reads the same clock when it has read the frame. So lingering, the way to the broker and its append
are in the time, as is the client's own turn among its sockets.

The contenders are the plain loop, the gateway, and the gateway and the plain loop with every tenth socket never
reading: those are filled with prices until kernel and server hold all that they ever will, before anything is measured.
The server alone is on one core; broker, this program and the load client on the other.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from tests.bench.arena import PACKAGES, LoadClient, Server, Which, load_client_binary, server
from tests.bench.machine import machine, raise_file_limit, two_cores

PER_SECOND = 20
ROOMS = (1, 50)
TURNS = 4
DEAF_SHARE = 10  # every tenth
TARGET = 1.2
_FILL_FRAMES = 6_000  # of 100 bytes: more than the kernel (twice 128 KiB) and the server (64 KiB) keep for a socket
_FILL_AT_ONCE = 500
_STANDS_STILL_S = 10.0


@dataclass(frozen=True)
class Times:
    """Milliseconds of all deliveries of one slice; missing: deliveries that never came."""

    p50: float
    p99: float
    worst: float
    missing: int


class Contender:
    """A server whose sockets are spread over rooms. unread_bytes: of those that don't read, in the kernel."""

    def __init__(self, server: Server, client: LoadClient, sockets: int, rooms: int, unread_bytes: int) -> None:
        self.unread_bytes = unread_bytes
        self._server = server
        self._client = client
        self._sockets = sockets
        self._rooms = rooms
        self._seq = 0

    async def run(self, seconds: float) -> Times:
        with self._server.awake():
            await self._deliver(0.5)  # it stood still: let it catch up
            return await self._deliver(seconds)

    async def _deliver(self, seconds: float) -> Times:
        await self._client.ask("clear")
        expected = await self._publish(seconds) * self._sockets
        deadline = time.monotonic() + _STANDS_STILL_S
        while True:
            count, *times = map(int, (await self._client.ask("report")).split())
            if count == expected or time.monotonic() > deadline:
                p50, p99, worst = (us / 1000 for us in times)
                return Times(p50, p99, worst, expected - count)
            await asyncio.sleep(0.05)

    async def _publish(self, seconds: float) -> int:
        """Prices at an even pace, room after room; how many each room got."""
        rounds = round(PER_SECOND * seconds)
        begun = time.monotonic()
        for number in range(rounds * self._rooms):
            room = number % self._rooms
            wait = begun + number / (PER_SECOND * self._rooms) - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            self._seq += 1
            await self._server.publish(_symbol(room), float(time.monotonic_ns() // 1000), _FILL_FRAMES + self._seq)
        return rounds


@asynccontextmanager
async def contender(
    which: Which, core: int, binary: Path, sockets: int, rooms: int, deaf: int
) -> AsyncIterator[Contender]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(server(which, core, binary, [_symbol(room) for room in range(rooms)]))
        path = "/websocket/stock/R"
        if deaf:
            await stack.enter_async_context(running.clients(path, deaf, "deaf", rooms))
        await _fill(running, rooms)  # also where nobody is: then every broker's log has the same length
        unread = running.unread_bytes
        client = await stack.enter_async_context(running.clients(path, sockets - deaf, "time", rooms))
        with running.awake():
            pass  # and from here on it stands still
        yield Contender(running, client, sockets - deaf, rooms, unread)


async def _fill(running: Server, rooms: int) -> None:
    """Publishes until the sockets that don't read are full; a server that stands still then has stopped by itself."""
    async with running.clients("/websocket/stock/R0", 1, "count") as probe:
        for number in range(_FILL_FRAMES):
            for room in range(rooms):
                await running.publish(_symbol(room), 100_000.5 + number, number + 1)
            if (number + 1) % _FILL_AT_ONCE == 0:
                try:
                    await probe.ask(str(number + 1), _STANDS_STILL_S)
                except TimeoutError:
                    return


def _symbol(room: int) -> str:
    return f"R{room}"


@dataclass(frozen=True)
class Found:
    """Slices of each contender. unread_kb: what the kernel holds for each socket that does not read."""

    slices: dict[str, list[Times]]
    unread_kb: float


async def measure(core: int, binary: Path, sockets: int, rooms: int, seconds: float) -> Found:
    """Slices are taken in turns."""
    deaf = sockets // DEAF_SHARE
    async with (
        contender("plain", core, binary, sockets, rooms, 0) as plain,
        contender("ours", core, binary, sockets, rooms, 0) as ours,
        contender("plain", core, binary, sockets, rooms, deaf) as plain_deaf,
        contender("ours", core, binary, sockets, rooms, deaf) as ours_deaf,
    ):
        found: dict[str, list[Times]] = {}
        for turn in range(TURNS):
            for name, each in {"plain loop": plain, "tickroom": ours, "tickroom, 10 % deaf": ours_deaf}.items():
                found.setdefault(name, []).append(await each.run(seconds / TURNS))
            if turn == 0:
                found["plain loop, 10 % deaf"] = [await plain_deaf.run(1.0)]
        unread_kb = ours_deaf.unread_bytes / deaf / 1024
    return Found(found, unread_kb)


def table(measured: dict[int, Found], sockets: int) -> str:
    lines = [
        f"{sockets} sockets at {PER_SECOND} prices/s each; milliseconds from publishing to Kafka to the client's read",
        f"(medians of {TURNS} slices taken in turns; ratio: the median of the turns', of p99, to tickroom's without)",
        "rooms  contender                    p50       p99     worst    ratio  target",
    ]
    for rooms, found in measured.items():
        for name, slices in found.slices.items():
            missing = sum(each.missing for each in slices)
            values = [median(getattr(each, what) for each in slices) for what in ("p50", "p99", "worst")]
            cells = "".join(f"{value:>10.2f}" for value in values) if not missing else f"{missing:>21,} not delivered"
            ratio = ""
            if name == "tickroom, 10 % deaf":
                pairs = zip(slices, found.slices["tickroom"], strict=True)
                ratio = f"{median(deaf.p99 / all_read.p99 for deaf, all_read in pairs):>8.2f}x {TARGET:>6.1f}x"
            lines.append(f"{rooms:>5}  {name:<21} {cells} {ratio}")
    held = ", ".join(f"{each.unread_kb:.0f}" for each in measured.values())
    return "\n".join([*lines, f"(KB that the kernel held for each deaf socket of tickroom: {held})"])


def main() -> None:
    arguments = argparse.ArgumentParser(description="Latency, from Kafka to the client")
    arguments.add_argument("--sockets", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=12.0, help="for each contender")
    wish, _ = arguments.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    core, _ = two_cores()
    raise_file_limit()
    with load_client_binary() as binary:
        found = {rooms: uvloop.run(measure(core, binary, wish.sockets, rooms, wish.seconds)) for rooms in ROOMS}
    print(f"{machine(*PACKAGES)}\n{table(found, wish.sockets)}")


if __name__ == "__main__":
    main()
