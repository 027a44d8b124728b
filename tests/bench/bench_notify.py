"""Notify: from a price that fires a rule until its owner's open socket has the notification, in the real system.

    python -m tests.bench.bench_notify [--embedded] [--seconds 30] [--rate 1000] [--firings 40] [--sockets 300]

users and gateway run as processes of their own, as in production: Apache Kafka, PostgreSQL, Redis. This program stands
in for stock_data: five ticks each 5 ms, by a producer that does not linger either (at 1,000 ticks/s). So it knows when
each price was handed to the producer.

--embedded: everything runs as `make run` starts it, in one process: embedded broker, SQLite, prediction too. The feed
is a file of ticks, replayed; when a price was handed to the producer is its record's CreateTime, in milliseconds.

This program is every client (notify_watch.py).

The baselines are of the same run: the same prices as they are read straight from topic `ticks` here, and the same
notifications from topic `notifications`, stored by then and on their way to the gateway.

What is measured is cut into slices of five seconds, and the table has their medians: where the host of a virtual
machine stops it for a tenth of a second, that is one slice's number. A line below tells how much the host took.
"""

import argparse
import asyncio
import csv
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from services.shared import kafka
from services.shared.events import Tick, encode, rfc3339, seconds
from services.shared.kafka import Kafka
from services.shared.topics import EMBEDDED_PARTITIONS, NOTIFICATIONS, TICKS, TOPICS, partition_of
from tests.bench.arena import rooms_behind
from tests.bench.machine import cpu_s, machine, raise_file_limit
from tests.bench.notify_watch import (
    REST,
    SECRET,
    SYMBOLS,
    Mark,
    Person,
    Watch,
    Wish,
    following,
    following_ticks,
    listening,
    names,
    people,
    prices,
)
from tests.e2e.house import Four, Process, embedded
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.servers.redis import RedisServer

TARGET_MS: Final = 50
_BURST: Final = 5
"""Ticks handed over together: how even they come is a matter of the machine's timers otherwise."""
_WARM_UP_S: Final = 20.0
"""The broker's JVM compiles meanwhile."""
_SETTLE_S: Final = 10.0
_SOON_S: Final = 2.0
_START_S: Final = 90.0
_LATE_S: Final = 5.0
_SAY_EVERY_S: Final = 5.0
_SLICE_S: Final = 5.0
_TOKEN: Final = "t" * 32  # as tests.e2e.house has it
_EPOCH: Final = "0192f5e0a1b20000"
_OPEN: Final = datetime(2024, 9, 20, 14, tzinfo=UTC)
"""The first tick of the replayed file: a Friday, the exchange is open for hours."""


# -- servers, and a market of our own ------------------------------------------------------------------------------


