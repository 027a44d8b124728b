"""Snapshot, live updates, slow readers and goodbyes in any order: each frame once, in order, the newest in the end."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.dialects import PLAIN
from services.gateway.core.hall import Hall
from services.gateway.core.inbox import Inbox
from services.gateway.core.seats import FramedSeat, QueuedSeat
from tests.unit.gateway.frames import Heard, Sink, heard, messages_of, notification, signal, tick

SYMBOLS = ("AAPL", "IBM", "MSFT")
_SMALL = 250  # bytes: two frames and the buffer is over the mark


@dataclass
class _Client:
    """A connection, and all that it should hear if it were fast."""

    symbol: str | None
    sink: Sink
    seat: FramedSeat
    due: list[Heard]
    here: bool = True


@dataclass
class _World:
    hall: Hall = field(default_factory=Hall)
    clients: list[_Client] = field(default_factory=list)
    known: dict[tuple[str, str], Heard] = field(default_factory=dict)

    def join(self, symbol: str | None, high: int) -> None:
        due = [self.known[key] for key in sorted(self.known, key=_by_symbol) if symbol in (None, key[1])]
        sink = Sink(high)
        seat = sink.seat()
        self.hall.enter(seat, symbol)
        self.clients.append(_Client(symbol, sink, seat, due))

    def deliver(self, values: list[bytes], told: list[Heard]) -> None:
        self.hall.deliver(values)
        for each in told:
            key = (each.type, each.symbol)
            if key in self.known and each <= self.known[key]:
                continue
            self.known[key] = each
            for client in self.clients:
                if client.here and client.symbol in (None, each.symbol):
                    client.due.append(each)

    def leave(self, client: _Client) -> None:
        client.here = False
        self.hall.leave(client.seat)


def _by_symbol(key: tuple[str, str]) -> tuple[str, bool]:
    return key[1], key[0] == "prediction_update"


_records = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.booleans(), st.integers(1, 2), st.integers(1, 50)), min_size=1, max_size=8
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), _records),
        st.tuples(st.just("join"), st.tuples(st.sampled_from((None, *SYMBOLS)), st.sampled_from((_SMALL, 1 << 30)))),
        st.tuples(st.just("drain"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(_steps)
def test_fast_clients_get_everything_once_in_order_and_slow_ones_the_newest_in_the_end(
    steps: list[tuple[str, Any]],
) -> None:
    world = _World()
    for what, which in steps:
        if what == "deliver":
            values = [
                (signal if is_signal else tick)(symbol, seq, f"e{epoch}") for symbol, is_signal, epoch, seq in which
            ]
            world.deliver(values, [heard(_plain(value)) for value in values])
        elif what == "join":
            world.join(*which)
        elif which < len(world.clients):
            client = world.clients[which]
            if what == "drain":
                client.sink.drain()
            elif client.here:
                client.sink.drain()
                world.leave(client)
    for client in world.clients:
        got = client.sink.heard
        if client.sink._high == 1 << 30:
            assert _kinds(got) == _kinds(client.due)
        else:
            _slow_but_right(got, client.due)


def _kinds(frames: list[Heard]) -> dict[tuple[str, str], list[Heard]]:
    found: dict[tuple[str, str], list[Heard]] = {}
    for each in frames:
        found.setdefault((each.type, each.symbol), []).append(each)
    return found


def _slow_but_right(got: list[Heard], due: list[Heard]) -> None:
    for key, frames in _kinds(due).items():
        mine = _kinds(got)[key]
        assert mine == sorted(set(mine))
        assert set(mine) <= set(frames)
        assert mine[-1] == frames[-1]
    assert _kinds(got).keys() == _kinds(due).keys()


def _plain(value: bytes) -> dict[str, object]:
    hall, sink = Hall(), Sink()
    hall.enter(sink.seat(), None)
    hall.deliver([value])
    return sink.messages[0]


def test_one_batch_is_one_write_per_connection() -> None:
    hall, stock, everything = Hall(), Sink(), Sink()
    hall.enter(stock.seat(), "AAPL")
    hall.enter(everything.seat(), None)
    delivered = hall.deliver([tick("AAPL", 1), tick("IBM", 1), tick("AAPL", 2), tick("AAPL", 2), signal("AAPL", 2)])
    assert (stock.writes, everything.writes) == (1, 1)
    assert [each.seq for each in stock.heard] == [1, 2, 2]
    assert [each.symbol for each in everything.heard] == ["AAPL", "IBM", "AAPL", "AAPL"]
    assert (delivered.updates, delivered.frames, delivered.malformed) == (4, 7, 0)


def test_the_first_frames_are_the_last_known_price_and_prediction() -> None:
    hall = Hall()
    hall.deliver([signal("AAPL", 3), tick("AAPL", 4), tick("IBM", 9)])
    stock, everything, unknown = Sink(), Sink(), Sink()
    hall.enter(stock.seat(), "AAPL")
    hall.enter(everything.seat(), None)
    hall.enter(unknown.seat(), "MSFT")
    assert [(each.type, each.seq) for each in stock.heard] == [("stock_price_update", 4), ("prediction_update", 3)]
    assert [each.symbol for each in everything.heard] == ["AAPL", "AAPL", "IBM"]
    assert unknown.heard == []


def test_a_snapshot_larger_than_the_buffer_waits_and_is_overtaken_by_what_is_newer() -> None:
    hall = Hall()
    hall.deliver([tick(f"S{number}", 1) for number in range(2000)])
    sink = Sink(high=1000)
    seat = sink.seat()
    hall.enter(seat, None)
    assert seat.write is None
    hall.deliver([tick("S999", 2), tick("S0", 2)])
    told = {(each.symbol, each.seq) for each in sink.heard}
    assert ("S999", 2) in told
    assert ("S999", 1) not in told
    assert len(told) == 2001  # S0 was sent before, and again
    assert seat.write is not None


def test_a_queued_connection_keeps_order_and_is_woken() -> None:
    hall, woken = Hall(), []
    hall.deliver([tick(seq=1)])
    seat = QueuedSeat(PLAIN, lambda: woken.append(1), lambda: None)
    hall.enter(seat, "AAPL")
    assert _prices(seat) == [1.0]
    hall.deliver([tick(seq=2), tick(seq=3)])
    assert len(woken) == 3
    assert _prices(seat) == [2.0, 3.0]
    hall.leave(seat)
    hall.deliver([tick(seq=4)])
    assert len(woken) == 3


def _prices(seat: QueuedSeat) -> list[float]:
    found = []
    while (item := seat.next()) is not None:
        found.append(json.loads(seat.text(item))["price"])
    return found


def test_what_is_remembered_reaches_those_who_wait_for_a_first_frame() -> None:
    hall, sink = Hall(), Sink()
    hall.enter(sink.seat(), "AAPL")
    hall.deliver([signal("AAPL", 2)])
    assert hall.learn([tick("AAPL", 7), signal("AAPL", 5), b'{"type":"stock_price_update","symbol":"'] * 2) == 2
    hall.deliver([tick("AAPL", 7), tick("AAPL", 8)])
    assert [(each.type, each.seq) for each in sink.heard] == [
        ("prediction_update", 2),
        ("stock_price_update", 7),
        ("stock_price_update", 8),
    ]


def test_notifications_reach_every_socket_of_their_user_and_nobody_else() -> None:
    hall = Hall()
    mine, mine_too, other = (Inbox(lambda: None) for _ in range(3))
    for inbox in (mine, mine_too, other):
        inbox.behind = False
    hall.listen("u1", mine)
    hall.listen("u1", mine_too)
    hall.listen("u2", other)
    assert hall.listeners == 3
    assert hall.deliver([notification(1, "u1"), notification(2, "u3")]).notices == 2
    assert (mine.next() is not None, mine_too.next() is not None, other.next()) == (True, True, None)
    hall.unlisten("u1", mine)
    hall.unlisten("u1", mine)
    hall.unlisten("u1", mine_too)
    assert hall.deliver([notification(3, "u1")]).notices == 0
    assert hall.listeners == 1


def test_malformed_records_are_counted_and_the_rest_goes_on() -> None:
    hall, sink = Hall(), Sink()
    hall.enter(sink.seat(), "AAPL")
    delivered = hall.deliver(
        [b'{"type":"stock_price_update","symbol":"AAPL"}', b'{"type":"alert_triggered","id":"x"}', b"??", tick(seq=1)]
    )
    assert (delivered.malformed, delivered.updates) == (2, 1)
    assert messages_of(sink.read) == []
    assert [each.seq for each in sink.heard] == [1]
