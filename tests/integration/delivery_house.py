"""Whoever receives what is delivered beyond the socket, and channels that lead there."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import h11

from services.shared.database import Database
from services.shared.events import AlertTriggered, rfc3339
from services.users.bell import Bell
from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import AnySettings, Webhook
from services.users.core.delivery_messages import Message
from services.users.delivery.sealing import Sealer
from services.users.delivery.worker import Deliverer
from services.users.store import channels, notifications, watching
from services.users.store.channels import Attempt, Channel
from tests.unit.users.room import add_rule, draft

SECRET = "s" * 64


@dataclass
class Request:
    """What came in. headers: names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server. answers: raw status lines and headers by turn, the last one for good; None: never any answer."""

    answers: list[bytes | None] = field(default_factory=lambda: [b"HTTP/1.1 204 No Content\r\n\r\n"])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?key=path-secret"

    async def wait(self, count: int, within_s: float = 15.0) -> list[Request]:
        async with asyncio.timeout(within_s):
            while len(self.requests) < count:  # noqa: ASYNC110 (nobody announces it)
                await asyncio.sleep(0.01)
        return self.requests

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        path, headers, body = "", dict[str, str](), b""
        try:
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65_536))
                elif isinstance(event, h11.Request):
                    path = event.target.decode()
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    return
            self.requests.append(Request(path, headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, h11.ProtocolError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*answers: bytes | None, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    made = Receiver(scheme="https" if tls else "http")
    if answers:
        made.answers = list(answers)
    server = await asyncio.start_server(made.take, "127.0.0.1", port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@dataclass
class Clock:
    """A wall clock that stands still until it is told."""

    now: datetime = field(default_factory=lambda: datetime(2024, 9, 21, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def on(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Recorder:
    """Takes what is sent: messages in order. ends: how the next ones end, then all are delivered."""

    ends: list[Outcome | Exception] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    before: Callable[[], Any] | None = None

    async def send(self, settings: AnySettings, message: Message, email: str, now: datetime) -> Outcome:
        self.sent.append(message)
        if self.before is not None:
            await self.before()
        end = self.ends.pop(0) if self.ends else Outcome(code=204)
        if isinstance(end, Exception):
            raise end
        return end

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.sent]


@dataclass
class Post:
    """A database with one user, one channel and a deliverer that is moved by hand."""

    database: Database
    user: str
    clock: Clock = field(default_factory=Clock)
    sends: Recorder = field(default_factory=Recorder)
    sealer: Sealer = field(default_factory=lambda: Sealer(SECRET, None))
    told: int = 0

    def deliverer(self) -> Deliverer:
        return Deliverer(self.database, self.sends, self.sealer, self.clock, Bell(), Bell(), 1.0, lambda: 1.0)

    async def deliver(self) -> list[Message]:
        """Lets one process do all that is due now; what it sent."""
        before, worker = len(self.sends.sent), self.deliverer()
        while await worker.look():
            await worker.settle()
        return self.sends.sent[before:]

    async def channel(self, settings: AnySettings | None = None) -> Channel:
        settings = settings or Webhook("http://127.0.0.1:1/hook", "secret")
        channel_id, kind = str(uuid.uuid4()), str(type(settings).__struct_config__.tag)
        sealed = self.sealer.seal(channel_id, settings)
        async with self.database.transaction() as session:
            await channels.add_channel(
                session, channel_id, self.user, kind, channel_id.encode(), sealed, rfc3339(self.clock())
            )
        return await self.look_at(channel_id)

    async def look_at(self, channel_id: str) -> Channel:
        async with self.database.reading() as session:
            found = await channels.channel_of(session, self.user, channel_id)
        assert found is not None
        return found

    async def rule(self, *names: str) -> str:
        return await add_rule(self.database, self.user, replace(draft(), channels=names))

    async def fire(self, rule: str, count: int = 1) -> list[str]:
        """Stores notifications of a rule as the engine does; their ids."""
        made = [self.firing(rule) for _ in range(count)]
        await self.store(made)
        return [each.id for each in made]

    async def store(self, made: Sequence[AlertTriggered]) -> None:
        async with self.database.transaction() as session:
            wanted = await watching.still_wanted(session, [each.alert_id for each in made], "prices")
            ways = {rule: names for (rule, _), names in wanted.items()}
            await notifications.add_notifications(session, made, rfc3339(self.clock()), ways)

    async def log(self, channel: Channel) -> Sequence[Attempt]:
        """Oldest first."""
        async with self.database.reading() as session:
            page, _ = await channels.attempts_of(session, channel.id, 0, 1000)
        return page[::-1]

    def firing(self, rule: str) -> AlertTriggered:
        self.told += 1
        return AlertTriggered(
            id=str(uuid.uuid4()),
            alert_id=rule,
            symbol="AAPL",
            condition="crossing_up",
            threshold=150.0,
            price=151.75,
            message=f"AAPL crossed up through 150.00: now 151.75 ({self.told})",
            timestamp="2024-09-21T11:59:59Z",
            user_id=self.user,
            rule_version=1,
            epoch="e",
            seq=self.told,
            previous_price=149.0,
        )
