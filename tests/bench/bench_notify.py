"""Notify: from a price that fires a rule until its owner's open socket has the notification, in the real system.

    python -m tests.bench.bench_notify [--seconds 20] [--rate 1000] [--firings 40] [--sockets 300]

users and gateway run as processes of their own, as in production: Apache Kafka, PostgreSQL, Redis. This program stands
in for stock_data, and is every client: so it knows when each price was handed to the producer (which lingers for 1 ms)
and when the notification was read. Each socket is another user's; each user has one rule, a channel that no other rule
shares, and each firing has a price of its own, by which it is known again.

The baselines are of the same run: the same prices as an aiokafka consumer of this program reads them straight from
topic `ticks`, and the same notifications from topic `notifications`, stored by then and on their way to the gateway.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.shared import kafka
from services.shared.events import Tick, encode, rfc3339, seconds
from services.shared.kafka import Kafka
from services.shared.topics import NOTIFICATIONS, TICKS, Topic, partition_of
from services.users.bell import Bell
from services.users.core.asked import Asked, AskedCondition
from services.users.core.drafts import checked
from services.users.sessions import Sessions
from services.users.store import accounts
from services.users.tokens import Tokens
from tests.bench.arena import rooms_behind
from tests.bench.machine import machine, raise_file_limit
from tests.e2e.house import Four
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.servers.redis import RedisServer
from tests.unit.users.room import add_rule, add_user, migrated, settings_of

TARGET_MS: Final = 50
SYMBOLS: Final = 100
REST: Final = 100.0
"""The price between two firings; every channel is above it."""
_WIDE: Final = 10
_STEPS: Final = 50_000
_WARM_UP_S: Final = 2.0
_SOON_S: Final = 2.0
_START_S: Final = 30.0
_LATE_S: Final = 5.0
_SAY_EVERY_S: Final = 5.0
_SECRET, _TOKEN = "s" * 64, "t" * 32  # as tests.e2e.house has them
_EPOCH: Final = "0192f5e0a1b20000"

Mark = tuple[str, float]
"""A firing: its symbol and price."""


class _Priced(msgspec.Struct):
    """What prices and notifications have in common."""

    symbol: str
    price: float


_priced = msgspec.json.Decoder(_Priced).decode


@dataclass(frozen=True, slots=True)
class Wish:
    seconds: float
    rate: int
    firings: int
    sockets: int


@dataclass(slots=True)
class Person:
    """A user whose rule waits for prices of `symbol` at or above `lower`."""

    user_id: str
    token: str
    symbol: str
    lower: float


@dataclass(slots=True)
class Watch:
    """When each firing's price was handed to Kafka, and how many seconds later it was seen where."""

    sent: dict[Mark, float] = field(default_factory=dict)
    seen: dict[str, dict[Mark, float]] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        self.sent.clear()
        self.seen.clear()

    async def all_seen(self, within_s: float) -> bool:
        """Is every firing on its socket, by then?"""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.complete.wait(), within_s)
        return self.complete.is_set()

    def see(self, where: str, value: bytes | str) -> None:
        now, found = time.monotonic(), _priced(value)
        mark = found.symbol, found.price
        if mark in self.sent:
            self.seen.setdefault(where, {}).setdefault(mark, now - self.sent[mark])
            if len(self.seen.get("socket", ())) == len(self.sent):
                self.complete.set()


# -- the system ----------------------------------------------------------------------------------------------------


def names() -> list[str]:
    return [f"S{number:03}" for number in range(SYMBOLS)]


