"""Each user's own room: what is unread comes first, oldest first; then what is pushed; each once on a connection."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from starlette.websockets import WebSocket

from services.gateway.backends import NotificationPage, StoredNotification
from services.gateway.conversation import Conversation, Reception, first_of, wrong
from services.gateway.core.hall import PING_AFTER_S, Hall
from services.gateway.core.inbox import Inbox
from services.gateway.core.speech import PING, Ack, Acked, Auth, Said, spoken
from services.gateway.core.wire import Malformed, Notice, read_notice
from services.gateway.handshake import Visitor
from services.gateway.http.callers import CHANGES, demand
from services.gateway.market_rooms import CONNECTIONS
from services.gateway.tokens import Caller
from services.shared.errors import Denied, TickroomError

_log = logging.getLogger("tickroom.gateway.sockets")

_PAGE: Final = 100
_ASK_AGAIN_S: Final = 1.0


class Mailbox(Protocol):
    """Stored notifications. Every call may raise a TickroomError."""

    async def notifications(
        self, user_id: str, *, unread_only: bool, limit: int, page_token: str
    ) -> NotificationPage: ...

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int: ...


@dataclass(frozen=True, slots=True)
class UserRooms:
    """`/websocket/user/{user_id}/notifications`."""

    hall: Hall
    users: Mailbox
    reception: Reception

    async def notifications(self, websocket: WebSocket) -> None:
        user_id: str = websocket.path_params["user_id"]

        async def find(visitor: Visitor) -> str:
            _demand_own_room(visitor.caller, user_id)
            return user_id

        await self.reception.receive(websocket, private=True, find=find, talk=self._talk)

    async def _talk(self, conversation: Conversation, user_id: str) -> None:
        visit = _Visit(self.hall, self.users, conversation, user_id)
        with CONNECTIONS.labels("user").track_inprogress():
            await visit.run()


class _Visit:
    """One connection in its user's room."""

    def __init__(self, hall: Hall, users: Mailbox, conversation: Conversation, user_id: str) -> None:
        self._hall = hall
        self._users = users
        self._conversation = conversation
        self._user_id = user_id
        self._waiting = asyncio.Event()
        self._known = asyncio.Event()
        self._inbox = Inbox(self._waiting.set)
        conversation.demand = partial(_demand_own_room, user_id=user_id)

    async def run(self) -> None:
        if not self._conversation.owes_token:
            self._known.set()
        try:
            await first_of(self._tell(), self._conversation.listen(self._hear, self._say))
        finally:
            self._hall.unlisten(self._user_id, self._inbox)

    async def _tell(self) -> None:
        await self._known.wait()
        self._hall.listen(self._user_id, self._inbox)
        self._conversation.check()
        while True:
            while (notice := self._inbox.next()) is not None:
                await self._say(notice.text)
            if self._inbox.behind:
                await self._catch_up()
            else:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PING_AFTER_S if self._conversation.visitor.extended else None):
                await self._waiting.wait()
        except TimeoutError:
            await self._say(PING)
        self._waiting.clear()

    async def _catch_up(self) -> None:
        """Sends what is stored and unread, page by page at the reader's pace."""
        self._inbox.behind = False  # before the first page: what is pushed from here on is kept, or found later
        token = ""
        try:
            while True:
                page = await self._users.notifications(self._user_id, unread_only=True, limit=_PAGE, page_token=token)
                for notice in self._inbox.page(_readable(page.notifications)):
                    await self._say(notice.text)
                token = page.next_page_token
                if not token:
                    return
        except TickroomError as error:
            _log.warning("unread notifications are not to be had now: %s", error.detail)
            self._inbox.behind = True
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _hear(self, said: Said) -> None:
        match said:
            case Ack():
                await self._ack(said)
            case Auth():
                self._known.set()
            case _:
                await self._say(spoken(wrong(said, "not_here", "this room has notifications only")))

    async def _ack(self, said: Ack) -> None:
        try:
            if self._conversation.caller is not None:
                demand(self._conversation.caller, CHANGES)
            await self._users.ack_notifications(self._user_id, said.notification_ids, said.up_to)
        except TickroomError as error:  # not marked: the client says it again
            if self._conversation.visitor.extended:
                await self._say(spoken(wrong(said, error.code, error.detail, retryable=error.retryable)))
        else:
            await self._say(spoken(Acked(id=said.id)))

    async def _say(self, text: bytes) -> None:
        await self._conversation.websocket.send_text(text.decode())


def _demand_own_room(caller: Caller | None, user_id: str) -> None:
    """Somebody who is not known yet is asked for a token first."""
    if caller is not None and caller.user_id != user_id:
        raise Denied("this is the room of another user, or of nobody")


def _readable(stored: Iterable[StoredNotification]) -> Iterator[Notice]:
    for each in stored:
        try:
            notice = read_notice(each.event)
        except Malformed:
            _log.warning("notification %s is stored in a form that nobody can read", each.id)
        else:
            if notice is not None:
                yield notice
