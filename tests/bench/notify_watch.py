"""Who is there when notifications are measured, and when each sees what: accounts, rules, prices, sockets, readers.

Each socket is another user's; each user has one rule, a channel that no other rule shares, and each firing has a price
of its own, by which it is known again.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Consumer, TopicPartition
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.gateway.reader import Reader
from services.shared.kafka import Kafka
from services.shared.topics import TICKS, Topic
from services.users.bell import Bell
from services.users.core.asked import Asked, AskedCondition
from services.users.core.drafts import checked
from services.users.sessions import Sessions
from services.users.store import accounts
from services.users.tokens import Tokens
from tests.bench.machine import stolen_s
from tests.unit.users.room import add_rule, add_user, migrated, settings_of

SYMBOLS: Final = 100
REST: Final = 100.0
"""The price between two firings; every channel is above it."""
SECRET: Final = "s" * 64  # as tests.e2e.house has it
_WIDE: Final = 10
_STEPS: Final = 50_000

Mark = tuple[str, float]
"""A firing: its symbol and price."""


class _Priced(msgspec.Struct):
    """What prices and notifications have in common; bars are of topic `ticks` too."""

    symbol: str
    price: float = REST


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
    """When each firing's price was handed to Kafka, and when it was seen where, in seconds since 1970."""

    sent: dict[Mark, float] = field(default_factory=dict)
    seen: dict[str, dict[Mark, float]] = field(default_factory=dict)
    cpu: float | None = None
    """Seconds of a core that the system took in a second, where it is one process."""
    stolen: float = 0.0
    """The share of all cores that the host took."""

    def see(self, where: str, value: bytes | str) -> None:
        now, found = time.time(), _priced(value)
        if found.price != REST:
            self.seen.setdefault(where, {}).setdefault((found.symbol, found.price), now)

    def took(self, where: str) -> list[float]:
        """Seconds from the hand-over until there, for what has come, in the order in which it was sent."""
        seen = self.seen.get(where, {})
        return [seen[mark] - at for mark, at in sorted(self.sent.items(), key=itemgetter(1)) if mark in seen]

    async def all_seen(self, within_s: float) -> bool:
        """Is every firing on its socket, by then?"""
        deadline = time.monotonic() + within_s
        while len(self.took("socket")) < len(self.sent):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    @contextmanager
    def measuring(self) -> Iterator[None]:
        begun, before = time.monotonic(), stolen_s()
        yield
        self.stolen = (stolen_s() - before) / (time.monotonic() - begun) / (os.cpu_count() or 1)

    def clear(self) -> None:
        self.sent.clear()
        self.seen.clear()


# -- who is there --------------------------------------------------------------------------------------------------


def names() -> list[str]:
    return [f"S{number:03}" for number in range(SYMBOLS)]


async def people(folder: Path, url: str | None, count: int) -> list[Person]:
    """Accounts with a login and a rule each, made before the rooms begin; url: None for SQLite in the folder."""
    made = []
    async with migrated(settings_of(folder, url)) as database:
        tokens = Tokens(SECRET, None, 3600)
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


def prices(known: Sequence[Person], wish: Wish) -> Iterator[Mark]:
    """Symbol after symbol, without end; evenly some of the prices fire one rule each."""
    rules: dict[str, list[Person]] = {}
    for each in known:
        rules.setdefault(each.symbol, []).append(each)
    symbols, every = names(), max(1, wish.rate // max(1, wish.firings))
    number = fired = 0
    while True:
        symbol = symbols[(number + number // SYMBOLS) % SYMBOLS]  # another one's turn to fire in each round
        price = REST
        if number % every == every - 1 and (waiting := rules.get(symbol)):
            price = waiting[fired % len(waiting)].lower + round(fired % _STEPS / 10_000, 4)
            fired += 1
        yield symbol, price
        number += 1


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


@asynccontextmanager
async def listening(base: str, known: Sequence[Person], watch: Watch) -> AsyncIterator[None]:
    """Every user at an open socket."""

    async def listen(opened: ClientConnection) -> None:
        async for frame in opened:
            watch.see("socket", frame)

    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(socket(base, each)) for each in known]
        tasks = [asyncio.create_task(listen(each)) for each in opened]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def following(cluster: Kafka, topic: Topic, watch: Watch) -> AsyncIterator[None]:
    """Sees every new record of a topic, by the gateway's reader: an aiokafka consumer is itself a load."""

    def take(values: Sequence[bytes]) -> None:
        for value in values:
            watch.see(topic.name, value)

    ends = await cluster.ends(topic)
    reader = Reader(cluster, {(topic.name, number): end for number, end in ends.items()}, take)
    reader.start()
    try:
        yield
    finally:
        await reader.stop()


@asynccontextmanager
async def following_ticks(cluster: Kafka, watch: Watch) -> AsyncIterator[None]:
    """Sees every new price, and when it was handed to the producer, which the gateway's reader does not tell."""
    ends, stop = await cluster.ends(TICKS), threading.Event()

    def read() -> None:
        consumer = Consumer(cluster.from_offsets("bench"))
        consumer.assign([TopicPartition(TICKS.name, number, end) for number, end in ends.items()])
        try:
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is None or message.error() is not None:
                    continue
                value, (_, created_ms) = message.value(), message.timestamp()
                assert isinstance(value, bytes)
                watch.see(TICKS.name, value)
                if (found := _priced(value)).price != REST:
                    watch.sent[found.symbol, found.price] = created_ms / 1000
        finally:
            consumer.close()

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        yield
    finally:
        stop.set()
        await reading
