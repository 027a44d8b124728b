"""This room put together: the API role and the worker role, in one process or apart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from services.shared import positions
from services.shared.cache import Cache, open_cache
from services.shared.database import is_passing, open_database
from services.shared.events import rfc3339
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.readers import StatefulReader
from services.shared.rpc.channel import serve
from services.shared.rpc.users_pb2_grpc import add_UsersServicer_to_server
from services.shared.topics import ALERTS, ALERTS_ON_SIGNALS, NOTIFICATIONS, Reader
from services.users.accounts import Accounts
from services.users.api_keys import ApiKeys
from services.users.bell import Bell, Takings
from services.users.clients import GrpcMarket, Market
from services.users.clock import tell_the_time
from services.users.closing import Closing
from services.users.config import Settings
from services.users.core.condition import Source
from services.users.delivery.channels import Channels
from services.users.delivery.sealing import Sealer
from services.users.delivery.senders import Senders, open_senders
from services.users.delivery.vapid import Vapid
from services.users.delivery.worker import Deliverer
from services.users.history import GrpcHistory, History
from services.users.housekeeping import keep_house
from services.users.intake import Desk, Intake
from services.users.mail_codes import LETTERS_PER_HOUR, MailCodes
from services.users.mailing import open_mailer
from services.users.outbox import Relay
from services.users.passwords import Passwords
from services.users.previews import Previews
from services.users.profiles import Profiles
from services.users.rpc import Servicer
from services.users.rules import Rules
from services.users.secret import secret_key
from services.users.sessions import Sessions
from services.users.tables import CHECKPOINTS
from services.users.throttle import Throttle
from services.users.tickets import Tickets
from services.users.tokens import Tokens
from services.users.watchlists import Watchlists
from services.users.worker import AlertWork

ROOM: Final = "users"
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_TESTS_PER_MINUTE: Final = 10


class Office:
    """`services.shared.process.App` of this room."""

    def __init__(self, settings: Settings, kafka: Kafka) -> None:
        self.started = asyncio.Event()
        self._settings = settings
        self._kafka = kafka
        self._database = open_database(settings, ROOM)
        self._migrated = False
        self._migrating = asyncio.Lock()
        self._news, self._outbox, self._post, self._takings = Bell(), Bell(), Bell(), Takings()
        # the bells reach everybody where all is one process, and then looking around is only a second string
        alone = self._database.sqlite and settings.users_role == "all"
        self._look_every_s = 1.0 if alone else 0.1

    @cached_property
    def _sealer(self) -> Sealer:
        previous = self._settings.secret_key_previous
        return Sealer(secret_key(self._settings), None if previous is None else previous.get_secret_value())

    @cached_property
    def _senders(self) -> Senders:
        previous = self._settings.secret_key_previous
        vapid = Vapid(secret_key(self._settings), None if previous is None else previous.get_secret_value())
        return open_senders(self._settings, vapid)

    async def run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as office:
            office.push_async_callback(self._database.close)
            await self._open_database()
            parts: list[Awaitable[Any]] = []
            if self._settings.users_role in ("all", "worker"):
                parts += await office.enter_async_context(self._worker())
            if self._settings.users_role in ("all", "api"):
                await office.enter_async_context(self._api())
            self.started.set()
            await _until(stop, parts)

    async def worked_through(self) -> Mapping[str, Position]:
        """The last checkpointed position of each symbol. May be called before `run`."""
        await self._open_database()
        async with self._database.reading() as session:
            return await positions.worked_through(session, CHECKPOINTS, ALERTS.name)

    async def _open_database(self) -> None:
        async with self._migrating:
            if not self._migrated:
                await self._database.migrate()
                self._migrated = True

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Sequence[Awaitable[Any]]]:
        """Watches prices, takes rules in, publishes notifications. Yields what must not end by itself."""
        kafka, database, settings = self._kafka, self._database, self._settings
        producer = await kafka.producer(linger_ms=0)
        relay = Relay(database, producer, kafka.partitions(NOTIFICATIONS), _timestamp, self._outbox, self._look_every_s)
        history = GrpcHistory(settings.stock_data_address, self._token())
        desks = [self._desk(ALERTS, "prices", history), self._desk(ALERTS_ON_SIGNALS, "signals", history)]
        intake = Intake(database, desks, self._news, self._look_every_s)
        deliverer = Deliverer(database, self._senders, self._sealer, _now, self._post, self._outbox, self._look_every_s)
        relaying = asyncio.create_task(relay.run(), name="users outbox")
        others = [
            asyncio.create_task(intake.run(), name="users intake"),
            asyncio.create_task(tell_the_time(desks, _timestamp), name="users clock"),
            asyncio.create_task(deliverer.run(), name="users deliveries"),
            asyncio.create_task(keep_house(database, _now), name="users housekeeping"),
        ]
        try:
            await asyncio.gather(*(desk.reader.start() for desk in desks))
            yield relaying, *others, *(desk.reader.failed for desk in desks)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.gather(*(desk.reader.stop() for desk in desks))
            await relay.stop(relaying)
            await producer.stop()
            await history.close()

    def _desk(self, reader: Reader, source: Source, history: GrpcHistory) -> Desk:
        """The reader of one topic, and the rules that wait on it."""
        database, partitions = self._database, self._kafka.partitions(reader.topic)
        work = AlertWork(
            database,
            partitions,
            _timestamp,
            self._outbox,
            self._post,
            self._takings,
            history,
            self._settings.signal_bar,
            source,
        )
        return Desk(StatefulReader(self._kafka, reader, database, CHECKPOINTS, work), work, partitions)

    def _token(self) -> str | None:
        """What rooms show one another."""
        token = self._settings.internal_token
        return None if token is None else token.get_secret_value()

    @asynccontextmanager
    async def _api(self) -> AsyncIterator[None]:
        """Answers gRPC."""
        settings, token = self._settings, self._token()
        cache, market = await open_cache(settings), GrpcMarket(settings.stock_data_address, token)
        history = GrpcHistory(settings.stock_data_address, token)
        servicer = self._servicer(cache, market, history)
        try:
            async with serve(
                settings.grpc_listen,
                ROOM,
                lambda server: add_UsersServicer_to_server(servicer, server),
                token=token,
                passing=is_passing,
            ):
                yield
        finally:
            await servicer.mail_codes.finish()
            await history.close()
            await market.close()
            await cache.close()

    def _servicer(self, cache: Cache, market: Market, history: History) -> Servicer:
        settings, database = self._settings, self._database
        previous = settings.secret_key_previous
        tokens = Tokens(
            secret_key(settings),
            None if previous is None else previous.get_secret_value(),
            settings.access_token_ttl_s,
        )
        passwords = Passwords()
        sessions = Sessions(database, tokens, settings.refresh_token_ttl_s, _now, self._outbox)
        logins = Throttle(cache, "logins", settings.login_attempts_per_minute, _MINUTE_S)
        registrations = Throttle(cache, "registrations", settings.registrations_per_hour, _HOUR_S)
        letters = Throttle(cache, "letters", LETTERS_PER_HOUR if settings.login_attempts_per_minute else 0, _HOUR_S)
        mail = MailCodes(
            database,
            open_mailer(settings),
            passwords,
            sessions,
            letters,
            logins,
            settings.public_url,
            _now,
            self._outbox,
        )
        profiles = Profiles(database, passwords, sessions, logins, _now, self._outbox, mail.tell)
        return Servicer(
            accounts=Accounts(database, passwords, sessions, logins, registrations, _now, mail.welcome),
            sessions=sessions,
            tickets=Tickets(database, _now),
            profiles=profiles,
            previews=Previews(market),
            channels=Channels(
                database=database,
                sealer=self._sealer,
                senders=self._senders,
                tests=Throttle(cache, "channel tests", _TESTS_PER_MINUTE, _MINUTE_S),
                limit=settings.channels_per_user,
                loopback=settings.webhook_allow_loopback,
                now=_now,
            ),
            rules=Rules(
                database,
                market,
                settings.alerts_per_user,
                _now,
                self._news,
                self._takings,
                history,
                settings.signal_bar,
            ),
            database=database,
            now=_now,
            api_keys=ApiKeys(database, tokens, _now, self._outbox),
            mail_codes=mail,
            closing=Closing(database, profiles, sessions, mail, _now, self._news, self._outbox),
            watchlists=Watchlists(database, market),
        )


def build(settings: Settings, kafka: Kafka) -> Office:
    """This room, ready to run; nothing is connected yet. Must be called inside a running event loop."""
    return Office(settings, kafka)


async def _until(stop: asyncio.Event, parts: Sequence[Awaitable[Any]]) -> None:
    """Returns when `stop` is set; raises what one of `parts` ended with, if that is first."""
    stopping = asyncio.create_task(stop.wait())
    futures = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait([stopping, *futures], return_when=asyncio.FIRST_COMPLETED)
        for future in futures:
            if future.done():
                future.result()
    finally:
        stopping.cancel()


def _now() -> datetime:
    return datetime.now(UTC)


def _timestamp() -> str:
    return rfc3339(_now())
