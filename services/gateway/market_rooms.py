"""Rooms of prices and predictions: one of each symbol, and one that hears them all.

On our own server a connection is written to directly, through its seat in the room (core/seats.py); on any other ASGI
server a task of its own sends what waits for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import Counter, Gauge
from starlette.websockets import WebSocket

from services.gateway.config import Settings
from services.gateway.conversation import Conversation, Reception, first_of, wrong
from services.gateway.core.dialects import dialect
from services.gateway.core.hall import Hall
from services.gateway.core.positions import Seen
from services.gateway.core.seats import FramedSeat, QueuedSeat, Seat
from services.gateway.core.speech import (
    Auth,
    RateSet,
    Resume,
    Said,
    SetRate,
    Subscribe,
    Subscribed,
    Unsubscribe,
    spoken,
)
from services.gateway.handshake import Visitor
from services.shared.errors import NotFound, TickroomError, Unavailable

CONNECTIONS = Gauge("gateway_connections", "Open sockets", ["room"])
MERGED = Counter("gateway_merged_updates", "Updates overtaken by newer ones while their reader was slow")

_HOLD_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.02
_LOOKS: Final = 50


class TooSlow(Unavailable):
    """A reader for whom something was lost that may not be: it comes back and resumes."""

    code = "too_slow"


class Directory(Protocol):
    async def resolve(self, text: str) -> str:
        """The symbol for `text`, any case. Raises NotFound, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class MarketRooms:
    """`/websocket/stock/{symbol}` and `/websocket/stocks/all`."""

    settings: Settings
    hall: Hall
    symbols: Directory
    reception: Reception

    async def stock(self, websocket: WebSocket) -> None:
        async def find(_visitor: Visitor) -> str:
            return await self.symbols.resolve(websocket.path_params["symbol"])

        await self.reception.receive(websocket, private=False, find=find, talk=self._talk)

    async def everything(self, websocket: WebSocket) -> None:
        async def find(_visitor: Visitor) -> None:
            return None

        await self.reception.receive(websocket, private=False, find=find, talk=self._talk)

    async def _talk(self, conversation: Conversation, symbol: str | None) -> None:
        visit = _Visit(self, conversation, symbol)
        with CONNECTIONS.labels("all" if symbol is None else "stock").track_inprogress():
            try:
                await visit.run()
            finally:
                visit.leave()
                MERGED.inc(visit.seat.merged)


