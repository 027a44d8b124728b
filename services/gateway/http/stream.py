"""Server-sent events: prices and predictions for people behind proxies that break WebSocket.

The messages are those of the extended profile, by the same outbox rules. Each event's `id` holds the positions of all
symbols of the stream, so a browser that reconnects (with `Last-Event-ID`, by itself) resumes at any gateway.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.gateway.config import Settings
from services.gateway.conversation import Reception
from services.gateway.core.dialects import EXTENDED
from services.gateway.core.hall import Hall
from services.gateway.core.outbox import Waiting
from services.gateway.core.positions import Seen
from services.gateway.core.seats import Item, QueuedSeat
from services.gateway.core.speech import ErrorFrame, TokenExpiring, spoken
from services.gateway.handshake import Visitor, refuse_tokens_in
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import Query
from services.gateway.http.callers import Callers
from services.gateway.http.routing import endpoint, resource
from services.gateway.market_rooms import CONNECTIONS, MERGED, TooSlow, catch_up
from services.gateway.symbols import Symbols
from services.gateway.tokens import Caller
from services.shared.errors import FieldError, InvalidInput, TickroomError, Unauthenticated

PATH: Final = "/api/v1/stream"

_MEDIA: Final = "text/event-stream"
_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_MS: Final = 2000
_CHUNK_BYTES: Final = 16 << 10
_MOST_NAMES: Final = 16_384  # characters
_NOWHERE: Final = Seen(b"-", 0, None)
_POSITION = re.compile(r"([A-Z0-9][A-Z0-9.\-]{0,31}):([0-9A-Za-z_-]{1,64}):(\d{1,16})(?::(\d{1,16}))?")


class StreamQuery(Query):
    symbols: str = Field(
        min_length=1, max_length=_MOST_NAMES, description="symbols or company names, by comma", examples=["AAPL,MSFT"]
    )
    ticket: str = Field("", max_length=256, description="of `POST /api/v1/ws-tickets`: opens one stream")
    last_event_id: str = Field(
        "", max_length=_MOST_NAMES, description="the `id` of the last event seen, for clients that can't set the header"
    )


@dataclass(frozen=True, slots=True)
class Streams:
    settings: Settings
    hall: Hall
    symbols: Symbols
    callers: Callers
    admission: Admission
    reception: Reception

    def routes(self) -> list[Route]:
        return [resource(PATH, self.callers, GET=self.open)]

    @endpoint(
        "Prices and predictions as server-sent events",
        media=_MEDIA,
        errors={404: "unknown_symbol", 429: "too_many_connections", 503: "draining"},
    )
    async def open(self, request: Request, wish: StreamQuery) -> Response:
        """For anyone, where ANONYMOUS_MARKET_DATA allows it; else any account, by a token or, since a browser's
        EventSource can send none, by a ticket. Each event's `data` is one message of the extended WebSocket profile:
        first what was missed since `Last-Event-ID`, or the last known price and prediction of each symbol, then
        whatever happens."""
        caller = await self._caller(request, wish.ticket)
        symbols = await self._symbols(wish)
        if request.method == "HEAD":
            return _without_body()
        seen = _positions(request.headers.get("last-event-id") or wish.last_event_id, symbols)
        visitor = Visitor(caller, self.admission.client(request.scope), True, None, hold=False, owes_token=False)
        self.reception.crowd.knock()
        async with AsyncExitStack() as visit:
            await visit.enter_async_context(self.reception.crowd.admit(visitor))
            stream = _Stream(self, symbols, seen)
            if caller is not None:
                watched = self.reception.sessions.watch(caller, warn=stream.warn, close=stream.end)
                visit.callback(watched.end)
                await watched.check()
            visit.enter_context(self.reception.drain.open(stream.end))
            return _Streaming(stream.events(), visit.pop_all())

    async def _caller(self, request: Request, ticket: str) -> Caller | None:
        refuse_tokens_in(request.query_params)
        if not ticket:
            return await self.callers.reader(request)
        if "authorization" in request.headers:
            raise Unauthenticated("one credential is enough, and several are suspicious", code="bad_token")
        return await self.reception.handshake.redeem(ticket)

    async def _symbols(self, wish: StreamQuery) -> list[str]:
        names = [name.strip() for name in wish.symbols.split(",") if name.strip()]
        most = self.settings.max_symbols_per_connection
        if not names or (most and len(names) > most):
            error = FieldError("symbols", f"from 1 to {most or 'any number of'} symbols, by comma")
            raise InvalidInput(f"{error.loc}: {error.msg}", errors=(error,))
        return list(dict.fromkeys([await self.symbols.resolve(name) for name in names]))


class _Streaming(StreamingResponse):
    """Ends the visit however the answer ends, also where it never began."""

    def __init__(self, events: AsyncIterator[bytes], visit: AsyncExitStack) -> None:
        super().__init__(events, headers=_HEADERS, media_type=_MEDIA)
        self._visit = visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._visit:
            await super().__call__(scope, receive, send)


class _Stream:
    """One client. It ends with an `error` event, behind which a browser reconnects and resumes."""

    def __init__(self, streams: Streams, symbols: Sequence[str], seen: Mapping[str, Seen]) -> None:
        self._hall = streams.hall
        self._seen = dict(seen)
        self._waiting = asyncio.Event()
        self._ended: TickroomError | None = None
        self._seat = QueuedSeat(EXTENDED, self._waiting.set, self._too_slow)
        self._seat.listed = dict.fromkeys(symbols)

    def warn(self, in_s: int) -> None:
        self._seat.say(spoken(TokenExpiring(in_s=in_s)))

    def end(self, error: TickroomError) -> None:
        self._ended = error
        self._waiting.set()

    async def events(self) -> AsyncIterator[bytes]:
        yield b"retry: %d\n\n" % _RETRY_MS
        await catch_up(self._hall, self._seen)
        self._hall.enter(self._seat, None, dict(self._seen))
        with CONNECTIONS.labels("stream").track_inprogress():
            try:
                while self._ended is None:
                    await self._waiting.wait()
                    self._waiting.clear()
                    while self._ended is None and (chunk := self._chunk()):
                        yield chunk
                yield _goodbye(self._ended)
            finally:
                self._hall.leave(self._seat)
                MERGED.inc(self._seat.merged)

    def _chunk(self) -> bytes:
        events: list[bytes] = []
        size = 0
        while size < _CHUNK_BYTES and (item := self._seat.next()) is not None:
            events.append(self._event(item))
            size += len(events[-1])
        return b"".join(events)

    def _event(self, item: Item) -> bytes:
        if isinstance(item, Waiting):
            self._advance(item)
            return b"id: %b\ndata: %b\n\n" % (_encoded(self._seen), self._seat.text(item))
        return b"data: %b\n\n" % item

    def _advance(self, waiting: Waiting) -> None:
        update = waiting.update
        seen = self._seen.get(update.symbol)
        if seen is None or seen.epoch < update.epoch or (waiting.snapshot and seen.epoch != update.epoch):
            seen = Seen(update.epoch, 0, 0)
        if seen.epoch == update.epoch:
            is_prediction = update.kind == "prediction"
            self._seen[update.symbol] = Seen(
                seen.epoch,
                seen.price if is_prediction else update.seq,
                update.seq if is_prediction else seen.prediction,
            )

    def _too_slow(self) -> None:
        self.end(TooSlow("this reader is too slow; come back and resume"))


def _without_body() -> Response:
    """What a HEAD gets: the headers of a stream, whose length nobody knows."""
    answer = Response(headers=_HEADERS, media_type=_MEDIA)
    del answer.headers["content-length"]
    return answer


def _positions(event_id: str, symbols: Sequence[str]) -> dict[str, Seen]:
    """Where a client stands by its last event. What it did not name, or wrote otherwise, can't be proven whole."""
    seen = dict.fromkeys(symbols, _NOWHERE) if event_id else {}
    for part in event_id.split(","):
        found = _POSITION.fullmatch(part.strip())
        if found is not None and found[1] in symbols:
            seen[found[1]] = Seen(found[2].encode(), int(found[3]), None if found[4] is None else int(found[4]))
    return seen


def _encoded(seen: Mapping[str, Seen]) -> bytes:
    return b",".join(
        b"%b:%b:%d" % (symbol.encode(), each.epoch, each.price or 0)
        + (b"" if each.prediction is None else b":%d" % each.prediction)
        for symbol, each in seen.items()
    )


def _goodbye(error: TickroomError) -> bytes:
    said = spoken(ErrorFrame(code=error.code, message=error.detail, retryable=error.retryable))
    wait = b"" if error.retry_after_s is None else b"retry: %d\n" % round(error.retry_after_s * 1000)
    return b"%bdata: %b\n\n" % (wait, said)
