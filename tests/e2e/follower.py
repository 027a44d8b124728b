"""A client of the extended profile that believes nothing: every frame continues what it has, or says that it can't."""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from services.gateway.handshake import SUBPROTOCOL

ROOM = "/websocket/stocks/all"
RECORDS = ("stock_price_update", "bar", "split", "correction")
PREDICTION = "prediction_update"

Place = tuple[str, int]
"""(epoch, seq). Places of one symbol sort by age."""
NOWHERE: Final[Place] = ("", 0)


@dataclass(frozen=True)
class Key:
    """One message of the stream."""

    symbol: str
    prediction: bool
    place: Place


@dataclass(frozen=True)
class Gap:
    """What a snapshot or a conflated message stands for: everything behind `after`, up to and with `to`."""

    symbol: str
    prediction: bool
    after: Place
    to: Place

    def __contains__(self, key: Key) -> bool:
        same = (self.symbol, self.prediction) == (key.symbol, key.prediction)
        return same and self.after < key.place <= self.to


@dataclass
class Position:
    """How far one symbol has been heard. time: the last record's; snapshot_due: told of a gap, or knows nothing yet."""

    record: Place = NOWHERE
    prediction: Place = NOWHERE
    time: str = ""
    snapshot_due: bool = True


@dataclass
class Follower:
    """messages: all that came live or was replayed. gaps: those it was told of."""

    messages: dict[Key, dict[str, Any]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    outcomes: Counter[bool] = field(default_factory=Counter)
    """`recovered` of every `resumed`."""
    heard: int = 0

    def take(self, text: str | bytes) -> None:
        """One WebSocket message: an object, or an array of them. Fails on whatever the stream must not do."""
        said = json.loads(text)
        for message in said if isinstance(said, list) else [said]:
            self.heard += 1
            match message["type"]:
                case "resumed":
                    self.outcomes[message["recovered"]] += 1
                    self.positions[message["symbol"]].snapshot_due = not message["recovered"]
                case "ping":
                    pass
                case kind if kind in RECORDS:
                    self._record(message)
                case "prediction_update":
                    self._prediction(message)
                case _:
                    raise AssertionError(message)

    def resume(self) -> str:
        """The control frame that says where this client stands."""
        return json.dumps({"type": "resume", "positions": {name: _seen(at) for name, at in self.positions.items()}})

    @property
    def places(self) -> dict[str, tuple[Place, Place]]:
        """The last record and the last prediction of each symbol."""
        return {symbol: (at.record, at.prediction) for symbol, at in self.positions.items()}

    def _record(self, message: dict[str, Any]) -> None:
        at = self.positions.setdefault(message["symbol"], Position())
        place = (message["epoch"], message["seq"])
        if message.get("snapshot"):
            assert at.snapshot_due, message
            self._skip(message, at.record, place)
        else:
            at.snapshot_due = False
            if at.record != NOWHERE:
                before = max(at.record, (place[0], 0))
                assert at.record < place == (before[0], before[1] + 1 + message["conflated"]), (message, at)
                self._skip(message, before, (place[0], place[1] - 1))
            self._keep(message)
        at.record, at.time = place, message["time"]

    def _prediction(self, message: dict[str, Any]) -> None:
        at = self.positions.setdefault(message["symbol"], Position())
        place = (message["epoch"], message["seq"])
        if message.get("snapshot"):
            assert at.snapshot_due, message
            self._skip(message, at.prediction, place)
        else:
            if at.prediction != NOWHERE:
                before = max(at.prediction, (place[0], 0))
                assert at.prediction < place, (message, at)
                assert before == (place[0], message["prev_seq"]), (message, at)
            self._keep(message)
        at.prediction = place

    def _skip(self, message: dict[str, Any], after: Place, to: Place) -> None:
        assert after <= to, (message, after)
        if NOWHERE < after < to:
            self.gaps.append(Gap(message["symbol"], message["type"] == PREDICTION, after, to))

    def _keep(self, message: dict[str, Any]) -> None:
        key = Key(message["symbol"], message["type"] == PREDICTION, (message["epoch"], message["seq"]))
        assert key not in self.messages, message
        self.messages[key] = {
            name: value for name, value in message.items() if name not in ("conflated", "stale", "snapshot")
        }


def _seen(at: Position) -> dict[str, Any]:
    epoch, seq = at.record
    return {"epoch": epoch, "price": seq, "prediction": at.prediction[1] if at.prediction[0] == epoch else 0}


def whole(heard: Follower, all_of_it: Follower) -> None:
    """Fails unless `heard` has all messages of `all_of_it` between its own first and last, or was told of the gap."""
    for key, message in heard.messages.items():
        assert all_of_it.messages.get(key, message) == message
    first: dict[tuple[str, bool], Place] = {}
    for key in heard.messages:
        first[key.symbol, key.prediction] = min(key.place, first.get((key.symbol, key.prediction), key.place))
    for key in all_of_it.messages.keys() - heard.messages.keys():
        at = heard.positions.get(key.symbol, Position())
        begin, end = first.get((key.symbol, key.prediction)), at.prediction if key.prediction else at.record
        if begin is not None and begin < key.place <= end:
            assert any(key in gap for gap in heard.gaps), key


@asynccontextmanager
async def extended(base: str, path: str, *, resume: bool = False) -> AsyncIterator[ClientConnection]:
    """A socket of the extended profile. resume: it holds everything back until it was told where the client stands."""
    url = f"{base.replace('http', 'ws', 1)}{path}{'?resume=1' if resume else ''}"
    async with connect(
        url,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # any text is one
        proxy=None,
        max_queue=None,
        max_size=None,
        compression=None,
    ) as client:
        yield client


async def break_wire(client: ClientConnection) -> None:
    """Ends the TCP connection by a reset: no goodbye, and what was not read yet is lost."""
    wire = client.transport.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
    await client.wait_closed()


@asynccontextmanager
async def listening(base: str, follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    """A client whose wire holds: it hears all."""
    async with extended(base, ROOM) as client:

        async def listen() -> None:
            async for text in client:
                follower.take(text)

        task = asyncio.create_task(listen())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def hear(client: ClientConnection, follower: Follower, messages: int) -> None:
    least = follower.heard + messages
    while follower.heard < least:
        follower.take(await asyncio.wait_for(client.recv(), 30))


async def until_heard(follower: Follower, messages: int, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while follower.heard < messages:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.005)
