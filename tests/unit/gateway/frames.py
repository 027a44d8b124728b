"""Frames and records for tests, read by an implementation that is not ours."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.extensions import Extension
from websockets.frames import Frame
from websockets.streams import StreamReader

from services.gateway.core.dialects import EXTENDED, PLAIN
from services.gateway.core.seats import FramedSeat
from services.shared.events import AlertTriggered, Bar, Signal, Split, Tick, encode


def frames_of(data: bytes, extensions: Sequence[Extension] = ()) -> list[Frame]:
    """The server frames that `data` is made of, without a rest, read by a peer with these extensions."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    found: list[Frame] = []
    while True:
        at_end = stream.at_eof()
        try:
            next(at_end)
        except StopIteration as end:
            if end.value:
                return found
        parsing = Frame.parse(stream.read_exact, mask=False, extensions=extensions)
        try:
            next(parsing)
        except StopIteration as whole:
            found.append(whole.value)
        else:
            raise AssertionError("a frame is cut off")


def messages_of(data: bytes) -> list[Any]:
    return [json.loads(bytes(frame.data)) for frame in frames_of(data)]


def tick(symbol: str = "AAPL", seq: int = 1, epoch: str = "e1", price: float | None = None) -> bytes:
    """A price record; the price is its seq and the timestamp's minute its epoch, so that plain frames tell both."""
    return encode(
        Tick(
            symbol=symbol,
            price=float(seq) if price is None else price,
            timestamp=f"2024-09-21T14:{int(epoch[1:]):02}:00Z",
            epoch=epoch,
            seq=seq,
            time=f"2024-09-21T14:{int(epoch[1:]):02}:00.000000Z",
            source="replay",
        )
    )


def bar(symbol: str = "AAPL", seq: int = 1, epoch: str = "e1", timeframe: str = "1d") -> bytes:
    """The record of a final bar."""
    return encode(
        Bar(
            symbol=symbol,
            timeframe=timeframe,
            start="2024-09-21T13:30:00.000000Z",
            open=1.0,
            high=1.0,
            low=1.0,
            close=1.0,
            volume=1.0,
            final=True,
            epoch=epoch,
            seq=seq,
            time="2024-09-21T20:00:00.000000Z",
            date="2024-09-21",
            source="replay",
        )
    )


def split(symbol: str = "AAPL", seq: int = 1, epoch: str = "e1") -> bytes:
    """The record of a 4:1 split."""
    return encode(
        Split(
            symbol=symbol,
            ratio=4.0,
            effective="2024-09-21",
            epoch=epoch,
            seq=seq,
            time="2024-09-21T04:00:00.000000Z",
            source="replay",
        )
    )


def signal(symbol: str = "AAPL", seq: int = 1, epoch: str = "e1", prev_seq: int = 0) -> bytes:
    """A signal record; the timestamp tells its epoch and seq (modulo 60)."""
    return encode(
        Signal(
            symbol=symbol,
            prediction="buy",
            timestamp=f"2024-09-21T14:{int(epoch[1:]):02}:{seq % 60:02}Z",
            epoch=epoch,
            seq=seq,
            prev_seq=prev_seq,
            time="2024-09-21T14:23:00.000000Z",
            confidence=0.5,
            horizon="1d",
            price_target=1.0,
            direction="bullish",
            interval=None,
            model_version="m",
            skill=None,
            valid_until="2024-09-22T14:23:00.000000Z",
            reason=None,
        )
    )


def notification(number: int = 1, user_id: str = "u1", message: str = "AAPL rose") -> bytes:
    return encode(
        AlertTriggered(
            id=f"n{number}",
            alert_id="a1",
            symbol="AAPL",
            condition="crossing_up",
            threshold=150.0,
            price=151.75,
            message=message,
            timestamp="2024-09-21T14:23:00Z",
            user_id=user_id,
            rule_version=1,
            epoch="e1",
            seq=7,
            previous_price=149.0,
        )
    )


@dataclass(frozen=True, order=True)
class Heard:
    """What a plain frame of `tick` or `signal` tells."""

    type: str
    symbol: str
    epoch: int
    seq: int


def heard(message: dict[str, Any]) -> Heard:
    stamp = message["timestamp"]
    price = message.get("price")
    return Heard(message["type"], message["symbol"], int(stamp[14:16]), int(stamp[17:19] if price is None else price))


def _nothing() -> None:
    """Nobody watches."""


class Sink:
    """A connection that takes `high` bytes before it asks for a pause; `drain` is the peer reading everything."""

    def __init__(self, high: int = 1 << 30) -> None:
        self.paused = False
        self.lost = False
        self.read = b""
        self.writes = 0
        self.pause: Callable[[], None] = _nothing
        self.resume: Callable[[], None] = _nothing
        self._high = high
        self._buffer = b""

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._buffer += data
        if len(self._buffer) > self._high and not self.paused:
            self.paused = True
            self.pause()

    def drain(self) -> None:
        while self._buffer:
            self.read += self._buffer
            self._buffer = b""
            if self.paused:
                self.paused = False
                self.resume()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Those of arrays one by one."""
        self.drain()
        return [
            each for message in messages_of(self.read) for each in (message if isinstance(message, list) else [message])
        ]

    def seat(self, *, extended: bool = False) -> FramedSeat:
        """A seat for this connection, which has not entered yet."""
        seat = FramedSeat(EXTENDED if extended else PLAIN, self, self._lose)
        self.pause, self.resume = seat.pause, seat.flush
        return seat

    def _lose(self) -> None:
        self.lost = True

    @property
    def heard(self) -> list[Heard]:
        return [heard(message) for message in self.messages]
