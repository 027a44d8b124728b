"""Extended clients in any order of joins, records, lost records, pauses, goodbyes and returns, also at another gateway.

What a client is told is whole: each record once, in order, what was merged away counted, and a hole only where one was
announced (a snapshot) or where the gateway itself never got the record.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.hall import Hall
from services.gateway.core.positions import Seen
from services.gateway.core.seats import FramedSeat
from tests.unit.gateway.frames import Sink, bar, signal, split, tick

SYMBOLS = ("AAPL", "IBM")
_ENTRIES = 6
_RECORDS: dict[str, Callable[[str, int, str], bytes]] = {"tick": tick, "bar": bar, "split": split}
_SMALL = 600  # bytes: two messages and the buffer is over the mark


@dataclass
class _Place:
    """A gateway that has read so many of the log's records."""

    hall: Hall = field(default_factory=lambda: Hall(entries=_ENTRIES))
    read: int = 0


@dataclass
class _Symbol:
    epoch: int = 1
    seq: int = 0
    signal: int = 0


@dataclass
class _Position:
    epoch: str = ""
    price: int = 0
    prediction_epoch: str = ""
    prediction: int = 0

    def seen(self) -> Seen:
        same = self.prediction_epoch == self.epoch
        return Seen(self.epoch.encode(), self.price, self.prediction if same else None)


@dataclass
class _Client:
    """Checks what it is told as it reads, and keeps its positions over connections."""

    symbol: str | None
    place: _Place
    sink: Sink
    seat: FramedSeat
    lost: set[tuple[str, str, int]]
    positions: dict[str, _Position] = field(default_factory=dict)
    announced: int = 0
    checked: int = 0
    here: bool = True

    def seen(self) -> dict[str, Seen]:
        self.positions = {symbol: each for symbol, each in self.positions.items() if each.epoch}  # else: come anew
        seen = {symbol: each.seen() for symbol, each in self.positions.items()}
        for symbol, each in seen.items():
            if each.prediction is None:  # not named, so not told: what comes next is a new beginning
                self.positions[symbol].prediction_epoch = ""
        return seen

    def read(self) -> None:
        messages = self.sink.messages
        for message in messages[self.checked :]:
            self._check(message)
        self.checked = len(messages)

    def _check(self, message: dict[str, Any]) -> None:
        symbol = message["symbol"]
        assert self.symbol in (None, symbol)
        if message["type"] == "resumed":
            if not message["recovered"]:
                self.positions.pop(symbol, None)
            return
        mine = self.positions.setdefault(symbol, _Position())
        if message["type"] == "prediction_update":
            self._check_prediction(mine, message)
        else:
            self._check_record(mine, message)

    def _check_record(self, mine: _Position, message: dict[str, Any]) -> None:
        epoch, seq = message["epoch"], message["seq"]
        if message.get("snapshot"):
            assert (epoch, seq) >= (mine.epoch, mine.price)
        elif epoch == mine.epoch:
            missing = {(message["symbol"], epoch, each) for each in range(mine.price + 1, seq)}
            assert seq > mine.price
            assert len(missing - self.lost) == message["conflated"]
        elif mine.epoch:
            assert epoch > mine.epoch
        mine.epoch, mine.price = epoch, seq

    def _check_prediction(self, mine: _Position, message: dict[str, Any]) -> None:
        epoch, seq = message["epoch"], message["seq"]
        if message.get("snapshot"):
            assert (epoch, seq) >= (mine.prediction_epoch, mine.prediction)
        elif epoch == mine.prediction_epoch:
            assert message["prev_seq"] == mine.prediction
        elif mine.prediction_epoch:
            assert epoch > mine.prediction_epoch
        mine.prediction_epoch, mine.prediction = epoch, seq


