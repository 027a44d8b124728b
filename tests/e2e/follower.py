"""A client of the extended profile that believes nothing: every frame continues what it has, or says that it can't."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from services.gateway.handshake import SUBPROTOCOL

RECORDS = ("stock_price_update", "bar", "split", "correction")
PREDICTION = "prediction_update"

Key = tuple[str, str, int, bool]
"""(symbol, epoch, seq, is it a prediction?): one message of the stream."""


@dataclass
class Position:
    """How far one symbol has been heard. predicted: the last prediction's (epoch, seq). snapshot_due: told of a gap."""

    epoch: str = ""
    seq: int = 0
    predicted: tuple[str, int] = ("", 0)
    snapshot_due: bool = True


@dataclass
class Follower:
    """messages: all that came live or was replayed. skipped: what a snapshot or a conflated price stands for."""

    messages: dict[Key, dict[str, Any]] = field(default_factory=dict)
    skipped: set[Key] = field(default_factory=set)
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
        positions = {
            symbol: {
                "epoch": at.epoch,
                "price": at.seq,
                "prediction": at.predicted[1] if at.predicted[0] == at.epoch else 0,
            }
            for symbol, at in self.positions.items()
        }
        return json.dumps({"type": "resume", "positions": positions})

    def _record(self, message: dict[str, Any]) -> None:
        at = self.positions.setdefault(message["symbol"], Position())
        epoch, seq = message["epoch"], message["seq"]
        last = at.seq if epoch == at.epoch else 0
        if message.get("snapshot"):
            assert at.snapshot_due, message
            assert (epoch, seq) >= (at.epoch, at.seq), (message, at)
        else:
            assert (epoch, seq) > (at.epoch, at.seq), (message, at)
            assert at.epoch == "" or seq == last + 1 + message["conflated"], (message, at)
            at.snapshot_due = False
            self._keep(message)
        if at.epoch:  # a snapshot is not kept, so its own place counts as skipped
            end = seq + bool(message.get("snapshot"))
            self.skipped |= {(message["symbol"], epoch, each, False) for each in range(last + 1, end)}
        at.epoch, at.seq = epoch, seq

    def _prediction(self, message: dict[str, Any]) -> None:
        at = self.positions.setdefault(message["symbol"], Position())
        epoch, seq = message["epoch"], message["seq"]
        assert (epoch, seq) >= at.predicted, (message, at)
        last = at.predicted[1] if epoch == at.predicted[0] else 0
        if message.get("snapshot"):
            assert at.snapshot_due, message
            self.skipped |= {(message["symbol"], epoch, each, True) for each in range(last + 1, seq + 1)}
        else:
            assert at.predicted[0] == "" or message["prev_seq"] == last, (message, at)
            self._keep(message)
        at.predicted = (epoch, seq)

    def _keep(self, message: dict[str, Any]) -> None:
        key = (message["symbol"], message["epoch"], message["seq"], message["type"] == PREDICTION)
        assert key not in self.messages, message
        self.messages[key] = {
            name: value for name, value in message.items() if name not in ("conflated", "stale", "snapshot")
        }


def whole(heard: Follower, all_of_it: Follower) -> None:
    """Fails unless `heard` has all messages of `all_of_it` between its own first and last, or was told of the gap."""
    for key, message in heard.messages.items():
        assert all_of_it.messages.get(key, message) == message
    for symbol, at in heard.positions.items():
        mine = [key for key in heard.messages if key[0] == symbol]
        ends = {False: (at.epoch, at.seq), True: at.predicted}
        for predictions in (False, True):
            begin = min((key[1:3] for key in mine if key[3] == predictions), default=ends[predictions])
            missing = {
                key
                for key in all_of_it.messages
                if key[0] == symbol and key[3] == predictions and begin <= key[1:3] <= ends[predictions]
            } - heard.messages.keys()
            assert missing <= heard.skipped


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


def break_wire(client: ClientConnection) -> None:
    """Ends the TCP connection by a reset: no goodbye, and what was not read yet is lost."""
    wire = client.transport.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
