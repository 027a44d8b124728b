"""The users service under load by itself: a market that the test plays, 1,000 rules, and all that came of them.

It has to be equal to the uninterrupted run: the same service with the same rules on another database, reading the same
topics from their beginning to the end, with nobody in its way.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from sqlalchemy import func, select

from services.shared.database import Database
from services.shared.events import AlertTriggered, Record, Signal, decode_notification, encode
from services.shared.kafka import Kafka, connect
from services.shared.rpc.channel import serve
from services.shared.rpc.stock_data_pb2_grpc import add_StockDataServicer_to_server
from services.shared.topics import ALERTS, ALERTS_ON_SIGNALS, NOTIFICATIONS, SIGNALS, TICKS, partition_of
from services.users.core.drafts import checked
from services.users.store import accounts, alerts
from services.users.store.accounts import Account
from services.users.tables import CHECKPOINTS, FiringRow, NotificationRow
from tests.e2e.alert_market import AlertMarket, rules
from tests.e2e.house import Process, process
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.unit.users.room import CREATED, migrated, settings_of

OURS: Final = r"users-alerts: \d+ partitions of topic ticks are ours"
"""What a process says once it watches."""
TICKS_PER_SECOND: Final = 1_000
MANY: Final = 200
"""Firings: a test with fewer has not shown anything."""
_READERS: Final = (ALERTS, ALERTS_ON_SIGNALS)
_TOKEN: Final = "t" * 32
_ADA: Final = str(uuid.UUID(int=1))
_BEAT_S: Final = 0.02


@dataclass(frozen=True)
class Outcome:
    """By id: firings as stored, notifications as stored."""

    firings: dict[str, tuple[Any, ...]]
    notifications: dict[str, bytes]


class Office:
    """The users service on one database, as processes that come and go."""

    def __init__(self, folder: Path, kafka: Kafka, url: str, stock_data: str) -> None:
        self.database: Database
        self._folder, self._kafka, self._url = folder, kafka, url
        self._environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "DATABASE_URL": url,
            "SECRET_KEY": "s" * 64,
            "INTERNAL_TOKEN": _TOKEN,
            "STOCK_DATA_ADDRESS": stock_data,
        }

    @contextmanager
    def process(self, name: str, **more: str) -> Iterator[Process]:
        """Killed in the end where it still runs."""
        more = {"GRPC_LISTEN": f"127.0.0.1:{free_port()}", "DATA_DIR": str(self._folder / name)} | more
        with process("services.users", self._folder / f"{name}.log", self._environment | more) as running:
            yield running

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Office"]:
        """With its tables, somebody and their rules. Nobody watches yet, so all of them count from the first record."""
        async with migrated(settings_of(self._folder, self._url)) as self.database:
            async with self.database.transaction() as session:
                account = Account(_ADA, "ada", "ada@example.org", "no hash", 1, "{}", CREATED)
                await accounts.add_account(session, account)
                for alert_id, asked in rules():
                    await alerts.add_alert(session, _ADA, alert_id, checked(asked), asked.symbol, CREATED)
            yield self

    async def done(self, running: Process, within_s: float) -> None:
        """Waits until all that the topics hold was worked through, and all notifications were published."""
        rows = CHECKPOINTS.checkpoints.c
        for reader in _READERS:
            end = sum((await self._kafka.ends(reader.topic)).values())
            reached = select(func.sum(rows.next_offset)).where(rows.reader == reader.name, rows.next_offset > 0)
            await self._until_none(select(end - func.coalesce(reached.scalar_subquery(), 0)), running, within_s)
        waiting = select(func.count()).where(NotificationRow.published_at.is_(None))
        await self._until_none(waiting, running, within_s)

    async def outcome(self) -> Outcome:
        """What is stored. A firing stands there once (the key of its table), and so does its notification."""
        async with self.database.reading() as session:
            firings = list(await session.scalars(select(FiringRow)))
            told = list(await session.execute(select(NotificationRow.id, NotificationRow.event)))
        stored = {each.id: _fixed(each) for each in firings}
        assert len(stored) == len(firings) == len({(each[0], each[1:4]) for each in stored.values()})
        notifications = {notice_id: _told(event) for notice_id, event in told}
        assert len(notifications) == len(told)
        return Outcome(stored, notifications)

    async def _until_none(self, query: Any, running: Process, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            async with self.database.reading() as session:
                left = await session.scalar(query)
            if not left:
                return
            if running.handle.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{left} left over:\n{running.text()[-4000:]}")
            await asyncio.sleep(0.1)


def _only_in(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Any]:
    return [one[each] for each in one if each not in other]


def _fixed(row: FiringRow) -> tuple[Any, ...]:
    """A rule on signals tells the last price that happens to be known by then: that alone may differ."""
    price = None if row.condition in ("prediction_changed", "confidence_above") else row.price
    return (
        row.alert_id,
        row.rule_version,
        row.epoch,
        row.seq,
        row.condition,
        row.threshold,
        row.time,
        price,
        row.previous_price if price is not None else None,
    )


def _told(event: bytes) -> bytes:
    notice = decode_notification(event)
    if isinstance(notice, AlertTriggered) and notice.condition in ("prediction_changed", "confidence_above"):
        return encode(msgspec.structs.replace(notice, price=0.0, previous_price=None, message=""))
    return event


@dataclass
class Load:
    """A market that is played to the topics. sent: acknowledged records; rate: of them, in a second."""

    kafka: Kafka
    records: Iterator[Record | Signal]
    rate: int = TICKS_PER_SECOND
    sent: int = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """At `rate` while it is open. An outage of Kafka holds it up, and nothing of it is lost."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._publish(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    async def passes(self, records: int, within_s: float = 60.0) -> None:
        """Waits until so many more have been sent."""
        end = self.sent + records
        async with asyncio.timeout(within_s):
            while self.sent < end:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(_BEAT_S)

    async def _publish(self, stop: asyncio.Event) -> None:
        producer = await self.kafka.producer(bulk=True)
        due = time.monotonic()
        try:
            while not stop.is_set():
                waiting = []
                for record in islice(self.records, int(self.rate * _BEAT_S)):
                    topic = SIGNALS if isinstance(record, Signal) else TICKS
                    partition = partition_of(record.symbol, self.kafka.partitions(topic))
                    key = record.symbol.encode()
                    waiting.append(await producer.send(topic.name, encode(record), key=key, partition=partition))
                await asyncio.gather(*waiting)
                self.sent += len(waiting)
                due = max(due + _BEAT_S, time.monotonic() - 0.5)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            await producer.stop()