class _World:
    def __init__(self) -> None:
        self.places = [_Place(), _Place()]
        self.symbols = {symbol: _Symbol() for symbol in SYMBOLS}
        self.log: list[bytes] = []
        self.lost: set[tuple[str, str, int]] = set()
        self.clients: list[_Client] = []

    def record(self, name: str, kind: str) -> None:
        symbol = self.symbols[name]
        epoch = f"e{symbol.epoch}"
        if kind == "epoch":
            self.symbols[name] = _Symbol(epoch=symbol.epoch + 1)
        elif kind == "signal":
            if symbol.seq > symbol.signal:
                self.log.append(signal(name, symbol.seq, epoch, symbol.signal))
                symbol.signal = symbol.seq
        else:
            symbol.seq += 1
            if kind == "lost":
                self.lost.add((name, epoch, symbol.seq))
            else:
                self.log.append(_RECORDS[kind](name, symbol.seq, epoch))

    def deliver(self, place: _Place, records: int, repeats: int) -> None:
        """The next records of the log, and before them some that came already."""
        begin = max(0, place.read - repeats)
        end = min(len(self.log), place.read + records)
        place.hall.deliver(self.log[begin:end])
        place.read = end

    def join(self, symbol: str | None, where: int, high: int) -> None:
        sink, place = Sink(high), self.places[where]
        client = _Client(symbol, place, sink, sink.seat(extended=True), self.lost)
        place.hall.enter(client.seat, symbol)
        self.clients.append(client)

    def leave(self, client: _Client, *, reading: bool) -> None:
        if reading:
            client.read()
        client.here = False
        client.place.hall.leave(client.seat)

    def resume_again(self, client: _Client) -> None:
        """On an open connection, from where it has read to: what waits for it is told anew."""
        if client.sink.paused:
            return  # it can't know yet what was written before the answer
        client.read()
        client.place.hall.resume(client.seat, client.seen())

    def come_back(self, client: _Client, where: int, high: int) -> None:
        seen = client.seen()
        place = self.places[where]
        while place.hall.is_behind(seen):
            self.deliver(place, 1, 0)
        client.place, client.sink, client.here, client.checked = place, Sink(high), True, 0
        client.seat = client.sink.seat(extended=True)
        place.hall.enter(client.seat, client.symbol, seen)


_KINDS = ("tick",) * 6 + ("bar", "split", "signal", "signal", "signal") * 2 + ("lost", "epoch")
_STEPS = 250


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 32))
def test_nothing_is_missing_and_nothing_comes_twice_unannounced(seed: int) -> None:
    """Steps are drawn by one seed: lists of them stay too short to bring a slow reader back from another gateway."""
    chance = random.Random(seed)
    world = _World()
    for _ in range(_STEPS):
        _step(world, chance)
    for place in world.places:
        world.deliver(place, len(world.log), 0)
    for client in world.clients:
        if client.here:
            client.read()
            _has_everything(client)


def _step(world: _World, chance: random.Random) -> None:
    what = chance.choice(
        ("record",) * 6 + ("deliver",) * 5 + ("join", "read", "read", "leave", "back", "back", "again")
    )
    if what == "record":
        world.record(chance.choice(SYMBOLS), chance.choice(_KINDS))
    elif what == "deliver":
        world.deliver(chance.choice(world.places), chance.randint(1, 4), repeats=chance.randint(0, 3))
    elif what == "join" and len(world.clients) < 8:
        world.join(chance.choice((None, *SYMBOLS)), chance.randint(0, 1), chance.choice((_SMALL, 1 << 30)))
    elif world.clients:
        client = chance.choice(world.clients)
        if what == "read":
            client.read()
        elif what == "leave" and client.here:
            world.leave(client, reading=chance.random() < 0.5)
        elif what == "back" and not client.here:
            world.come_back(client, chance.randint(0, 1), chance.choice((_SMALL, 1 << 30)))
        elif what == "again" and client.here:
            world.resume_again(client)


def _has_everything(client: _Client) -> None:
    board = client.place.hall.board
    for symbol in board.symbols() if client.symbol is None else [client.symbol]:
        tape = board.of(symbol)
        if tape.seq:
            mine = client.positions[symbol]
            assert (mine.epoch.encode(), mine.price) == (tape.epoch, tape.seq) or tape.price is None
        if tape.prediction is not None and tape.prediction.epoch == tape.epoch:
            mine = client.positions[symbol]
            assert mine.prediction == tape.prediction.seq or mine.epoch != mine.prediction_epoch


def _seated(hall: Hall, symbol: str | None, seen: dict[str, Seen] | None = None) -> Sink:
    sink = Sink()
    hall.enter(sink.seat(extended=True), symbol, seen)
    return sink


