"""Rooms of prices and predictions: one of each symbol, and one that hears them all.

On our own server a connection is written to directly, through its seat in the room (core/seats.py); on any other ASGI
server a task of its own sends what waits for it.
"""

import asyncio
from typing import Protocol

from prometheus_client import Counter, Gauge
from starlette.websockets import WebSocket

from services.gateway.config import Settings
from services.gateway.conversation import first_of, listen, turn_away
from services.gateway.core.hall import Hall
from services.gateway.core.seats import Seat
from services.gateway.core.speech import Auth, Said, answer
from services.gateway.http.callers import bearer
from services.gateway.tokens import Caller
from services.gateway.websocket_protocol import EXTENSION, FrameWriter
from services.shared.errors import TickroomError, Unauthenticated

CONNECTIONS = Gauge("gateway_connections", "Open sockets", ["room"])
_MERGED = Counter("gateway_merged_updates", "Updates overtaken by newer ones while their reader was slow")


class Directory(Protocol):
    async def resolve(self, text: str) -> str:
        """The symbol for `text`, any case. Raises NotFound, Unavailable."""
        ...


class Verifies(Protocol):
    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, Unavailable."""
        ...


class MarketRooms:
    """`/websocket/stock/{symbol}` and `/websocket/stocks/all`."""

    def __init__(self, settings: Settings, hall: Hall, symbols: Directory, verifier: Verifies) -> None:
        self._settings = settings
        self._hall = hall
        self._symbols = symbols
        self._verifier = verifier

    async def stock(self, websocket: WebSocket) -> None:
        try:
            await self._check(websocket)
            symbol = await self._symbols.resolve(websocket.path_params["symbol"])
        except TickroomError as error:
            await turn_away(websocket, error)
        else:
            await self._join(websocket, symbol)

    async def everything(self, websocket: WebSocket) -> None:
        try:
            await self._check(websocket)
        except TickroomError as error:
            await turn_away(websocket, error)
        else:
            await self._join(websocket, None)

    async def _check(self, websocket: WebSocket) -> None:
        """A bad token is refused also where none would be needed."""
        token = bearer(websocket.headers)
        if token is not None:
            await self._verifier.verify(token)
        elif not self._settings.anonymous_market_data:
            raise Unauthenticated("this room needs a token: Authorization: Bearer ...", code="token_missing")

    async def _join(self, websocket: WebSocket, symbol: str | None) -> None:
        await websocket.accept()
        extension = websocket.scope.get("extensions", {}).get(EXTENSION)
        with CONNECTIONS.labels("all" if symbol is None else "stock").track_inprogress():
            if extension is not None:
                await self._framed(websocket, symbol, extension["writer"])
            else:
                await self._queued(websocket, symbol)

    async def _framed(self, websocket: WebSocket, symbol: str | None, writer: FrameWriter) -> None:
        seat = self._hall.seat(symbol, writer)
        writer.watch(pause=seat.pause, resume=seat.resume, close=lambda: self._hall.leave(symbol, seat))
        try:
            await self._listen(websocket)
        finally:
            self._leave(symbol, seat)

    async def _queued(self, websocket: WebSocket, symbol: str | None) -> None:
        waiting = asyncio.Event()
        seat = self._hall.queue(symbol, waiting.set)

        async def talk() -> None:
            while True:
                await waiting.wait()
                waiting.clear()
                while updates := seat.outbox.take(1):  # one by one: what is still in the outbox can be overtaken
                    await websocket.send_text(updates[0].text.decode())

        try:
            await first_of(talk(), self._listen(websocket))
        finally:
            self._leave(symbol, seat)

    def _leave(self, symbol: str | None, seat: Seat) -> None:
        self._hall.leave(symbol, seat)
        _MERGED.inc(seat.outbox.merged)

    async def _listen(self, websocket: WebSocket) -> None:
        async def hear(said: Said) -> None:
            if isinstance(said, Auth):
                await self._verifier.verify(said.token)
                await websocket.send_text(answer("authenticated", said))

        await listen(websocket, self._settings.max_messages_per_second, hear)