class _Visit:
    """One connection in a market room. It enters when it owes no token any more and holds nothing back."""

    def __init__(self, rooms: MarketRooms, conversation: Conversation, symbol: str | None) -> None:
        self._rooms = rooms
        self._conversation = conversation
        self._symbol = symbol
        self._entered = False
        self._holding: asyncio.TimerHandle | None = None
        self._pacing: _Pacing | None = None
        self._waiting: asyncio.Event | None = None
        self.seat = self._take_seat()

    async def run(self) -> None:
        conversation = self._conversation
        if conversation.visitor.hold:
            self._holding = asyncio.get_running_loop().call_later(_HOLD_S, self._hold_no_longer)
        self._enter_if_free()
        conversation.check()
        listening = conversation.listen(self._hear, self._say)
        if self._waiting is None:
            await listening
        else:
            await first_of(listening, self._send_what_waits(self._waiting))

    def leave(self) -> None:
        self._rooms.hall.leave(self.seat)
        if self._holding is not None:
            self._holding.cancel()
        if self._pacing is not None:
            self._pacing.end()

    def _take_seat(self) -> Seat:
        writer = self._conversation.writer
        extended = self._conversation.visitor.extended
        if writer is None:
            self._waiting = asyncio.Event()
            return QueuedSeat(dialect(extended=extended, deflated=False), self._waiting.set, self._too_slow)
        seat = FramedSeat(dialect(extended=extended, deflated=writer.deflated), writer, self._too_slow)
        writer.watch(pause=seat.pause, resume=seat.flush, close=lambda: self._rooms.hall.leave(seat))
        return seat

    async def _send_what_waits(self, waiting: asyncio.Event) -> None:
        while True:
            await waiting.wait()
            waiting.clear()
            while (item := self.seat.next()) is not None:
                await self._conversation.websocket.send_text(self.seat.text(item).decode())

    def _enter_if_free(self, seen: Mapping[str, Seen] | None = None, echo: str | None = None) -> None:
        if not (self._entered or self._holding or self._conversation.owes_token or self._gone):
            self._entered = True
            self._rooms.hall.enter(self.seat, self._symbol, seen, echo)

    @property
    def _gone(self) -> bool:
        writer = self._conversation.writer
        return writer is not None and writer.closed

    def _hold_no_longer(self) -> None:
        self._holding = None
        self._enter_if_free()

    def _too_slow(self) -> None:
        self._rooms.hall.leave(self.seat)  # at once: on a server without our frames the close waits for its reader
        self._conversation.end(TooSlow("this reader is too slow; come back and resume"))

    async def _say(self, text: bytes) -> None:
        self.seat.say(text)

    async def _hear(self, said: Said) -> None:
        try:
            match said:
                case Auth():
                    self._enter_if_free()
                    self._conversation.check()
                case Subscribe() if self._symbol is None:
                    await self._subscribe(said)
                case Unsubscribe() if self._symbol is None:
                    await self._unsubscribe(said)
                case Resume():
                    await self._resume(said)
                case SetRate():
                    self._set_rate(said)
                case _:
                    raise _Refused("not_here", f"{type(said).__name__.lower()} means nothing in this room")
        except _Refused as refused:
            self.seat.say(spoken(wrong(said, refused.code, str(refused), retryable=refused.retryable)))

    async def _subscribe(self, said: Subscribe) -> None:
        named = list(dict.fromkeys(await self._resolve(said.symbols)))
        listed = self.seat.listed or {}
        most = self._rooms.settings.max_symbols_per_connection
        if most and len(listed.keys() | set(named)) > most:
            raise _Refused("too_many_symbols", f"one connection may hear {most} symbols")
        added = [symbol for symbol in named if symbol not in listed]
        self._rooms.hall.subscribe(self.seat, named)
        self.seat.say(spoken(Subscribed(symbols=list(self.seat.listed or ()), id=said.id)))
        self._rooms.hall.show_listed(self.seat, added)

    async def _unsubscribe(self, said: Unsubscribe) -> None:
        if self.seat.listed is None:
            raise _Refused("bad_message", "there is no list yet to take symbols from: subscribe first")
        self._rooms.hall.unsubscribe(self.seat, await self._resolve(said.symbols))
        self.seat.say(spoken(Subscribed(symbols=list(self.seat.listed), id=said.id)))

    async def _resume(self, said: Resume) -> None:
        symbols = await self._resolve(list(said.positions))
        scope = (self._symbol,) if self._symbol is not None else self.seat.listed
        if scope is not None and not set(symbols) <= set(scope):
            raise _Refused("unknown_symbol", "a symbol that is not in this room, or not on its list")
        seen = {
            symbol: Seen(each.epoch.encode(), each.price, each.prediction)
            for symbol, each in zip(symbols, said.positions.values(), strict=True)
        }
        await catch_up(self._rooms.hall, seen)
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
            self._enter_if_free(seen, said.id)
        elif self._entered:
            self._rooms.hall.resume(self.seat, seen, said.id)

    def _set_rate(self, said: SetRate) -> None:
        if self._pacing is not None:
            self._pacing.end()
        self._pacing = _Pacing(self.seat, 1 / said.max_per_second) if said.max_per_second else None
        self.seat.pace(None if self._pacing is None else self._pacing.due)
        self.seat.say(spoken(RateSet(max_per_second=said.max_per_second, id=said.id)))

    async def _resolve(self, names: Sequence[str]) -> list[str]:
        try:
            return [await self._rooms.symbols.resolve(name) for name in names]
        except NotFound as error:
            raise _Refused("unknown_symbol", error.detail) from None
        except TickroomError as error:
            raise _Refused(error.code, error.detail, retryable=error.retryable) from None


class _Refused(Exception):
    """A frame that can't be followed: answered with `error`, and nothing has changed."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class _Pacing:
    """Lets what waits in a seat go every `every_s` seconds at most; while nothing waits it does nothing."""

    def __init__(self, seat: Seat, every_s: float) -> None:
        self._seat = seat
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._next_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def due(self) -> None:
        """Something waits."""
        if self._timer is None:
            self._timer = self._loop.call_at(max(self._next_s, self._loop.time()), self._go)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _go(self) -> None:
        self._timer = None
        self._next_s = self._loop.time() + self._every_s
        self._seat.tick()
        if self._seat.waiting:
            self.due()


async def catch_up(hall: Hall, seen: Mapping[str, Seen]) -> None:
    """A client may come from a gateway that had read more than this one: a moment, and it has read that too."""
    for _ in range(_LOOKS):
        if not hall.is_behind(seen):
            return
        await asyncio.sleep(_LOOK_AGAIN_S)
