"""Each user's own room: what is unread comes first, oldest first; then what is pushed; each once on a connection."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from starlette.websockets import WebSocket

from services.gateway.backends import NotificationPage, StoredNotification
from services.gateway.config import Settings
from services.gateway.conversation import first_of, listen, turn_away
from services.gateway.core.hall import Hall
from services.gateway.core.inbox import Inbox
from services.gateway.core.speech import Ack, Said, answer
from services.gateway.core.wire import Malformed, Notice, read_notice
from services.gateway.http.callers import bearer
from services.gateway.market_rooms import CONNECTIONS, Verifies
from services.gateway.tokens import Caller
from services.shared.errors import Denied, TickroomError, Unauthenticated

_log = logging.getLogger("tickroom.gateway.sockets")

_PAGE: Final = 100
_ASK_AGAIN_S: Final = 1.0


class Mailbox(Protocol):
    """Stored notifications. Every call may raise a TickroomError."""

    async def notifications(
        self, user_id: str, *, unread_only: bool, limit: int, page_token: str
    ) -> NotificationPage: ...

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int: ...


class UserRooms:
    """`/websocket/user/{user_id}/notifications`."""

    def __init__(self, settings: Settings, hall: Hall, verifier: Verifies, users: Mailbox) -> None:
        self._settings = settings
        self._hall = hall
        self._verifier = verifier
        self._users = users

    async def notifications(self, websocket: WebSocket) -> None:
        try:
            caller = await self._check(websocket)
        except TickroomError as error:
            await turn_away(websocket, error)
            return
        await websocket.accept()
        with CONNECTIONS.labels("user").track_inprogress():
            await self._serve(websocket, caller.user_id)

    async def _check(self, websocket: WebSocket) -> Caller:
        token = bearer(websocket.headers)
        if token is None:
            raise Unauthenticated("this room needs a token: Authorization: Bearer ...", code="token_missing")
        caller = await self._verifier.verify(token)
        if caller.user_id != websocket.path_params["user_id"]:
            raise Denied("this is the room of another user, or of nobody")
        return caller

    async def _serve(self, websocket: WebSocket, user_id: str) -> None:
        waiting = asyncio.Event()
        inbox = Inbox(waiting.set)

        async def hear(said: Said) -> None:
            await self._hear(websocket, user_id, said)

        self._hall.listen(user_id, inbox)
        try:
            await first_of(
                self._talk(websocket, user_id, inbox, waiting),
                listen(websocket, self._settings.max_messages_per_second, hear),
            )
        finally:
            self._hall.unlisten(user_id, inbox)

    async def _talk(self, websocket: WebSocket, user_id: str, inbox: Inbox, waiting: asyncio.Event) -> None:
        while True:
            while (notice := inbox.next()) is not None:
                await websocket.send_text(notice.text.decode())
            if inbox.behind:
                await self._catch_up(websocket, user_id, inbox)
            else:
                await waiting.wait()
                waiting.clear()

    async def _catch_up(self, websocket: WebSocket, user_id: str, inbox: Inbox) -> None:
        """Sends what is stored and unread, page by page at the reader's pace."""
        inbox.behind = False  # before the first page is asked for: what is pushed from here on is kept, or found later
        token = ""
        try:
            while True:
                page = await self._users.notifications(user_id, unread_only=True, limit=_PAGE, page_token=token)
                for notice in inbox.page(_readable(page.notifications)):
                    await websocket.send_text(notice.text.decode())
                token = page.next_page_token
                if not token:
                    return
        except TickroomError as error:
            _log.warning("unread notifications are not to be had now: %s", error.detail)
            inbox.behind = True
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _hear(self, websocket: WebSocket, user_id: str, said: Said) -> None:
        if isinstance(said, Ack):
            with suppress(TickroomError):  # not marked, so not answered: the client says it again
                await self._users.ack_notifications(user_id, said.notification_ids, said.up_to)
                await websocket.send_text(answer("acked", said))
        elif (await self._verifier.verify(said.token)).user_id == user_id:
            await websocket.send_text(answer("authenticated", said))
        else:
            raise Denied("this is the token of another user")


def _readable(stored: Iterable[StoredNotification]) -> Iterator[Notice]:
    for each in stored:
        try:
            notice = read_notice(each.event)
        except Malformed:
            _log.warning("notification %s is stored in a form that nobody can read", each.id)
        else:
            if notice is not None:
                yield notice
