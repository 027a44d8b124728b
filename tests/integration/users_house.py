"""The office on a real broker and database, asked over gRPC; a market that stands in for stock_data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import TickroomError
from services.shared.events import AlertTriggered, Notification, Record, decode_notification, encode
from services.shared.kafka import Kafka
from services.shared.rpc import stock_data_pb2, users_pb2
from services.shared.rpc.channel import open_channel, serve
from services.shared.rpc.status import to_error
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer, add_StockDataServicer_to_server
from services.shared.rpc.users_pb2_grpc import UsersStub
from services.shared.topics import NOTIFICATIONS, TICKS, partition_of
from services.users.app import Office, build
from services.users.config import Settings
from tests.unit.users.room import settings_of
from tests.unit.users.ticks import at

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone

_ADDRESSES = {"grpc_listen": "users", "stock_data_address": "stock_data"}
PASSWORD = "plum-tarmac-otter"


class Market(StockDataServicer):
    """stock_data as far as users asks it."""

    async def Tickers(self, request: Any, context: Any) -> stock_data_pb2.TickersReply:
        return stock_data_pb2.TickersReply(tickers=[stock_data_pb2.Ticker(ticker=each) for each in ("AAPL", "IBM")])

    async def History(self, request: Any, context: Any) -> stock_data_pb2.HistoryReply:
        return stock_data_pb2.HistoryReply()

    async def Latest(self, request: Any, context: Any) -> stock_data_pb2.LatestReply:
        return stock_data_pb2.LatestReply()

    async def FeedStatus(self, request: Any, context: Any) -> stock_data_pb2.FeedStatusReply:
        return stock_data_pb2.FeedStatusReply(feed="replay", epoch="epoch-1", clock=at(100))


class House:
    """Rooms of one test: a folder for sockets, one database, one Kafka."""

    def __init__(self, folder: Path, database_url: str | None, kafka: Kafka) -> None:
        self.folder, self.database_url, self.kafka = folder, database_url, kafka

    def settings(self, **others: object) -> Settings:
        addresses = {name: f"unix:{self.folder}/{room}" for name, room in _ADDRESSES.items()}
        return settings_of(self.folder, self.database_url, **addresses, **others)

    def office(self, **settings: object) -> Office:
        return build(self.settings(**settings), self.kafka)

    @asynccontextmanager
    async def running(self, office: Office | None = None, **settings: object) -> AsyncIterator[UsersAsyncStub]:
        """The room from start to an orderly stop."""
        office, stop = office or self.office(**settings), asyncio.Event()
        task = asyncio.create_task(office.run(stop))
        waiting = asyncio.create_task(office.started.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        if task.done():
            await task
        try:
            async with open_channel(f"unix:{self.folder}/users", token=None, service="x") as channel:
                yield UsersStub(channel)
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await task

    @asynccontextmanager
    async def after_restart(self) -> AsyncIterator[House]:
        """The same house later: Apache Kafka is still there, an embedded broker's log has died with its process."""
        if self.kafka.embedded:
            async with embedded_kafka(partitions=4) as kafka:
                yield House(self.folder, self.database_url, kafka)
        else:
            yield self

    @asynccontextmanager
    async def market(self) -> AsyncIterator[None]:
        async with serve(
            f"unix:{self.folder}/stock_data",
            "stock_data",
            lambda server: add_StockDataServicer_to_server(Market(), server),
            token=None,
        ):
            yield

    async def publish(self, *records: Record) -> None:
        producer = await self.kafka.producer()
        for first in range(0, len(records), 20):
            sent = [
                await producer.send(
                    TICKS.name,
                    encode(record),
                    key=record.symbol.encode(),
                    partition=partition_of(record.symbol, self.kafka.partitions(TICKS)),
                )
                for record in records[first : first + 20]
            ]
            await asyncio.gather(*sent)
        await producer.stop()

    async def published(self, count: int, *, once: bool = False) -> list[tuple[str, AlertTriggered]]:
        """As `notifications`, of firings and nothing else."""
        found: list[tuple[str, AlertTriggered]] = []
        for key, event in await self.notifications(count, once=once):
            assert isinstance(event, AlertTriggered)
            found.append((key, event))
        return found

    async def notifications(self, count: int, *, once: bool = False) -> list[tuple[str, Notification]]:
        """(key, event) of everything on topic `notifications`, when there are `count`. once: repeats left out."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(NOTIFICATIONS.name, n) for n in range(self.kafka.partitions(NOTIFICATIONS))])
        found: list[tuple[str, Notification]] = []
        async with asyncio.timeout(15):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        event = decode_notification(record.value or b"")
                        if not (once and event.id in {each.id for _, each in found}):
                            found.append(((record.key or b"").decode(), event))
        await consumer.stop()
        return found


async def fails(call: Any) -> TickroomError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return to_error(caught.value)


async def register(users: UsersAsyncStub, name: str = "ada", client: str = "") -> users_pb2.LoginReply:
    return await users.Register(
        users_pb2.RegisterRequest(name=name, email=f"{name}@example.org", password=PASSWORD, client=client)
    )


def wish(
    user_id: str, kind: str = "crossing_up", threshold: float = 150.0, **others: Any
) -> users_pb2.CreateAlertRequest:
    given = {"symbol": "AAPL", "trigger": "every_time"} | others
    return users_pb2.CreateAlertRequest(
        user_id=user_id, conditions=[users_pb2.Condition(type=kind, threshold=threshold)], **given
    )