@asynccontextmanager
async def on_servers(sockets: int) -> AsyncIterator[tuple[Kafka, str, list[Person]]]:
    """The rooms, ready; the gateway's address; who has an account."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickroom-bench-")))
        say("starting Apache Kafka, PostgreSQL, Redis, users and gateway")
        broker, postgres = stack.enter_context(KafkaServer(compiled=True)), stack.enter_context(PostgresServer())
        redis = stack.enter_context(RedisServer())
        url = postgres.create_database("notify")
        known = await people(folder / "people", url, sockets)
        cluster = await kafka.connect(broker.bootstrap, 30)
        stack.push_async_callback(cluster.close)
        behind = f"127.0.0.1:{free_port()}"
        await stack.enter_async_context(rooms_behind(behind, names(), _TOKEN))
        rooms = Four(folder, broker.bootstrap, url, redis.url, {"MAX_CONNECTIONS_PER_ADDRESS": "0"})
        stack.push_async_callback(rooms.close)
        stand_ins = {f"{name}_ADDRESS": f"dns:///{behind}" for name in ("STOCK_DATA", "PREDICTION")}
        rooms.start("users", **stand_ins)
        await rooms.start("gateway", **stand_ins).says("listening on")
        yield cluster, rooms.base.replace("http", "ws", 1), known


class Market:
    """Prices at an even pace, burst after burst."""

    def __init__(self, cluster: Kafka, known: Sequence[Person], wish: Wish) -> None:
        self._cluster = cluster
        self._rate = wish.rate
        self._prices = prices(known, wish)
        self._seq = 0

    async def run(self, watch: Watch, for_s: float) -> None:
        """Publishes for so long; `watch` is told of firings."""
        producer = await self._cluster.producer(bulk=True, linger_ms=0)
        begun = said = time.monotonic()
        for number, (symbol, price) in enumerate(islice(self._prices, round(self._rate * for_s))):
            wait = begun + (number - number % _BURST) / self._rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if price != REST:
                watch.sent[symbol, price] = time.time()
            await producer.send(
                TICKS.name,
                self._record(symbol, price),
                key=symbol.encode(),
                partition=partition_of(symbol, self._cluster.partitions(TICKS)),
            )
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                say(f"{said - begun:3.0f} s, {len(watch.took('socket')):,} of {len(watch.sent):,} received")
        await producer.stop()

    def _record(self, symbol: str, price: float) -> bytes:
        self._seq += 1
        now = rfc3339(datetime.now(UTC))
        seq = (self._seq + SYMBOLS - 1) // SYMBOLS
        return encode(
            Tick(symbol=symbol, price=price, timestamp=seconds(now), epoch=_EPOCH, seq=seq, time=now, source="bench")
        )


async def measure_servers(wish: Wish) -> Watch:
    watch = Watch()
    async with AsyncExitStack() as stack:
        cluster, base, known = await stack.enter_async_context(on_servers(wish.sockets))
        say(f"opening {len(known):,} sockets")
        await stack.enter_async_context(listening(base, known, watch))
        for topic in (TICKS, NOTIFICATIONS):
            await stack.enter_async_context(following(cluster, topic, watch))
        market = Market(cluster, known, wish)
        say("waiting until firings arrive")
        await warm_up(market, watch)
        with watch.measuring():
            await market.run(watch, wish.seconds)
        await watch.all_seen(_LATE_S)
    return watch


async def warm_up(market: Market, watch: Watch) -> None:
    """Until the rooms have taken their partitions, and everything that fires arrives within a moment."""
    deadline = time.monotonic() + _START_S
    while True:
        await market.run(watch, _WARM_UP_S)
        arrived = await watch.all_seen(_SOON_S)
        watch.clear()  # the very first price of a symbol enters no channel
        if arrived:
            return
        if time.monotonic() > deadline:
            raise SystemExit("firings do not arrive")


# -- one process, and a replay -------------------------------------------------------------------------------------


@asynccontextmanager
async def in_one_process(wish: Wish) -> AsyncIterator[tuple[Process, Kafka, str, list[Person]]]:
    """`python -m services`, replaying; its broker; the gateway's address; who has an account."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickroom-bench-")))
        say("starting all rooms in one process")
        known = await people(folder / "data", None, wish.sockets)
        feed = folder / "ticks.csv"
        write_feed(feed, islice(prices(known, wish), round(wish.rate * (_START_S + wish.seconds))), wish.rate)
        running, base = await stack.enter_async_context(
            embedded(
                folder,
                SECRET_KEY=SECRET,
                FEED=f"csv:{feed}",
                REPLAY_RATE=str(wish.rate),
                REPLAY_LOOP="false",
                MAX_CONNECTIONS_PER_ADDRESS="0",
            )
        )
        bootstrap = (await running.says(r"embedded broker: ([\w.:]+)"))[1]
        partitions = {topic.name: EMBEDDED_PARTITIONS for topic in TOPICS}
        cluster = Kafka(bootstrap=bootstrap, embedded=True, log_id="", partitions=partitions)
        stack.push_async_callback(cluster.close)
        yield running, cluster, base.replace("http", "ws", 1), known


