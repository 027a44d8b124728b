"""One connection after the other to one room, as long as the user listens."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, NoReturn, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tickroom_client.door import Door, told_s, unauthenticated
from tickroom_client.errors import Garbled, Unreachable
from tickroom_client.messages import Frame
from tickroom_client.patience import Patience
from tickroom_client.silence import Silence
from tickroom_client.talk import Talk
from tickroom_client.tokens import Ticket, Tokens

_log = logging.getLogger("tickroom_client")

_LAST_WORDS_S = 2.0
_FIRST_WORDS = 4

T = TypeVar("T")


class Line(Generic[T]):
    """deliver: takes what was heard, one by one; while it waits nothing is read, so that the server conflates.

    connected: is a connection open now?
    """

    def __init__(
        self, door: Door, talk: Talk[T], tokens: Tokens, patience: Patience, deliver: Callable[[T], Awaitable[None]]
    ) -> None:
        self.connected = False
        self._door = door
        self._talk = talk
        self._tokens = tokens
        self._patience = patience
        self._deliver = deliver
        self._token: str | None = None
        self._failures = 0
        self._turned_away = False
        self._returning = False
        self._expiring = False
        self._broken: Exception | None = None
        self._answers: deque[Frame] = deque()
        self._due = asyncio.Event()

    def wake(self) -> None:
        """The talk may have something to say."""
        self._due.set()

    async def run(self) -> NoReturn:
        """Until cancelled. Raises a TickroomError, or what the token provider raised, where going on is useless."""
        while True:
            try:
                self._token = await self._tokens.current()
                async with self._door.enter(self._talk.path, self._token) as connection:
                    await self._converse(connection)
            except Exception as end:
                if not await self._has_other_token(end):
                    await self._pause(end)

    async def _has_other_token(self, end: Exception) -> bool:
        """A token that was not good enough is replaced at once, but not twice in a row."""
        if not unauthenticated(end) or self._turned_away:
            return False
        try:
            found = await self._tokens.instead_of(self._token) is not None
        except (OSError, Unreachable) as later:
            await self._pause(later)
            return True
        self._turned_away = found
        return found

    async def _pause(self, end: Exception) -> None:
        """Waits for the right moment to come back. Raises where there is none."""
        told = told_s(end, returning=self._returning)
        self._failures += 1
        if self._patience.attempts is not None and self._failures >= self._patience.attempts:
            raise Unreachable(f"gave up after {self._failures} attempts: {end}") from end
        pause = self._patience.pause_s(self._failures, told)
        _log.info("no connection to %s (%s); next attempt in %.2f s", self._talk.path, end, pause)
        await asyncio.sleep(pause)

    async def _converse(self, connection: ClientConnection) -> NoReturn:
        began = asyncio.get_running_loop().time()
        _log.info("connected to %s", self._talk.path)
        self._expiring, self._broken = False, None
        self._answers.clear()
        self._talk.begin()
        self._due.set()
        self.connected = self._returning = True
        speaking = asyncio.create_task(self._speak(connection))
        try:
            await self._listen(connection)
        except asyncio.CancelledError:
            await self._say_the_rest(connection)
            raise
        finally:
            self.connected = False
            if asyncio.get_running_loop().time() - began >= self._patience.steady_s:
                self._failures, self._turned_away = 0, False
            speaking.cancel()
            await asyncio.wait([speaking])
            if self._broken is not None:
                raise self._broken

    # Listening

    async def _listen(self, connection: ClientConnection) -> NoReturn:
        with Silence(self._patience.silence_s, connection.transport) as silence:
            while True:
                silence.begins()
                text = await connection.recv()
                silence.ends()
                for frame in _frames(text):
                    await self._hear(frame)
                if self._talk.due or self._answers or self._expiring:
                    self._due.set()

    async def _hear(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "ping":
            self._answers.append({"type": "pong"})
        elif kind == "token_expiring":
            self._expiring = True
        for message in self._talk.hear(frame):
            await self._deliver(message)

    # Speaking

    async def _speak(self, connection: ClientConnection) -> None:
        """Ends with the connection; an error of the token provider ends both."""
        at_once = _FIRST_WORDS
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                while (frame := await self._next()) is not None:
                    await connection.send(json.dumps(frame))
                    at_once -= 1
                    if at_once < 0:
                        await asyncio.sleep(self._patience.between_s)
        except ConnectionClosed:
            return
        except Exception as error:
            self._broken = error
            await connection.close()

    async def _next(self) -> Frame | None:
        if self._answers:
            return self._answers.popleft()
        if self._expiring:
            self._expiring = False
            token = await self._renewed()
            if token is not None:
                return {"type": "auth", "token": token}
        return self._talk.say()

    async def _renewed(self) -> str | None:
        """A fresh token for this connection. Without one it ends soon with 4401, and the next one tries again."""
        if self._token is None or isinstance(self._token, Ticket):
            return None
        try:
            fresh = await self._tokens.instead_of(self._token)
        except (OSError, Unreachable) as error:
            _log.warning("no fresh token to be had now: %s", error)
            return None
        if fresh is not None:
            self._token = fresh
        return fresh

    async def _say_the_rest(self, connection: ClientConnection) -> None:
        """What the user asked for in time, an acknowledgement above all, is still said."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                while (frame := self._talk.say()) is not None:
                    await connection.send(json.dumps(frame))


def _frames(text: str | bytes) -> list[Frame]:
    """A frame of the wire holds one message, or a JSON array of them."""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise Garbled(f"the server sent no JSON: {error}") from None
    frames = said if isinstance(said, list) else [said]
    if not all(isinstance(frame, dict) and isinstance(frame.get("type"), str) for frame in frames):
        raise Garbled("the server sent JSON that is no message")
    return frames
