"""The rooms behind a real server, with a directory, users and a mailbox made by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from services.gateway.backends import NotificationPage, StoredNotification
from services.gateway.conversation import Reception
from services.gateway.core.hall import Hall
from services.gateway.crowd import Crowd
from services.gateway.drain import Drain
from services.gateway.handshake import Handshake
from services.gateway.http.admission import Admission
from services.gateway.http.rest import application
from services.gateway.revocations import Revocations
from services.gateway.sessions import OpenSessions
from services.gateway.sockets import Door, websocket_routes
from services.gateway.symbols import Symbols
from services.gateway.tokens import Verifier
from services.shared.cache import MemoryCache
from services.shared.errors import Unavailable
from tests.unit.gateway.frames import notification
from tests.unit.gateway.http_fakes import PROBLEM_KEYS, Front
from tests.unit.gateway.serving import serving


@dataclass
class Mailbox:
    """Notifications of u1, two a page whatever is asked for."""

    stored: list[StoredNotification] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    acks: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    pages: int = 0
    fails: int = 0

    def store(self, number: int) -> bytes:
        event = notification(number)
        self.stored.append(StoredNotification(f"n{number}", event, False))
        return event

    async def notifications(self, user_id: str, *, unread_only: bool, limit: int, page_token: str) -> NotificationPage:
        assert (user_id, unread_only) == ("u1", True)
        self.pages += 1
        self._check()
        begin = int(page_token or 0)
        page = [each for each in self.stored[begin : begin + 2] if each.id not in self.read]
        return NotificationPage(page, str(begin + 2) if begin + 2 < len(self.stored) else "")

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int:
        self._check()
        self.acks.append((user_id, tuple(ids), up_to))
        return len(ids)

    def _check(self) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the office is closed")


class House:
    """The door, what stands behind it, and the port it is served on."""

    def __init__(self, **settings: Any) -> None:
        self.front = Front(**settings)
        self.hall = Hall()
        self.mailbox = Mailbox()
        self.port = 0
        given, users = self.front.settings, self.front.users
        self.admission, self.verifier = Admission(given), Verifier(users)
        self.drain = Drain(0.1)
        self.revocations = Revocations()
        crowd = Crowd(given, MemoryCache(), draining=self.drain.check)
        handshake = Handshake(given, self.admission, self.verifier, users, crowd.knock)
        sessions = OpenSessions(users, self.revocations)
        self.reception = Reception(given, handshake, self.verifier, crowd, sessions, self.drain)
        door = Door(given, self.hall, Symbols(self.front.stock_data), self.mailbox, self.reception)
        self.app = application(websocket_routes(door), self.admission)

    def enter(self, path: str = "/websocket/stock/AAPL", *, token: str | None = None, **options: Any) -> connect:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return connect(
            f"ws://127.0.0.1:{self.port}{path}", proxy=None, compression=None, additional_headers=headers, **options
        )

    @property
    def own_origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, user_id: str = "u1", **changes: Any) -> str:
        return self.front.users.token(user_id, **changes)


@asynccontextmanager
async def house(**settings: Any) -> AsyncIterator[House]:
    built = House(**settings)
    async with serving(built.app, max_message_bytes=built.front.settings.max_message_bytes) as built.port:
        yield built


on_either_server = pytest.mark.usefixtures("_either_server")


async def told(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        return [json.loads(await client.recv()) for _ in range(count)]


async def closed(client: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(20):
        await client.wait_closed()
    assert client.close_code is not None
    assert client.close_reason is not None
    return client.close_code, client.close_reason


async def refused(entering: connect) -> tuple[int, str]:
    """Status and code of the problem that came instead of the handshake."""
    with pytest.raises(InvalidStatus) as failure:
        await entering
    answer = failure.value.response
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(bytes(answer.body))
    assert problem.keys() == PROBLEM_KEYS
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, problem["code"]
