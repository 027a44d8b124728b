"""The conversation about market data: a list of symbols, and going on where the last connection ended.

A connection begins by holding everything back (`?resume=1`); first comes the list, then `resume` with the positions,
so nothing is sent that isn't wanted, and what was missed comes before what is new.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tickroom_client.messages import Frame, Message, Notification, Prediction, Problem, Record, read
from tickroom_client.positions import Ledger
from tickroom_client.talk import Again

_MOST_NAMED: Final = 500  # symbols in one frame: servers take 64 KiB


class MarketTalk:
    """symbols: to begin with; none at all = everything that the server has, until the first `subscribe`."""

    path: Final = "/websocket/stocks/all?resume=1"

    def __init__(self, symbols: Iterable[str] = ()) -> None:
        self.due = False
        self._wanted = dict.fromkeys(map(_name, symbols)) or None
        self._rate: float | None = None
        self._ledger = Ledger()
        self._ids = 0
        self.begin()

    # What the user wants

    def subscribe(self, symbols: Iterable[str]) -> None:
        wanted = {} if self._wanted is None else self._wanted
        for name in map(_name, symbols):
            wanted[name] = None
            if name in self._told and name in self._muted:  # taken off and put back before anybody was told
                self._muted.discard(name)
                self._ledger.rejoin(name)
        self._wanted = wanted
        self.due = True

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Nothing of them is handed on from here. Raises ValueError while everything is subscribed."""
        if self._wanted is None:
            raise ValueError("this stream has everything, not a list: subscribe to what you want instead")
        for name in map(_name, symbols):
            if name in self._wanted:
                del self._wanted[name]
                self._muted.add(name)
        self.due = True

    def set_rate(self, max_per_second: float) -> None:
        self._rate = max_per_second
        self.due = True

    # What is said

    def begin(self) -> None:
        self._told: set[str] = set()
        self._halves: deque[list[str]] = deque()
        self._asked: tuple[str, list[str]] | None = None
        self._listed: set[str] | None = None
        self._rate_told: float | None = None
        self._positions: deque[dict[str, Any]] | None = None
        self._resumes: dict[str, list[str]] = {}
        self._muted: set[str] = set()
        self.due = True

    def say(self) -> Frame | None:
        frame = self._change_of_rate() or self._change_of_list() or self._resume()
        self.due = frame is not None
        return frame

    def _change_of_rate(self) -> Frame | None:
        if self._rate == self._rate_told:
            return None
        self._rate_told = self._rate
        return {"type": "set_rate", "max_per_second": self._rate}

    def _change_of_list(self) -> Frame | None:
        """One change at a time: what the server refuses must be known before the next."""
        if self._wanted is None or self._asked is not None:
            return None
        gone = [name for name in self._told if name not in self._wanted][:_MOST_NAMED]
        if gone and self._listed is not None:
            self._told.difference_update(gone)
            return self._ask("unsubscribe", gone)
        while self._halves:
            if half := [name for name in self._halves.popleft() if name in self._wanted]:
                return self._ask("subscribe", half)
        new = [name for name in self._wanted if name not in self._told][:_MOST_NAMED]
        if new or self._listed is None:  # an empty list is a list too: without any, everything would come
            self._told.update(new)
            return self._ask("subscribe", new)
        return None

    def _ask(self, what: str, names: list[str]) -> Frame:
        self._asked = (self._next_id(), names)
        return {"type": what, "id": self._asked[0], "symbols": names}

    def _resume(self) -> Frame | None:
        if self._asked is not None:
            return None
        if self._positions is None:
            self._positions = self._all_positions()
        if not self._positions:
            return None
        positions = self._positions.popleft()
        frame_id = self._next_id()
        self._resumes[frame_id] = list(positions)
        return {"type": "resume", "id": frame_id, "positions": positions}

    def _all_positions(self) -> deque[dict[str, Any]]:
        """In portions, at least one: the first also ends the holding back. Until answered, their symbols wait."""
        self._forget_unlisted()
        stands = {symbol: at for symbol in self._ledger.symbols() if (at := self._ledger.position(symbol)) is not None}
        self._muted.update(stands)
        symbols = list(stands)
        portions = [symbols[at : at + _MOST_NAMED] for at in range(0, len(symbols), _MOST_NAMED)] or [[]]
        return deque({symbol: stands[symbol] for symbol in portion} for portion in portions)

    def _next_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    # What is heard

    def hear(self, frame: Frame) -> Sequence[Message]:
        kind = frame["type"]
        if kind == "subscribed":
            self._hear_list(frame)
        elif kind == "resumed":
            return self._hear_resumed(frame)
        elif kind == "error":
            return self._hear_error(frame)
        else:
            message = read(frame)
            if message is not None and not isinstance(message, Notification):
                return self._admit(message)
        return ()

    def _admit(self, message: Record | Prediction) -> Sequence[Message]:
        return () if message.symbol in self._muted else self._ledger.admit(message)

    def _hear_list(self, frame: Frame) -> None:
        before, self._listed = self._listed, set(frame["symbols"])
        if self._asked is not None and frame.get("id") == self._asked[0]:
            self._muted.difference_update(self._asked[1])
            self._asked = None
        if self._positions is not None:
            for symbol in self._listed - (before or set()):  # a snapshot of it follows
                self._ledger.rejoin(symbol)
            self._forget_unlisted()
        self.due = True

    def _forget_unlisted(self) -> None:
        if self._listed is not None:
            for symbol in self._ledger.symbols():
                if symbol not in self._listed:
                    self._ledger.forget(symbol)

    def _hear_resumed(self, frame: Frame) -> Sequence[Message]:
        symbol = frame["symbol"]
        self._muted.discard(symbol)
        if not frame["recovered"]:
            return [self._ledger.lose(symbol)]
        self._ledger.hold(symbol)
        return ()

    def _hear_error(self, frame: Frame) -> Sequence[Message]:
        frame_id = frame.get("id")
        if self._asked is not None and frame_id == self._asked[0]:
            return self._hear_refused_list(frame, self._asked[1])
        if frame_id in self._resumes:
            return self._hear_refused_resume(frame, self._resumes.pop(frame_id))
        return [_problem(frame)]

    def _hear_refused_list(self, frame: Frame, names: list[str]) -> Sequence[Message]:
        """A list is refused as a whole for one bad symbol: halve it until that one stands alone."""
        if frame["retryable"]:
            raise Again(frame["message"])
        self._asked = None
        self.due = True
        if len(names) > 1:
            middle = len(names) // 2
            self._halves.extend((names[:middle], names[middle:]))
            return ()
        for name in names:
            self._told.discard(name)
            if self._wanted is not None:
                self._wanted.pop(name, None)
        return [_problem(frame, names)]

    def _hear_refused_resume(self, frame: Frame, symbols: list[str]) -> Sequence[Message]:
        """What can't be asked for can't be proven whole."""
        if frame["retryable"] or not symbols:
            raise Again(frame["message"])
        self._muted.difference_update(symbols)
        if self._positions is not None:
            self._positions.append({})  # the server must not go on holding everything back
        self.due = True
        return [self._ledger.lose(symbol) for symbol in symbols]


def _problem(frame: Mapping[str, Any], names: Iterable[str] = ()) -> Problem:
    return Problem(code=frame["code"], message=frame["message"], symbols=tuple(names))


def _name(symbol: str) -> str:
    return symbol.strip().upper()
