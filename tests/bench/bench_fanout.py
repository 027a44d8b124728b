"""Fan-out: messages delivered per CPU-second of the gateway, end to end from Kafka, against a plain loop.

    python -m tests.bench.bench_fanout [--sockets 1000] [--seconds 5]

One core runs the server alone; the other one runs the broker, this program and the load client. Every socket sits in
one room. A round publishes as many prices as are to be in flight and ends when every socket has got them all. CPU time
is the server process's own, user and system, from /proc; what it spends on asking Kafka for news between rounds is in
it.
"""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from tests.bench.arena import PACKAGES, LoadClient, Server, Which, load_client_binary, server
from tests.bench.machine import machine, raise_file_limit, two_cores

SYMBOL = "AAPL"
IN_FLIGHT = (64, 1)
TARGETS = {64: 60.0, 1: 2.0}
TARGET_PER_CPU_S = {64: 5_000_000.0}
PAIRS = 5


@dataclass(frozen=True)
class Slice:
    """deliveries: frames that reached a socket; cpu_s: of the server; wall_s: as it took."""

    deliveries: int
    cpu_s: float
    wall_s: float

    @property
    def per_cpu_s(self) -> float:
        return self.deliveries / self.cpu_s


class Contender:
    """One server with its sockets, and the prices for them."""

    def __init__(self, server: Server, client: LoadClient, sockets: int) -> None:
        self._server = server
        self._client = client
        self._sockets = sockets
        self._sent = 0

    async def run(self, in_flight: int, seconds: float) -> Slice:
        with self._server.awake():
            await self._round(in_flight)
            cpu, begun, sent = self._server.cpu_s, time.perf_counter(), self._sent
            while time.perf_counter() - begun < seconds:
                await self._round(in_flight)
            deliveries = (self._sent - sent) * self._sockets
            return Slice(deliveries, self._server.cpu_s - cpu, time.perf_counter() - begun)

    async def _round(self, in_flight: int) -> None:
        for _ in range(in_flight):
            self._sent += 1
            await self._server.publish(SYMBOL, 100_000.5 + self._sent, self._sent)  # every frame of one length
        await self._client.ask(str(self._sent))


@asynccontextmanager
async def contender(which: Which, core: int, binary: Path, sockets: int) -> AsyncIterator[Contender]:
    async with (
        server(which, core, binary, [SYMBOL]) as running,
        running.clients(f"/websocket/stock/{SYMBOL}", sockets, "count") as client,
    ):
        with running.awake():
            pass  # and from here on it stands still
        yield Contender(running, client, sockets)


async def measure(core: int, binary: Path, sockets: int, seconds: float) -> dict[int, list[tuple[Slice, Slice]]]:
    """Pairs of slices (plain, ours) by messages in flight. In turns, so that a busy machine is busy for both."""
    async with (
        contender("plain", core, binary, sockets) as plain,
        contender("ours", core, binary, sockets) as ours,
    ):
        return {
            in_flight: [
                (await plain.run(in_flight, seconds / PAIRS), await ours.run(in_flight, seconds / PAIRS))
                for _ in range(PAIRS)
            ]
            for in_flight in IN_FLIGHT
        }


def table(found: dict[int, list[tuple[Slice, Slice]]], sockets: int) -> str:
    lines = [
        f"{sockets} sockets in one room; deliveries per CPU-second of the server, end to end from Kafka",
        f"(medians of {PAIRS} slices each, taken in turns; ratio: the median of the pairs')",
        "in flight    plain loop      tickroom     target    ratio   target     our CPU     wall",
    ]
    for in_flight, pairs in found.items():
        before = median(plain.per_cpu_s for plain, _ in pairs)
        now = median(ours.per_cpu_s for _, ours in pairs)
        ratio = median(ours.per_cpu_s / plain.per_cpu_s for plain, ours in pairs)
        cpu, wall = sum(ours.cpu_s for _, ours in pairs), sum(ours.wall_s for _, ours in pairs)
        target = f"{TARGET_PER_CPU_S[in_flight]:,.0f}" if in_flight in TARGET_PER_CPU_S else "-"
        lines.append(
            f"{in_flight:>9}  {before:>12,.0f}  {now:>12,.0f}  {target:>9}  {ratio:>6.1f}x"
            f"  {TARGETS[in_flight]:>6.1f}x  {cpu:>10.2f} s  {wall:>5.2f} s"
        )
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Fan-out, deliveries per CPU-second")
    arguments.add_argument("--sockets", type=int, default=1000)
    arguments.add_argument(
        "--seconds", type=float, default=5.0, help="for each server and number of messages in flight"
    )
    wish, _ = arguments.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    core, _ = two_cores()
    raise_file_limit()
    with load_client_binary() as binary:
        found = uvloop.run(measure(core, binary, wish.sockets, wish.seconds))
    print(f"{machine(*PACKAGES)}\n{table(found, wish.sockets)}")


if __name__ == "__main__":
    main()
