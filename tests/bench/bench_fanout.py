"""Fan-out: messages delivered per CPU-second of the gateway, end to end from Kafka, against a plain loop.

    python -m tests.bench.bench_fanout [--sockets 1000] [--seconds 5]

One core runs the server alone; the other one runs the broker, this program and the load client (C, compiled here with
`cc`). Every socket sits in one room. A round publishes as many prices as are to be in flight and ends when every socket
has got them all. CPU time is the server process's own, user and system, from /proc; what it spends on asking Kafka for
news between rounds is in it.
"""

import argparse
import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from aiokafka import AIOKafkaProducer

from services.shared.embedded_kafka import embedded_kafka
from services.shared.events import Tick, encode
from services.shared.kafka import Kafka
from services.shared.topics import TICKS, partition_of
from tests.bench.machine import machine

SYMBOL = "AAPL"
IN_FLIGHT = (64, 1)
TARGETS = {64: 40.0, 1: 1.9}
PAIRS = 5
_START_S = 30.0


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
    """One server with its sockets, and the prices for them. It stands still (SIGSTOP) while the other one runs."""

    def __init__(
        self, producer: AIOKafkaProducer, client: asyncio.subprocess.Process, sockets: int, server_pid: int
    ) -> None:
        self._producer = producer
        self._client = client
        self._sockets = sockets
        self._pid = server_pid
        self._sent = 0
        os.kill(server_pid, signal.SIGSTOP)

    async def run(self, in_flight: int, seconds: float) -> Slice:
        os.kill(self._pid, signal.SIGCONT)
        try:
            await self._round(in_flight)
            cpu, begun, sent = cpu_s(self._pid), time.perf_counter(), self._sent
            while time.perf_counter() - begun < seconds:
                await self._round(in_flight)
            deliveries = (self._sent - sent) * self._sockets
            return Slice(deliveries, cpu_s(self._pid) - cpu, time.perf_counter() - begun)
        finally:
            os.kill(self._pid, signal.SIGSTOP)

    async def _round(self, in_flight: int) -> None:
        partition = partition_of(SYMBOL, TICKS.embedded_partitions)
        for _ in range(in_flight):
            self._sent += 1
            await self._producer.send(TICKS.name, price(self._sent), key=SYMBOL.encode(), partition=partition)
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(b"%d\n" % self._sent)
        answer = await asyncio.wait_for(self._client.stdout.readline(), 30.0)
        if answer != b"%d\n" % self._sent:
            raise SystemExit("the load client found a fault, see above")


def price(number: int) -> bytes:
    """The record of price 100,000.5 + `number`: every frame is as long as the others."""
    return encode(
        Tick(
            symbol=SYMBOL,
            price=100_000.5 + number,
            timestamp="2024-09-21T14:23:00Z",
            epoch="0192f5e0a1b20000",
            seq=number,
            time="2024-09-21T14:23:00.000000Z",
            source="bench",
        )
    )


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, of all its threads, to the nanosecond."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@asynccontextmanager
async def server(which: str, core: int, kafka: Kafka) -> AsyncIterator[tuple[int, int]]:
    """(process id, port) of one of the servers of fanout_servers.py."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.fanout_servers", which, str(core), kafka.bootstrap),
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        if not line:
            raise SystemExit(f"the server {which} did not start, see above")
        yield process.pid, int(line.rpartition(b":")[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def load_client(binary: Path, port: int, sockets: int) -> AsyncIterator[asyncio.subprocess.Process]:
    client = await asyncio.create_subprocess_exec(
        *(binary, str(port), f"/websocket/stock/{SYMBOL}", str(sockets)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert client.stdout is not None
        if await asyncio.wait_for(client.stdout.readline(), _START_S) != b"ready\n":
            raise SystemExit("the load client could not open its sockets, see above")
        yield client
    finally:
        if client.returncode is None:
            client.kill()
        await client.wait()


@asynccontextmanager
async def contender(which: str, core: int, binary: Path, sockets: int) -> AsyncIterator[Contender]:
    async with (
        embedded_kafka() as kafka,
        server(which, core, kafka) as (pid, port),
        load_client(binary, port, sockets) as client,
    ):
        producer = await kafka.producer()
        try:
            yield Contender(producer, client, sockets, pid)
        finally:
            await producer.stop()


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


def compiled(folder: str) -> Path:
    binary = Path(folder) / "fanout_client"
    source = Path(__file__).with_name("fanout_client.c")
    subprocess.run(["cc", "-O2", "-o", binary, source], check=True)
    return binary


def table(found: dict[int, list[tuple[Slice, Slice]]], sockets: int) -> str:
    lines = [
        f"{sockets} sockets in one room; deliveries per CPU-second of the server, end to end from Kafka",
        f"(medians of {PAIRS} slices each, taken in turns; ratio: the median of the pairs')",
        "in flight    plain loop      tickroom    ratio   target     our CPU     wall",
    ]
    for in_flight, pairs in found.items():
        before = median(plain.per_cpu_s for plain, _ in pairs)
        now = median(ours.per_cpu_s for _, ours in pairs)
        ratio = median(ours.per_cpu_s / plain.per_cpu_s for plain, ours in pairs)
        cpu, wall = sum(ours.cpu_s for _, ours in pairs), sum(ours.wall_s for _, ours in pairs)
        lines.append(
            f"{in_flight:>9}  {before:>12,.0f}  {now:>12,.0f}  {ratio:>6.1f}x"
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
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this needs two cores: one for the server alone, one for broker and clients")
    os.sched_setaffinity(0, {cores[1]})  # before the broker starts its threads, which inherit it
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        binary = compiled(folder)
        found = asyncio.run(measure(cores[0], binary, wish.sockets, wish.seconds))
    print(f"{machine('uvicorn', 'uvloop', 'starlette', 'aiokafka', 'faststream')}\n{table(found, wish.sockets)}")


if __name__ == "__main__":
    main()
