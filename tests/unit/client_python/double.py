"""A server that plays scenes: what it says on each connection, and what it must hear there."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from services.gateway.core.wire import Update, read_update
from tests.unit.gateway.frames import signal, tick
from tickroom_client import Patience, Tickroom

QUICK = Patience(first_s=0.001, longest_s=0.001, between_s=0.0, steady_s=0.0)
"""For tests: nobody waits, and every connection that stood counts as a good one."""


def price(seq: int, symbol: str = "AAPL", *, epoch: str = "e1", **more: Any) -> dict[str, Any]:
    """A price as the gateway says it to an extended client."""
    return _extended(tick(symbol, seq, epoch)) | more


def prediction(seq: int, prev_seq: int, symbol: str = "AAPL", *, epoch: str = "e1", **more: Any) -> dict[str, Any]:
    return _extended(signal(symbol, seq, epoch, prev_seq)) | more


def notification(number: int) -> dict[str, Any]:
    return {"type": "account_update", "id": f"n{number}", "event": "email_changed", "timestamp": "2024-09-21T14:23:00Z"}


def _extended(record: bytes) -> dict[str, Any]:
    update = read_update(record)
    assert isinstance(update, Update)
    told: dict[str, Any] = json.loads(update.extended)
    return told


class Guest:
    """One connection, as a scene sees it. said: every frame that was heard of it."""

    def __init__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.path = connection.request.path
        self.authorization = connection.request.headers.get("Authorization")
        self.said: list[dict[str, Any]] = []
        self._connection = connection

    async def say(self, *frames: Mapping[str, Any] | list[Any] | str) -> None:
        for frame in frames:
            await self._connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next frame, which must be of that type."""
        frame: dict[str, Any] = json.loads(await self._connection.recv())
        self.said.append(frame)
        assert frame["type"] == kind, frame
        return frame

    async def list(self, refused: Sequence[str] = ()) -> list[str]:
        """Answers a subscription as the gateway does; the symbols that were named."""
        asked = await self.hear("subscribe")
        if set(asked["symbols"]) & set(refused):
            await self.say(
                {"type": "error", "code": "unknown_symbol", "message": "?", "retryable": False, "id": asked["id"]}
            )
        else:
            await self.say({"type": "subscribed", "id": asked["id"], "symbols": asked["symbols"]})
        named: list[str] = asked["symbols"]
        return named

    async def let_in(self) -> dict[str, Any]:
        """Answers the list and hears the positions."""
        await self.list()
        positions: dict[str, Any] = (await self.hear("resume"))["positions"]
        return positions

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    async def stay(self) -> None:
        """Until the client leaves; everything that it says is heard."""
        try:
            while True:
                self.said.append(json.loads(await self._connection.recv()))
        except ConnectionClosed:
            return

    def vanish(self) -> None:
        self._connection.transport.abort()


Scene = Callable[[Guest], Awaitable[None]]
Refusal = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an HTTP answer instead of a handshake."""


@dataclass
class Double:
    """guests: everybody who was let in, in order."""

    url: str = ""
    guests: list[Guest] = field(default_factory=list)
    knocks: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def room(self, **options: Any) -> Tickroom:
        return Tickroom(self.url, **{"proxy": None, "patience": QUICK, **options})


@asynccontextmanager
async def playing(*scenes: Scene, refusals: Sequence[Refusal] = ()) -> AsyncIterator[Double]:
    """Each connection gets the next scene. The first handshakes are refused, one by each of `refusals`."""
    double = Double()
    sent_away = list(refusals)

    def knock(connection: ServerConnection, _request: Request) -> Response | None:
        double.knocks += 1
        if not sent_away:
            return None
        status, headers, body = sent_away.pop(0)
        return Response(status, "No", Headers({"Content-Length": str(len(body)), **headers}), body)

    async def play(connection: ServerConnection) -> None:
        guest = Guest(connection)
        double.guests.append(guest)
        try:
            if len(double.guests) > len(scenes):
                await guest.close(4400, "nobody expected this connection")
            else:
                await scenes[len(double.guests) - 1](guest)
        except ConnectionClosed:
            pass
        except BaseException as failure:
            double.failures.append(failure)
            raise

    server = await serve(
        play, "127.0.0.1", 0, subprotocols=[Subprotocol("tickroom.v1")], process_request=knock, compression=None
    )
    double.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(30), server:
        yield double
    assert double.failures == []