class AlertHouse:
    """Everything of one test."""

    def __init__(self, folder: Path, kafka: Kafka, postgres: PostgresServer, market: AlertMarket, address: str) -> None:
        self.kafka, self.load = kafka, Load(kafka, market.records())
        self._folder, self._postgres, self._address = folder, postgres, address

    @asynccontextmanager
    async def office(self, name: str) -> AsyncIterator[Office]:
        database = f"{name}_{uuid.uuid4().hex}"
        folder = self._folder / name
        folder.mkdir()
        url = self._postgres.create_database(database)
        try:
            async with Office(folder, self.kafka, url, self._address).opened() as office:
                yield office
        finally:
            self._postgres.drop_database(database)

    async def published(self) -> dict[str, bytes]:
        """What topic `notifications` carries, by id. What stands there twice must say the same."""
        found: dict[str, bytes] = {}
        async for batch in self.kafka.tail(NOTIFICATIONS, await self.kafka.ends(NOTIFICATIONS), 1 << 40):
            for event in batch:
                assert found.setdefault(json.loads(event)["id"], event) == event
        return {notice_id: _told(event) for notice_id, event in found.items()}

    async def uninterrupted(self) -> Outcome:
        """What one process makes of the same records, from the first to the last."""
        async with self.office("uninterrupted") as office:
            with office.process("whole") as running:
                await office.done(running, within_s=60 + self.load.sent / 500)
                return await office.outcome()

    async def check(self, office: Office) -> Outcome:
        """Is what `office` has stored and published what an uninterrupted run stores and publishes?"""
        found, published = await office.outcome(), await self.published()
        whole = await self.uninterrupted()
        assert len(whole.firings) > MANY
        assert _only_in(found.firings, whole.firings) == []
        assert _only_in(whole.firings, found.firings) == []
        assert found == whole
        assert published == whole.notifications
        return whole

    async def bury(self) -> None:
        """Tells the broker that the group's members are gone, so that nobody waits until their sessions have ended."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            for reader in _READERS:
                coordinator = await admin.find_coordinator(reader.name)
                for member in await asyncio.to_thread(_members, self.kafka.bootstrap, reader.name):
                    await admin._send_request(
                        LeaveGroupRequest(reader.name, member), coordinator
                    )  # no public call has it
        finally:
            await admin.close()


def _members(bootstrap: str, group: str) -> list[str]:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    with suppress(KafkaException):  # nobody has joined yet
        found = admin.describe_consumer_groups([group])[group].result(10)
        return [member.member_id for member in found.members]
    return []


@asynccontextmanager
async def alert_house(folder: Path, bootstrap: str, postgres: PostgresServer) -> AsyncIterator[AlertHouse]:
    market, port = AlertMarket(seed=1), free_port()
    kafka = await connect(bootstrap, 30)
    try:
        async with serve(
            f"127.0.0.1:{port}",
            "stock_data",
            lambda server: add_StockDataServicer_to_server(market, server),
            token=_TOKEN,
        ):
            yield AlertHouse(folder, kafka, postgres, market, f"dns:///127.0.0.1:{port}")
    finally:
        await kafka.close()