def test_what_was_missed_follows_in_order_predictions_behind_their_cause() -> None:
    hall = Hall()
    hall.deliver([tick(seq=1), tick(seq=2), bar(seq=3), signal(seq=3), tick(seq=4), signal(seq=4, prev_seq=3)])
    sink = _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 2, 0)})
    answer, *missed = sink.messages
    assert answer == {"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 4}
    assert [(each["type"], each["seq"]) for each in missed] == [
        ("bar", 3),
        ("prediction_update", 3),
        ("stock_price_update", 4),
        ("prediction_update", 4),
    ]
    assert not any("snapshot" in each for each in missed)


def test_a_kind_that_is_not_named_is_not_replayed() -> None:
    hall = Hall()
    hall.deliver([tick(seq=1), tick(seq=2), signal(seq=2)])
    assert [each["type"] for each in _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 1, None)}).messages] == [
        "resumed",
        "stock_price_update",
    ]
    assert [each["type"] for each in _seated(hall, "AAPL", {"AAPL": Seen(b"e1", None, 0)}).messages] == [
        "resumed",
        "prediction_update",
    ]


def test_what_cant_be_proven_whole_is_a_snapshot() -> None:
    hall = Hall(entries=3)
    hall.deliver([tick(seq=seq) for seq in range(1, 9)])
    for seen in (Seen(b"e1", 4, None), Seen(b"e0", 7, None), Seen(b"e1", 9, None), Seen(b"e1", 7, 3)):
        answer, snapshot = _seated(hall, "AAPL", {"AAPL": seen}).messages
        assert answer == {"type": "resumed", "symbol": "AAPL", "recovered": False}
        assert (snapshot["seq"], snapshot["snapshot"]) == (8, True)
    assert len(_seated(hall, "AAPL", {"AAPL": Seen(b"e1", 5, None)}).messages) == 4
    assert len(_seated(hall, "AAPL", {"AAPL": Seen(b"e1", 8, None)}).messages) == 1


def test_a_hole_in_what_came_is_never_passed_off_as_whole() -> None:
    hall = Hall()
    hall.deliver([tick(seq=1), tick(seq=2), tick(seq=4), tick(seq=5)])
    assert not _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 2, None)}).messages[0]["recovered"]
    assert _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 4, None)}).messages[0]["replayed"] == 1


def test_old_records_are_forgotten_and_then_not_replayed() -> None:
    clock = [0.0]
    hall = Hall(monotonic=lambda: clock[0], keep_s=300.0)
    hall.deliver([tick(seq=1), tick(seq=2)])
    clock[0] = 301.0
    hall.sweep()
    assert _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 2, None)}).messages[0]["recovered"]
    assert not _seated(hall, "AAPL", {"AAPL": Seen(b"e1", 1, None)}).messages[0]["recovered"]


def test_a_snapshot_brings_what_came_behind_the_last_price_so_that_no_gap_follows() -> None:
    hall = Hall()
    hall.deliver([tick(seq=1), bar(seq=2), split(seq=3)])
    sink = _seated(hall, "AAPL")
    hall.deliver([tick(seq=4)])
    assert [(each["type"], each["seq"], each.get("snapshot")) for each in sink.messages] == [
        ("stock_price_update", 1, True),
        ("bar", 2, True),
        ("split", 3, True),
        ("stock_price_update", 4, None),
    ]


def test_a_list_is_exactly_what_is_heard() -> None:
    hall = Hall()
    hall.deliver([tick("AAPL", 1), tick("IBM", 1)])
    sink = Sink()
    seat = sink.seat(extended=True)
    hall.enter(seat, None)
    hall.subscribe(seat, ["IBM"])
    hall.show_listed(seat, ["IBM"])
    hall.deliver([tick("AAPL", 2), tick("IBM", 2)])
    hall.subscribe(seat, ["AAPL"])
    hall.unsubscribe(seat, ["IBM", "MSFT"])
    hall.deliver([tick("AAPL", 3), tick("IBM", 3)])
    heard = [(each["symbol"], each["seq"]) for each in sink.messages]
    assert heard == [("AAPL", 1), ("IBM", 1), ("IBM", 1), ("IBM", 2), ("AAPL", 3)]
    hall.leave(seat)
    hall.deliver([tick("AAPL", 4)])
    assert len(sink.messages) == 5
    assert len(hall.rooms) == 0


def test_one_who_heard_nothing_for_long_is_pinged_and_one_who_did_is_not() -> None:
    clock = [0.0]
    hall = Hall(monotonic=lambda: clock[0])
    quiet, busy, plain = _seated(hall, "IBM"), _seated(hall, "AAPL"), Sink()
    hall.enter(plain.seat(), "IBM")
    for second in range(0, 61, 5):
        clock[0] = float(second)
        hall.deliver([tick("AAPL", 1 + second)])
        hall.sweep()
    assert [each["type"] for each in quiet.messages] == ["ping", "ping"]
    assert "ping" not in {each["type"] for each in busy.messages}
    assert plain.messages == []
