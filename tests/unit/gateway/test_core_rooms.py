"""Who is in a room, and what one send does."""

from services.gateway.core.rooms import Room, Rooms
from services.gateway.core.wire import Update, read_update
from tests.unit.gateway.frames import Sink, bar, tick


def _updates(*values: bytes) -> list[Update]:
    return [update for value in values if (update := read_update(value)) is not None]


def test_members_get_one_write_for_all_updates_spared_ones_each_update() -> None:
    room, fast, spared = Room(), Sink(), Sink(high=0)
    quick, slow = fast.seat(), spared.seat()
    quick.flush()
    for seat in (quick, slow):
        room.join(seat)
    assert room.send(_updates(tick(seq=1), tick(seq=2))) == 2
    assert fast.writes == 1
    assert [each.seq for each in fast.heard] == [1, 2]
    assert [each.seq for each in spared.heard] == [1, 2]
    assert spared.writes == 2


def test_each_profile_hears_what_it_shows_and_an_extended_batch_is_one_array() -> None:
    room, plain, extended = Room(), Sink(), Sink()
    for seat in (plain.seat(), extended.seat(extended=True)):
        seat.flush()
        room.join(seat)
    assert room.send(_updates(tick(seq=1), bar(seq=2), tick(seq=3))) == 5
    assert room.send(_updates(bar(seq=4))) == 1
    assert [each["type"] for each in plain.messages] == ["stock_price_update"] * 2
    assert [(each["type"], each["seq"]) for each in extended.messages] == [
        ("stock_price_update", 1),
        ("bar", 2),
        ("stock_price_update", 3),
        ("bar", 4),
    ]
    assert (plain.writes, extended.writes) == (1, 2)


def test_a_member_that_is_full_while_the_room_speaks_gets_that_once_and_the_rest_kept() -> None:
    room, first, second = Room(), Sink(high=10), Sink()
    for sink in (first, second):
        seat = sink.seat()
        seat.flush()
        room.join(seat)
        seat.rooms["AAPL"] = room.changed
    room.send(_updates(tick(seq=1)))
    room.send(_updates(tick(seq=2)))
    assert (first.writes, second.writes) == (1, 2)
    assert [each.seq for each in first.heard] == [1, 2]


def test_who_has_left_hears_nothing_and_may_leave_again() -> None:
    room, sink = Room(), Sink()
    seat = sink.seat()
    room.join(seat)
    room.leave(seat)
    room.leave(seat)
    assert room.send(_updates(tick())) == 0
    assert sink.messages == []


def test_rooms_exist_while_somebody_is_in_them() -> None:
    rooms, one, other = Rooms(), Sink().seat(), Sink().seat()
    assert rooms.of("A") is None
    rooms.join("A", one)
    rooms.join("A", other)
    rooms.join(None, one)
    assert len(rooms) == 3
    rooms.leave("A", one)
    assert rooms.of("A") is not None
    rooms.leave("A", other)
    rooms.leave("A", other)
    assert rooms.of("A") is None
    rooms.leave(None, one)
    assert len(rooms) == 0
