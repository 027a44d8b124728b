"""The study put together: reader of ticks, models, gRPC."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from services.prediction import clients
from services.prediction.artifacts import Artifacts
from services.prediction.clients import StockDataClient
from services.prediction.config import Settings
from services.prediction.publisher import SignalTopic
from services.prediction.registry import Registry
from services.prediction.rpc import Prediction
from services.prediction.tables import CHECKPOINTS
from services.prediction.worker import Worker
from services.shared import positions
from services.shared.database import is_passing, open_database
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.readers import StatefulReader
from services.shared.rpc.channel import open_channel, serve
from services.shared.topics import PREDICTION, SIGNALS

_HORIZON = "1d"


class App:
    """Prediction as a process runs it; see shared/process.py."""

    def __init__(self, settings: Settings, kafka: Kafka) -> None:
        self.started = asyncio.Event()
        self._settings, self._kafka = settings, kafka
        self._database = open_database(settings, "prediction")
        self._migrating = asyncio.Lock()
        self._migrated = False

    async def worked_through(self) -> Mapping[str, Position]:
        """The last checkpointed position of each symbol. May be called before `run`."""
        await self._migrate()
        async with self._database.reading() as session:
            return await positions.worked_through(session, CHECKPOINTS, PREDICTION.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the reader is assigned at once, and works when it is known which model decides."""
        settings = self._settings
        token = None if settings.internal_token is None else settings.internal_token.get_secret_value()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._database.close)
            await self._migrate()
            channel = open_channel(settings.stock_data_address, token=token, service=clients.SERVICE, safe=clients.SAFE)
            stack.push_async_callback(channel.close)
            stock = StockDataClient(channel)
            registry = Registry(
                stock,
                self._database,
                Artifacts(settings.data_dir),
                horizon=_HORIZON,
                clock=lambda: datetime.now(UTC),
            )
            producer = await self._kafka.producer(bulk=True)
            stack.push_async_callback(producer.stop)
            out = SignalTopic(producer, self._kafka.partitions(SIGNALS))
            worker = Worker(stock, registry, out, bar=settings.signal_bar, policy=settings.signal_policy)
            reader = StatefulReader(self._kafka, PREDICTION, self._database, CHECKPOINTS, worker)
            rpc = Prediction(stock, registry, self._database)
            await stack.enter_async_context(
                serve(settings.grpc_listen, "prediction", rpc.register, token=token, passing=is_passing)
            )
            await reader.start()
            stack.push_async_callback(reader.stop)
            stack.callback(registry.stop)  # first of all: nobody waits for a model then
            self.started.set()
            await _until_stopped(stop, asyncio.create_task(registry.prepare()), reader.failed)

    async def _migrate(self) -> None:
        async with self._migrating:
            if not self._migrated:
                await self._database.migrate()
                self._migrated = True


def build(settings: Settings, kafka: Kafka) -> App:
    """Opens nothing yet; call it inside the running loop."""
    return App(settings, kafka)


async def _until_stopped(stop: asyncio.Event, preparing: asyncio.Task[None], failed: asyncio.Future[None]) -> None:
    """Returns when `stop` is set; raises what ended the preparation or the reader before."""
    stopping = asyncio.create_task(stop.wait())
    try:
        waited: set[asyncio.Future[Any]] = {stopping, preparing, failed}
        while not stopping.done():
            done, waited = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
    finally:
        for task in (stopping, preparing):
            task.cancel()
        await asyncio.gather(stopping, preparing, return_exceptions=True)