def write_feed(path: Path, ticks: Iterator[Mark], rate: int) -> None:
    """The ticks as a file whose own clock runs as fast as the replay."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("timestamp", "symbol", "price", "size"))
        for number, (symbol, price) in enumerate(ticks):
            rows.writerow((rfc3339(_OPEN + timedelta(seconds=number / rate)), symbol, price, 100))


async def measure_one_process(wish: Wish) -> Watch:
    watch = Watch()
    async with AsyncExitStack() as stack:
        running, cluster, base, known = await stack.enter_async_context(in_one_process(wish))
        say(f"opening {len(known):,} sockets")
        await stack.enter_async_context(listening(base, known, watch))
        await stack.enter_async_context(following_ticks(cluster, watch))
        await stack.enter_async_context(following(cluster, NOTIFICATIONS, watch))
        say("waiting until firings arrive")
        deadline = time.monotonic() + _START_S
        while "socket" not in watch.seen:
            if time.monotonic() > deadline:
                raise SystemExit("firings do not arrive")
            await asyncio.sleep(0.1)
        await asyncio.sleep(_SETTLE_S)
        say(f"measuring for {wish.seconds:g} s, process {running.handle.pid}")
        begun, worked = time.time(), cpu_s(running.handle.pid)
        with watch.measuring():
            await asyncio.sleep(wish.seconds)
        ended = time.time()
        watch.cpu = (cpu_s(running.handle.pid) - worked) / (ended - begun)
        await asyncio.sleep(_SOON_S)
    watch.sent = {mark: at for mark, at in watch.sent.items() if begun <= at < ended}
    return watch


# -- the table -----------------------------------------------------------------------------------------------------


def say(what: str) -> None:
    print(f"... {what}", flush=True)


def table(watch: Watch, wish: Wish) -> str:
    lines = [
        f"{wish.rate:,} ticks/s, {len(watch.sent):,} firings in {wish.seconds:g} s, {wish.sockets:,} open sockets; "
        "milliseconds since the price was handed to the producer",
        f"(medians of slices of {_SLICE_S:g} s; the slices' p99 from lowest to highest; worst of all)",
        "seen                                         p50       p99     slices' p99     worst     ratio  missing",
    ]
    titles = {
        TICKS.name: "the price, straight from Kafka",
        NOTIFICATIONS.name: "the notification, straight from Kafka",
        "socket": "the notification, on its owner's socket",
    }
    found = {where: slices(watch.took(where), wish) for where in titles}
    floor = median(percentile(each, 0.99) for each in found[TICKS.name])
    for where, title in titles.items():
        p99 = [percentile(each, 0.99) for each in found[where]]
        half, most = median(percentile(each, 0.5) for each in found[where]), max(map(max, found[where]))
        spread = f"{min(p99):.1f} to {max(p99):.1f}"
        missing = len(watch.sent) - len(watch.took(where))
        ratio = median(p99) / floor
        lines.append(
            f"{title:<39}{half:>10.1f}{median(p99):>10.1f}{spread:>16}{most:>10.1f}{ratio:>9.1f}x{missing:>9,}"
        )
    if watch.cpu is not None:
        lines.append(f"the process took {watch.cpu:.0%} of a core")
    lines.append(f"the machine's host took {watch.stolen:.0%} of the cores")
    return "\n".join([*lines, f"target: p99 on the socket under {TARGET_MS} ms"])


def slices(took: Sequence[float], wish: Wish) -> list[list[float]]:
    """Milliseconds, of which each slice has as many; one slice where there are few."""
    count = max(1, round(wish.seconds / _SLICE_S))
    size = max(1, -(-len(took) // count))
    return [[1000 * each for each in took[at : at + size]] for at in range(0, len(took), size)] or [[float("nan")]]


def percentile(times: Sequence[float], share: float) -> float:
    """What that share of them is below."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    asked = argparse.ArgumentParser(description="Notify, from a price to the notification on an open socket")
    asked.add_argument("--embedded", action="store_true", help="all rooms in one process, no server")
    asked.add_argument("--seconds", type=float, default=30.0, help="that are measured")
    asked.add_argument("--rate", type=int, default=1_000, help="ticks in a second")
    asked.add_argument("--firings", type=int, default=40, help="of them that fire a rule, about")
    asked.add_argument("--sockets", type=int, default=300, help="users with a rule and an open socket each")
    wish, _ = asked.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    raise_file_limit()
    print(machine("aiokafka", "asyncpg", "websockets", "uvicorn", "uvloop"), flush=True)
    load = Wish(wish.seconds, wish.rate, wish.firings, wish.sockets)
    print(table(uvloop.run(measure_one_process(load) if wish.embedded else measure_servers(load)), load))


if __name__ == "__main__":
    main()
