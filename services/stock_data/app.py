"""The entrance put together: feed, database, pump and gRPC."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.shared.database import Database, is_passing, open_database
from services.shared.errors import Fenced, StartFailed
from services.shared.kafka import Kafka
from services.shared.rpc.channel import serve
from services.shared.rpc.stock_data_pb2_grpc import add_StockDataServicer_to_server
from services.stock_data.config import Settings
from services.stock_data.core.market import Market
from services.stock_data.feeds.base import SOURCE, ReplayFeed
from services.stock_data.feeds.catalogue import open_feed
from services.stock_data.player import Player
from services.stock_data.pump import Plan, Pump, WorkedThrough
from services.stock_data.rpc import StockData
from services.stock_data.store import Store

if TYPE_CHECKING:
    import grpc

ROOM = "stock_data"


class StockDataApp:
    """Runs one feed. `started` is set when history can be asked for; the first tick waits for readers with state."""

    def __init__(self, settings: Settings, kafka: Kafka, worked_through: WorkedThrough | None) -> None:
        self.started = asyncio.Event()
        self._settings, self._kafka, self._worked_through = settings, kafka, worked_through

    async def run(self, stop: asyncio.Event) -> None:
        """Raises StartFailed, also when another stock_data takes the feed over."""
        database = open_database(self._settings, ROOM)
        try:
            feed, _ = await asyncio.gather(asyncio.to_thread(self._open_feed), database.migrate())
            await self._serve(feed, database, stop)
        except Fenced as error:
            raise StartFailed(error.detail) from None
        finally:
            await database.close()

    def _open_feed(self) -> ReplayFeed:
        settings = self._settings
        return open_feed(settings.feed, symbols=settings.symbols, start=settings.replay_start)

    async def _serve(self, feed: ReplayFeed, database: Database, stop: asyncio.Event) -> None:
        settings, market = self._settings, Market(feed.name)
        store = Store(database, SOURCE, holder=secrets.token_hex(16))
        player = Player(feed, store, market, self._kafka.log_id, lambda: datetime.now(UTC))
        await player.open(log_dies=self._worked_through is not None)
        answers = StockData(store, market, await store.sectors(), SOURCE)
        plan = Plan(settings.replay_rate, settings.replay_delay_s, settings.replay_loop, settings.reader_lag_limit)
        pump = Pump(player, market, self._kafka, plan, self._worked_through)

        def register(server: "grpc.aio.Server") -> None:
            add_StockDataServicer_to_server(answers, server)

        token = settings.internal_token.get_secret_value() if settings.internal_token else None
        async with serve(settings.grpc_listen, ROOM, register, token=token, passing=is_passing):
            self.started.set()
            await pump.run(stop)


def build(settings: Settings, kafka: Kafka, *, worked_through: WorkedThrough | None = None) -> StockDataApp:
    """worked_through: where the Kafka log dies with the process, what each reader with state has checkpointed."""
    return StockDataApp(settings, kafka, worked_through)
