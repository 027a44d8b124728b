"""The front door put together: REST and WebSocket rooms on one port, fed by Kafka, backed by three rooms over gRPC."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from aiokafka.errors import KafkaError
from starlette.types import ASGIApp

from services.gateway.backends import LatestEvent
from services.gateway.clients import GrpcPrediction, GrpcStockData, GrpcUsers
from services.gateway.config import Settings
from services.gateway.conversation import Reception
from services.gateway.core.hall import Hall
from services.gateway.core.performance import Performance
from services.gateway.crowd import Crowd
from services.gateway.drain import Drain
from services.gateway.fanout import Fanout, Remembered
from services.gateway.forecasts import RememberedForecasts
from services.gateway.handshake import Handshake
from services.gateway.http.admission import Admission
from services.gateway.http.health import Check
from services.gateway.http.limits import Counts
from services.gateway.http.performance import Watch
from services.gateway.http.rest import Desk, application, rest_routes
from services.gateway.http.stream import Streams
from services.gateway.revocations import Revocations
from services.gateway.server import HttpServer
from services.gateway.sessions import OpenSessions
from services.gateway.sockets import Door, websocket_routes
from services.gateway.symbols import Symbols
from services.gateway.tokens import Verifier
from services.gateway.workers import Workers
from services.shared.cache import open_cache
from services.shared.errors import StartFailed, TickroomError, Unavailable
from services.shared.kafka import Kafka
from services.shared.process import App, until
from services.shared.topics import TICKS

_log = logging.getLogger("tickroom.gateway")


_WAIT_FOR_ROOMS_S = 5.0
_SWEEP_EVERY_S = 2.5
_SEEN_S = 1.0
_READ_BACK = 4
"""Records that are read back of each partition for each one kept of a symbol: a partition has several symbols."""


class Gateway:
    """Owns nothing that outlives it. url: where it listens, known once `started`. listening: see HttpServer."""

    def __init__(self, settings: Settings, kafka: Kafka, *, listening: socket.socket | None = None) -> None:
        self.started = asyncio.Event()
        self.url = ""
        self._settings = settings
        self._kafka = kafka
        self._listening = listening
        self._drain = Drain(settings.drain_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop`: first the sockets close, then the reader ends, then the channels. Raises StartFailed."""
        async with AsyncExitStack() as house:
            app, rooms = await self._furnish(house)
            await until(stop, _answering(rooms, _WAIT_FOR_ROOMS_S))
            settings = self._settings
            if settings.open and not settings.loopback:
                _log.warning(
                    "AUTH_MODE=open on HOST=%s: keep that address where only this machine reaches it", settings.host
                )
            server = HttpServer(
                app,
                host=settings.host,
                port=settings.port,
                max_message_bytes=settings.max_message_bytes,
                compression=settings.websocket_compression,
                listening=self._listening,
            )
            shown_out = asyncio.Event()
            helpers = [
                asyncio.create_task(self._tell(server)),
                asyncio.create_task(self._show_out(stop, shown_out)),
            ]
            try:
                await server.run(shown_out)
            finally:
                for helper in helpers:
                    helper.cancel()

    async def _tell(self, server: HttpServer) -> None:
        await server.started.wait()
        self.url = server.url
        self.started.set()

    async def _show_out(self, stop: asyncio.Event, shown_out: asyncio.Event) -> None:
        await stop.wait()
        over = asyncio.get_running_loop().time() + self._settings.drain_s
        await self._drain.empty()
        if self._settings.drain_s >= _SEEN_S:  # long enough for a balancer to see that this gateway is not ready
            await asyncio.sleep(over - asyncio.get_running_loop().time())
        shown_out.set()

    async def _furnish(self, house: AsyncExitStack) -> tuple[ASGIApp, Sequence[Check]]:
        """Opens what the door needs, and says how to ask the rooms behind; none of them has to be there yet."""
        settings, kafka = self._settings, self._kafka
        token = None if settings.internal_token is None else settings.internal_token.get_secret_value()
        stock_data = GrpcStockData(settings.stock_data_address, token)
        house.push_async_callback(stock_data.close)
        prediction = GrpcPrediction(settings.prediction_address, token)
        house.push_async_callback(prediction.close)
        users = GrpcUsers(settings.users_address, token)
        house.push_async_callback(users.close)

        hall = Hall(
            monotonic=time.monotonic,
            now=lambda: datetime.now(UTC),
            entries=settings.ring_entries,
            keep_s=settings.ring_seconds,
            stale_after_s=settings.stale_after_s,
        )
        revocations = Revocations()

        @contextlib.asynccontextmanager
        async def lost() -> AsyncIterator[None]:
            """Prices, notifications and logouts: behind the new position clients resume, and logouts are asked for."""
            revocations.doubt()
            yield
            self._drain.send_back(_position_lost)
            await revocations.load(users)

        fanout = Fanout(
            kafka,
            hall,
            prices=_events(stock_data.latest),
            signals=_events(prediction.latest_signals),
            read_back=_READ_BACK * settings.ring_entries,
            revoked=revocations.note,
            window_s=settings.coalesce_ms / 1000,
            lost=lost,
        )
        house.push_async_callback(fanout.stop)
        try:
            await fanout.start()
        except KafkaError as error:
            raise StartFailed(f"KAFKA_BOOTSTRAP_SERVERS: can't read from {kafka.bootstrap}: {error}") from None

        cache = await open_cache(settings)
        house.push_async_callback(cache.close)
        crowd = Crowd(settings, cache, draining=self._drain.check)
        sessions = OpenSessions(users, revocations)
        for work in (revocations.load(users), sessions.run(), crowd.run(), _sweep(hall)):
            _keep(house, work)

        symbols, verifier = Symbols(stock_data), Verifier(users, revocations=revocations)
        admission = Admission(settings)
        performance = Performance()
        desk = Desk(
            settings=settings,
            admission=admission,
            verifier=verifier,
            symbols=symbols,
            stock_data=stock_data,
            prediction=RememberedForecasts(prediction, hall.board.of, performance),
            users=users,
            checks={
                "kafka": _answers(kafka),
                "stock_data": stock_data.healthy,
                "prediction": prediction.healthy,
                "users": users.healthy,
                "logins": revocations.known,
            },
            counts=Counts(cache),
            watch=Watch(performance),
            draining=lambda: self._drain.draining,
        )
        handshake = Handshake(settings, admission, verifier, users, crowd.knock)
        reception = Reception(settings, handshake, verifier, crowd, sessions, self._drain)
        door = Door(settings=settings, hall=hall, symbols=symbols, users=users, reception=reception)
        rooms = (stock_data.healthy, prediction.healthy, users.healthy)
        streams = Streams(settings, hall, symbols, desk.callers, admission, reception)
        app = application([*rest_routes(desk), *streams.routes(), *websocket_routes(door)], admission, desk)
        return self._drain.around(app), rooms


