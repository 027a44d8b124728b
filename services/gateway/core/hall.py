"""The hall behind the front door: what is known, who listens, and how news reaches them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.gateway.core.board import Board
from services.gateway.core.freshness import Freshness
from services.gateway.core.inbox import Inbox
from services.gateway.core.outbox import Waiting
from services.gateway.core.positions import Seen
from services.gateway.core.rooms import Rooms
from services.gateway.core.seats import Item, Seat
from services.gateway.core.speech import PING, Resumed, spoken
from services.gateway.core.wire import Malformed, Notice, Update, read_notice, read_revocation, read_update
from services.shared.events import SessionRevoked, rfc3339

PING_AFTER_S: Final = 25.0
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Delivered:
    """updates: fresh records of symbols; frames: messages written directly; notices: pushed, once per socket."""

    updates: int = 0
    frames: int = 0
    notices: int = 0
    malformed: int = 0
    revoked: list[SessionRevoked] = field(default_factory=list)


class Hall:
    """Everything here happens at once, between two turns of the event loop.

    So snapshots, what a client missed and the live updates behind have neither a gap nor a repeat between them. No
    client is waited for. entries and keep_s: records kept of each symbol, at most so many and so long. stale_after_s:
    of open market. monotonic: seconds; now: aware. Without clocks nothing ages.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = lambda: 0.0,
        now: Callable[[], datetime] = lambda: _LONG_AGO,
        entries: int = 300,
        keep_s: float = 300.0,
        stale_after_s: int = 900,
    ) -> None:
        self.board = Board(entries)
        self.rooms = Rooms()
        self._monotonic = monotonic
        self._now = now
        self._keep_s = keep_s
        self._freshness = Freshness(stale_after_s)
        self._inboxes: dict[str, set[Inbox]] = {}
        self._quiet_since_s: dict[Seat, float] = {}

    # Who listens

    def enter(
        self, seat: Seat, symbol: str | None, seen: Mapping[str, Seen] | None = None, echo: str | None = None
    ) -> None:
        """Seats a connection in the room of `symbol` (None: of all, or of those that it has listed).

        First frames are what it missed, of symbols in `seen`, and the last known price and prediction of all others.
        """
        if seat.dialect.extended:
            self._quiet_since_s[seat] = self._monotonic()
        scope = list(seat.listed) if seat.listed is not None else [symbol]
        for each in scope:
            self.rooms.join(each, seat)
        seen = seen or {}
        shown = self.board.symbols() if scope == [None] else [each for each in scope if each is not None]
        for each in seen:
            seat.retell(self._missed(seat, each, seen[each], echo))
        seat.show([waiting for each in shown if each not in seen for waiting in self._snapshot(each, seat)])

    def leave(self, seat: Seat) -> None:
        """Does nothing where it has left already."""
        for symbol in list(seat.rooms):
            self.rooms.leave(symbol, seat)
        self._quiet_since_s.pop(seat, None)
        seat.forsake()

    def subscribe(self, seat: Seat, symbols: Iterable[str]) -> None:
        """Adds to the list of a seat in the room of all; from the first time on it hears exactly its list.

        Call `show_listed` behind the answer.
        """
        if seat.listed is None:
            self.rooms.leave(None, seat)
            seat.listed = {}
        for symbol in symbols:
            seat.listed[symbol] = None
            if seat in self._quiet_since_s:
                self.rooms.join(symbol, seat)

    def show_listed(self, seat: Seat, symbols: Iterable[str]) -> None:
        """Snapshots of newly named symbols; none for a seat that holds everything back until it resumes."""
        if seat in self._quiet_since_s:
            seat.show([waiting for symbol in symbols for waiting in self._snapshot(symbol, seat)])

    def unsubscribe(self, seat: Seat, symbols: Iterable[str]) -> None:
        """Takes symbols off the list; does nothing for those that are not on it."""
        for symbol in symbols:
            if seat.listed is not None and symbol in seat.listed:
                del seat.listed[symbol]
                self.rooms.leave(symbol, seat)
                seat.drop(symbol)

    def resume(self, seat: Seat, seen: Mapping[str, Seen], echo: str | None = None) -> None:
        """Tells a seated connection what it missed, from where it says it stands."""
        for symbol, position in seen.items():
            seat.drop(symbol)
            seat.retell(self._missed(seat, symbol, position, echo))

    def is_behind(self, seen: Mapping[str, Seen]) -> bool:
        """Has one who comes from another gateway seen more there than is known here yet?"""
        return any(
            self.board.of(symbol).is_ahead(each.epoch, each.price, each.prediction) for symbol, each in seen.items()
        )

    def listen(self, user_id: str, inbox: Inbox) -> None:
        self._inboxes.setdefault(user_id, set()).add(inbox)

    def unlisten(self, user_id: str, inbox: Inbox) -> None:
        inboxes = self._inboxes.get(user_id, set())
        inboxes.discard(inbox)
        if not inboxes:
            self._inboxes.pop(user_id, None)

    @property
    def listeners(self) -> int:
        """Open notification sockets."""
        return sum(map(len, self._inboxes.values()))

    def sweep(self) -> None:
        """To be called every few seconds: pings extended connections that heard nothing, forgets old records."""
        now_s = self._monotonic()
        for seat, since_s in self._quiet_since_s.items():
            if not self.rooms.quiet(seat):
                self._quiet_since_s[seat] = now_s
            elif now_s - since_s >= PING_AFTER_S:
                seat.say(PING)
                self._quiet_since_s[seat] = now_s
            seat.spoke = False
        self.rooms.hush()
        self.board.forget_before(now_s - self._keep_s)

    # What arrives

    def deliver(self, values: Iterable[bytes]) -> Delivered:
        """Takes a batch of records of all three topics, in order per symbol, and writes it out, once per connection."""
        delivered = Delivered()
        fresh: list[Update] = []
        now_s = self._monotonic()
        for value in values:
            try:
                if (update := read_update(value)) is not None:
                    update.arrived_s = now_s
                    if self.board.advance(update):
                        fresh.append(update)
                elif (notice := read_notice(value)) is not None:
                    delivered.notices += self._push(notice)
                elif (revoked := read_revocation(value)) is not None:
                    delivered.revoked.append(revoked)
            except Malformed:
                delivered.malformed += 1
        if fresh:
            self._date(fresh)
            delivered.updates = len(fresh)
            delivered.frames = self._send(fresh)
        return delivered

    def learn(self, values: Iterable[bytes]) -> int:
        """Takes in what a backend remembers: last prices, or last signals. Whoever waits for a first frame gets it.

        Returns how many are malformed, and left out.
        """
        malformed = 0
        fresh: list[Update] = []
        for value in values:
            try:
                update = read_update(value)
            except Malformed:
                malformed += 1
            else:
                if update is not None and self.board.learn(update):
                    fresh.append(update)
        if fresh:
            self._date(fresh)
            self._send(fresh)
        return malformed

    def _date(self, fresh: Sequence[Update]) -> None:
        """Judges whether a batch is old by its last record: only where that is, each is looked at."""
        last = fresh[-1]
        self._freshness.note(last)
        if last.replayed:
            return
        clock = rfc3339(self._now())
        if self._freshness.is_stale(last, clock):
            for update in fresh:
                update.stale = self._freshness.is_stale(update, clock)

    def _snapshot(self, symbol: str, seat: Seat) -> list[Waiting]:
        clock = rfc3339(self._now())
        return [
            Waiting(update, snapshot=True, stale=self._freshness.is_stale(update, clock))
            for update in self.board.of(symbol).snapshot()
            if update.public or seat.dialect.extended
        ]

    def _missed(self, seat: Seat, symbol: str, seen: Seen, echo: str | None) -> list[Item]:
        missed = self.board.of(symbol).since(seen.epoch, seen.price, seen.prediction)
        if missed is None:
            return [spoken(Resumed(symbol=symbol, recovered=False, id=echo)), *self._snapshot(symbol, seat)]
        answer = spoken(Resumed(symbol=symbol, recovered=True, replayed=len(missed), id=echo))
        return [answer, *(Waiting(update) for update in missed)]

    def _send(self, updates: list[Update]) -> int:
        frames = self.rooms.everything.send(updates) if self.rooms.everything else 0
        for symbol, of_symbol in _by_symbol(updates).items():
            room = self.rooms.of(symbol)
            if room is not None:
                frames += room.send(of_symbol)
        for update in updates:
            update.forget_encoded()
        return frames

    def _push(self, notice: Notice) -> int:
        inboxes = self._inboxes.get(notice.user_id, ())
        for inbox in inboxes:
            inbox.push(notice)
        return len(inboxes)


def _by_symbol(updates: list[Update]) -> dict[str, list[Update]]:
    grouped: dict[str, list[Update]] = {}
    for update in updates:
        grouped.setdefault(update.symbol, []).append(update)
    return grouped
