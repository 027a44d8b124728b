"""What every socket has in common: being turned away, being let in, listening, answering, being shown out."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from services.gateway import garbage
from services.gateway.config import Settings
from services.gateway.core.pace import Pace
from services.gateway.core.speech import (
    Ack,
    Answer,
    Auth,
    Authenticated,
    ErrorFrame,
    Garbled,
    Misspoken,
    Ping,
    Pong,
    Said,
    ServerPong,
    TokenExpiring,
    spoken,
    understand,
    understand_plain,
)
from services.gateway.crowd import Crowd, Place
from services.gateway.drain import Drain
from services.gateway.handshake import SUBPROTOCOL, Handshake, Visitor
from services.gateway.http.middleware import refuse
from services.gateway.replies import Unreadable, close_code, close_reason
from services.gateway.sessions import OpenSessions, Watched
from services.gateway.tokens import Caller, Verifies
from services.gateway.websocket_protocol import EXTENSION, FrameWriter
from services.shared.errors import TickroomError, TooMany, Unauthenticated

AUTH_WITHIN_S: Final = 10.0

T = TypeVar("T")

Gone = (WebSocketDisconnect, WebSocketDisconnected)
"""How a send ends whose client has left."""

_running: set[asyncio.Task[None]] = set()


def _keep(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` beside the conversation."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


@dataclass(frozen=True, slots=True)
class Reception:
    """Who may come in, how many, how long, and how all are shown out at the end."""

    settings: Settings
    handshake: Handshake
    verifier: Verifies
    crowd: Crowd
    sessions: OpenSessions
    drain: Drain

    async def receive(
        self,
        websocket: WebSocket,
        *,
        private: bool,
        find: Callable[[Visitor], Awaitable[T]],
        talk: "Callable[[Conversation, T], Awaitable[None]]",
    ) -> None:
        """A whole visit. find: the room, or whatever `talk` needs; a TickroomError turns the visitor away.

        private: does this room demand a token, whatever ANONYMOUS_MARKET_DATA says?
        """
        async with AsyncExitStack() as visit:
            try:
                visitor = await self.handshake.greet(websocket, private=private)
                found = await find(visitor)
                place = await visit.enter_async_context(self.crowd.admit(visitor))
            except TickroomError as error:
                await turn_away(websocket, error)
                return
            await websocket.accept(visitor.subprotocol)
            garbage.came_in()
            conversation = Conversation(websocket, visitor, place, self)
            visit.enter_context(self.drain.open(conversation.end))
            visit.callback(conversation.forget)
            with suppress(*Gone):
                await talk(conversation, found)


class Conversation:
    """One accepted socket. caller: None while nobody is known. writer: where frames go that are ready-made.

    demand: raises Denied for a caller whose room this is not.
    """

    __slots__ = (
        "_place",
        "_reception",
        "_waiting_for_token",
        "_watched",
        "caller",
        "demand",
        "visitor",
        "websocket",
        "writer",
    )

    def __init__(self, websocket: WebSocket, visitor: Visitor, place: Place, reception: Reception) -> None:
        extension = websocket.scope.get("extensions", {}).get(EXTENSION)
        self.websocket = websocket
        self.visitor = visitor
        self.caller: Caller | None = None
        self.demand: Callable[[Caller], None] = _anybody
        self.writer: FrameWriter | None = None if extension is None else extension["writer"]
        self._place = place
        self._reception = reception
        self._watched: Watched | None = None
        self._waiting_for_token: asyncio.TimerHandle | None = None
        if visitor.caller is not None:
            self._know(visitor.caller)
        if visitor.owes_token:
            self._waiting_for_token = asyncio.get_running_loop().call_later(AUTH_WITHIN_S, self._lost_patience)

    @property
    def owes_token(self) -> bool:
        return self._waiting_for_token is not None

    def end(self, error: TickroomError) -> None:
        """Closes with the code of `error`, without waiting for anybody."""
        code, reason = close_code(error), close_reason(error)
        if self.writer is not None:
            self.writer.close(code, reason)
        else:
            _keep(self._close(code, reason))

    def check(self) -> None:
        """Is the token still worth something? Asked behind joining, so that no revocation falls in between.

        Nobody waits for the answer: where it is no, the socket is closed.
        """
        if self._watched is not None:
            _keep(self._watched.check())

    async def authenticate(self, said: Auth) -> None:
        """Takes a first or a fresh token. Raises Unauthenticated, Denied for that of somebody else, TooMany."""
        caller = await self._reception.verifier.verify(said.token)
        self.demand(caller)
        if self._watched is not None:
            self._watched.renew(caller)
            self.caller = caller
        else:
            await self._place.belongs_to(caller)
            self._know(caller)
        self._be_patient()

    def forget(self) -> None:
        """Nothing more will happen here."""
        self._be_patient()
        if self._watched is not None:
            self._watched.end()
            self._watched = None

    async def listen(self, hear: Callable[[Said], Awaitable[None]], say: Callable[[bytes], Awaitable[None]]) -> None:
        """Returns when the client has left, or was shown out. Every message counts, also one that says nothing to us.

        hear: takes `ack`, `auth` and, of extended clients, every other control frame save pings. say: sends a text.
        """
        now_s = asyncio.get_running_loop().time
        most = self._reception.settings.max_messages_per_second
        pace = Pace(most, now_s())
        try:
            while True:
                message = await self.websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                for said in self._understood(message["bytes"] if text is None else text):
                    if not pace.allows(now_s()):
                        raise TooMany(f"more than {most} messages a second", code="too_many_messages")
                    await self._take(said, hear, say)
        except TickroomError as error:
            with suppress(*Gone):
                await self.websocket.close(close_code(error), close_reason(error))
        except Gone:
            return

    async def _take(
        self,
        said: Said | Misspoken | None,
        hear: Callable[[Said], Awaitable[None]],
        say: Callable[[bytes], Awaitable[None]],
    ) -> None:
        match said:
            case None | Pong():
                pass
            case Misspoken():
                await say(spoken(ErrorFrame(code=said.code, message=str(said), retryable=False, id=said.echo)))
            case Ping():
                await say(spoken(ServerPong(id=said.id)))
            case Auth():
                await self.authenticate(said)
                await say(spoken(Authenticated(id=said.id)))
                await hear(said)
            case _ if self.owes_token:
                await say(spoken(wrong(said, "unauthenticated", "say auth first")))
            case _:
                await hear(said)

    def _understood(self, text: str | bytes) -> list[Said | Misspoken] | list[Ack | Auth | None]:
        try:
            return understand(text) if self.visitor.extended else [understand_plain(text)]
        except Garbled:
            raise Unreadable("this is no JSON") from None

    def _know(self, caller: Caller) -> None:
        self.caller = caller
        self._watched = self._reception.sessions.watch(caller, warn=self._warn, close=self.end)

    def _warn(self, in_s: int) -> None:
        if self.visitor.extended:
            _keep(self._say(TokenExpiring(in_s=in_s)))

    def _be_patient(self) -> None:
        if self._waiting_for_token is not None:
            self._waiting_for_token.cancel()
            self._waiting_for_token = None

    def _lost_patience(self) -> None:
        self.end(Unauthenticated(f"no token came within {AUTH_WITHIN_S:g} s", code="auth_timeout"))

    async def _say(self, answer: Answer) -> None:
        with suppress(*Gone):
            await self.websocket.send_text(spoken(answer).decode())

    async def _close(self, code: int, reason: str) -> None:
        with suppress(*Gone):
            await self.websocket.close(code, reason)


def _anybody(_caller: Caller) -> None:
    """A room for everybody."""


def wrong(said: Said, code: str, message: str, *, retryable: bool = False) -> ErrorFrame:
    """The answer to a frame that can't be followed."""
    return ErrorFrame(code=code, message=message, retryable=retryable, id=said.id)


async def turn_away(websocket: WebSocket, error: TickroomError) -> None:
    """Programs get an HTTP problem instead of the handshake; pages, which can't read one, a close code behind it."""
    if "origin" not in websocket.headers:
        await refuse(error, websocket.scope, websocket.receive, websocket.send)
        return
    with suppress(*Gone):
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None)
        await websocket.close(close_code(error), close_reason(error))


async def first_of(*sides: Coroutine[Any, Any, None]) -> None:
    """Runs all until one returns (or its client has left), then ends the others."""
    tasks = [asyncio.create_task(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with suppress(*Gone):
            task.result()
