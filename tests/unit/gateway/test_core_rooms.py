"""Who is in a room, and what one send does."""

from services.gateway.core.rooms import Room, Rooms, Write
from services.gateway.core.wire import Update


class _Member:
    def __init__(self, *, direct: bool = True) -> None:
        self.got: list[bytes] = []
        self.kept: list[Update] = []
        self.write: Write | None = self.got.append if direct else None

    def put(self, update: Update) -> None:
        self.kept.append(update)


def _updates(*seqs: int) -> list[Update]:
    return [Update("price", "A", b"e", seq, b"%d" % seq) for seq in seqs]


def test_members_get_one_write_for_all_updates_spared_ones_each_update() -> None:
    room, fast, spared = Room(), _Member(), _Member(direct=False)
    room.join(fast)
    room.join(spared)
    assert room.send(_updates(1, 2)) == 2
    assert room.send(_updates(3)) == 1
    assert fast.got == [b"\x81\x011\x81\x012", b"\x81\x013"]
    assert [update.seq for update in spared.kept] == [1, 2, 3]
    assert fast.kept == []


def test_a_member_that_stops_while_the_room_speaks_gets_that_once_and_the_rest_kept() -> None:
    room, first, second = Room(), _Member(), _Member()

    def stop(data: bytes) -> None:
        first.got.append(data)
        first.write = None
        room.changed()

    first.write = stop
    for member in (first, second):
        room.join(member)
    room.send(_updates(1))
    room.send(_updates(2))
    assert first.got == [b"\x81\x011"]
    assert [update.seq for update in first.kept] == [2]
    assert second.got == [b"\x81\x011", b"\x81\x012"]


def test_who_has_left_hears_nothing_and_may_leave_again() -> None:
    room, member = Room(), _Member()
    room.join(member)
    room.leave(member)
    room.leave(member)
    assert room.send(_updates(1)) == 0
    assert member.got == []


def test_rooms_exist_while_somebody_is_in_them() -> None:
    rooms, one, other = Rooms(), _Member(), _Member()
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
    rooms.changed("A")  # nobody is there: nothing happens