async def people(folder: Path, url: str, count: int) -> list[Person]:
    """Accounts with a login and a rule each, made before the rooms begin."""
    made = []
    async with migrated(settings_of(folder, url)) as database:
        tokens = Tokens(_SECRET, None, 3600)
        sessions = Sessions(database, tokens, 86_400, lambda: datetime.now(UTC), Bell())
        for number in range(count):
            user_id = await add_user(database, f"user{number}")
            symbol, lower = names()[number % SYMBOLS], REST + _WIDE * (1 + number // SYMBOLS)
            condition = AskedCondition("entering_channel", lower=lower, upper=lower + _WIDE / 2)
            asked = Asked(symbol=symbol, conditions=(condition,), trigger="every_time", channels=("websocket",))
            await add_rule(database, user_id, checked(asked))
            async with database.transaction() as session:
                account = await accounts.account_by_id(session, user_id)
                assert account is not None
                login = await sessions.open(session, account, "bench")
            made.append(Person(user_id, login.access_token, symbol, lower))
    return made


@asynccontextmanager
async def system(sockets: int) -> AsyncIterator[tuple[Kafka, str, list[Person]]]:
    """The rooms, ready; the gateway's address; who has an account."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickroom-bench-")))
        say("starting Apache Kafka, PostgreSQL, Redis, users and gateway")
        broker, postgres = stack.enter_context(KafkaServer()), stack.enter_context(PostgresServer())
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


# -- who watches ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def socket(base: str, person: Person) -> AsyncIterator[ClientConnection]:
    """The user's room. The gateway may not know its rooms yet: then again."""
    url, headers = f"{base}/websocket/user/{person.user_id}/notifications", {"Authorization": f"Bearer {person.token}"}
    deadline = time.monotonic() + 30
    while True:
        try:
            opened = await connect(url, additional_headers=headers, proxy=None, max_queue=None, compression=None)
            break
        except (WebSocketException, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
    try:
        yield opened
    finally:
        await opened.close()


async def listen(opened: ClientConnection, watch: Watch) -> None:
    async for frame in opened:
        watch.see("socket", frame)


@asynccontextmanager
async def following(cluster: Kafka, topic: Topic, see: Callable[[bytes], None]) -> AsyncIterator[None]:
    """Hands on every new record of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(topic.name, number) for number in range(cluster.partitions(topic))])
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)

    async def follow() -> None:
        async for record in consumer:
            see(record.value)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()


# -- what happens --------------------------------------------------------------------------------------------------


class Market:
    """Prices at an even pace, symbol after symbol; some of them fire one rule each."""

    def __init__(self, cluster: Kafka, known: list[Person], wish: Wish) -> None:
        self._cluster = cluster
        self._wish = wish
        self._rules: dict[str, list[Person]] = {}
        for each in known:
            self._rules.setdefault(each.symbol, []).append(each)
        self._seq = self._fired = 0

    async def run(self, watch: Watch, for_s: float) -> None:
        """Publishes for so long; `watch` is told of firings."""
        producer = await self._cluster.producer()
        begun, every = time.monotonic(), max(1, self._wish.rate // max(1, self._wish.firings))
        said = begun
        for number in range(round(self._wish.rate * for_s)):
            wait = begun + number / self._wish.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            symbol = names()[number % SYMBOLS]
            price = self._firing(symbol) if number % every == every - 1 and symbol in self._rules else REST
            if price != REST:
                watch.sent[symbol, price] = time.monotonic()
                watch.complete.clear()
            await producer.send(
                TICKS.name,
                self._record(symbol, price),
                key=symbol.encode(),
                partition=partition_of(symbol, self._cluster.partitions(TICKS)),
            )
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                say(f"{said - begun:3.0f} s, {len(watch.seen.get('socket', ())):,} of {len(watch.sent):,} received")
        await producer.stop()

    def _firing(self, symbol: str) -> float:
        self._fired += 1
        rules = self._rules[symbol]
        return rules[self._fired % len(rules)].lower + round(self._fired % _STEPS / 10_000, 4)

    def _record(self, symbol: str, price: float) -> bytes:
        self._seq += 1
        now = rfc3339(datetime.now(UTC))
        seq = (self._seq + SYMBOLS - 1) // SYMBOLS
        return encode(
            Tick(symbol=symbol, price=price, timestamp=seconds(now), epoch=_EPOCH, seq=seq, time=now, source="bench")
        )


async def measure(wish: Wish) -> Watch:
    watch = Watch()
    async with AsyncExitStack() as stack:
        cluster, base, known = await stack.enter_async_context(system(wish.sockets))
        say(f"opening {wish.sockets:,} sockets")
        opened = [await stack.enter_async_context(socket(base, each)) for each in known]
        listening = [asyncio.create_task(listen(each, watch)) for each in opened]
        for topic in (TICKS, NOTIFICATIONS):
            see = _seeing(watch, topic)
            await stack.enter_async_context(following(cluster, topic, see))
        market = Market(cluster, known, wish)
        say("waiting until firings arrive")
        await warm_up(market, watch)
        await market.run(watch, wish.seconds)
        await watch.all_seen(_LATE_S)
        for task in listening:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*listening, return_exceptions=True)
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


def _seeing(watch: Watch, topic: Topic) -> Callable[[bytes], None]:
    return lambda value: watch.see(topic.name, value)


# -- the table -----------------------------------------------------------------------------------------------------


def say(what: str) -> None:
    print(f"... {what}", flush=True)


def table(watch: Watch, wish: Wish) -> str:
    lines = [
        f"{wish.rate:,} ticks/s, {len(watch.sent):,} firings in {wish.seconds:g} s, {wish.sockets:,} open sockets; "
        "milliseconds since the price was handed to the producer",
        "seen                                         p50       p99     worst     ratio of p99  missing",
    ]
    titles = {
        TICKS.name: "the price, straight from Kafka",
        NOTIFICATIONS.name: "the notification, straight from Kafka",
        "socket": "the notification, on its owner's socket",
    }
    floor = percentile(watch, TICKS.name, 0.99)
    for where, title in titles.items():
        cells = "".join(f"{percentile(watch, where, share):>10.1f}" for share in (0.5, 0.99, 1.0))
        missing = len(watch.sent) - len(watch.seen.get(where, ()))
        lines.append(f"{title:<39}{cells}{percentile(watch, where, 0.99) / floor:>16.1f}x{missing:>9,}")
    return "\n".join([*lines, f"target: p99 on the socket under {TARGET_MS} ms"])


def percentile(watch: Watch, where: str, share: float) -> float:
    """Milliseconds within which that share of what was seen there was seen."""
    times = sorted(watch.seen.get(where, {}).values()) or [float("nan")]
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    asked = argparse.ArgumentParser(description="Notify, from a price to the notification on an open socket")
    asked.add_argument("--seconds", type=float, default=20.0, help="that are measured")
    asked.add_argument("--rate", type=int, default=1_000, help="ticks in a second")
    asked.add_argument("--firings", type=int, default=40, help="of them that fire a rule, about")
    asked.add_argument("--sockets", type=int, default=300, help="users with a rule and an open socket each")
    wish, _ = asked.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    raise_file_limit()
    print(machine("aiokafka", "asyncpg", "websockets", "uvicorn", "uvloop"), flush=True)
    load = Wish(wish.seconds, wish.rate, wish.firings, wish.sockets)
    print(table(uvloop.run(measure(load)), load))


if __name__ == "__main__":
    main()