def _keep(house: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` until the house closes."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    house.push_async_callback(end)


async def _sweep(hall: Hall) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        hall.sweep()


async def _answering(rooms: Sequence[Check], within_s: float) -> None:
    """Returns when all rooms answer, so that the first visitor is served, or after `within_s`: then without them."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not all(await asyncio.gather(*(room() for room in rooms))):  # noqa: ASYNC110 (they tell nobody)
                await asyncio.sleep(0.05)


def build(settings: Settings, kafka: Kafka) -> Gateway:
    return Gateway(settings, kafka)


def door(settings: Settings, kafka: Kafka) -> App:
    """WORKERS gateways: one is in this process, several are processes of their own."""
    return build(settings, kafka) if settings.workers == 1 else Workers(settings, kafka)


def _events(latest: Callable[[], Awaitable[Sequence[LatestEvent]]]) -> Remembered:
    async def ask() -> Sequence[bytes]:
        return [each.event for each in await latest()]

    return ask


def _position_lost(retry_after_s: float) -> TickroomError:
    detail = "records were lost on their way to this gateway; come back and resume"
    return Unavailable(detail, code="position_lost", retry_after_s=retry_after_s)


def _answers(kafka: Kafka) -> Check:
    async def check() -> bool:
        await kafka.ends(TICKS)
        return True

    return check
