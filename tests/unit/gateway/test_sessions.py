"""How long an open socket may stay."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.backends import Revocation, SessionRef
from services.gateway.replies import close_code
from services.gateway.revocations import Revocations
from services.gateway.sessions import OpenSessions, Watched
from services.shared.errors import Denied, TickroomError, Unavailable

BEGIN = 1_000_000


@dataclass
class Timer:
    at: float
    ring: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """UNIX seconds that go on when told to, and timers that ring by them."""

    def __init__(self) -> None:
        self.now = float(BEGIN)
        self._timers: list[Timer] = []
        self.set = 0

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay_s: float, ring: Callable[[], None]) -> Timer:
        self.set += 1
        self._timers.append(Timer(self.now + delay_s, ring))
        return self._timers[-1]

    @property
    def timers(self) -> int:
        """That will ring."""
        self._timers = [each for each in self._timers if not each.cancelled]
        return len(self._timers)

    def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and (first := min(self._timers, key=lambda each: each.at)).at <= until:
            self._timers.remove(first)
            self.now = max(self.now, first.at)
            first.ring()
        self.now = until


@dataclass
class Users:
    """ended: logins that are worth nothing; holding: no answer before it is set."""

    ended: set[str] = field(default_factory=set)
    fails: bool = False
    holding: asyncio.Event | None = None
    asked: list[list[SessionRef]] = field(default_factory=list)

    async def check_sessions(self, sessions: Sequence[SessionRef]) -> Sequence[bool]:
        self.asked.append(list(sessions))
        if self.holding is not None:
            await self.holding.wait()
        if self.fails:
            raise Unavailable("users can't be reached")
        return [each.session_id not in self.ended for each in sessions]


class House:
    def __init__(self) -> None:
        self.users, self.revocations, self.clock = Users(), Revocations(), Clock()
        self.sessions = OpenSessions(self.users, self.revocations, self.clock, self.clock.call_later)

    def enter(self, session_id: str = "s1", *, user_id: str = "u1", version: int = 1, in_s: int = 900) -> "Socket":
        return Socket(self, SessionRef(user_id, session_id, version, "user", BEGIN + in_s))

    def revoke(self, session_id: str = "", *, user_id: str = "u1", version: int = 1) -> None:
        self.revocations.note(
            Revocation(
                id="r", user_id=user_id, session_id=session_id, version=version, timestamp="2024-09-21T14:23:00Z"
            )
        )


class Socket:
    """heard: seconds of warnings, then (code, close code)."""

    def __init__(self, house: House, caller: SessionRef) -> None:
        self.heard: list[int | tuple[str, int]] = []
        self.watched: Watched = house.sessions.watch(caller, warn=self.heard.append, close=self._close)

    def _close(self, error: TickroomError) -> None:
        self.heard.append((error.code, close_code(error)))


EXPIRED = ("token_expired", 4401)
REVOKED = ("token_revoked", 4401)


# Time


async def test_a_minute_before_the_end_there_is_a_warning_and_then_the_end() -> None:
    house = House()
    socket = house.enter(in_s=900)
    house.clock.pass_by(839.9)
    assert socket.heard == []
    house.clock.pass_by(0.2)
    assert socket.heard == [60]
    house.clock.pass_by(59.8)
    assert socket.heard == [60]
    house.clock.pass_by(0.2)
    assert socket.heard == [60, EXPIRED]
    house.clock.pass_by(10_000)
    assert socket.heard == [60, EXPIRED]
    assert len(house.sessions) == 0
    assert house.clock.timers == 0


@pytest.mark.parametrize(("in_s", "heard"), [(20, [20]), (60, [60]), (1, [1]), (0, [EXPIRED]), (-4, [EXPIRED])])
async def test_with_less_than_a_minute_left_it_is_said_at_once(in_s: int, heard: list[object]) -> None:
    house = House()
    socket = house.enter(in_s=in_s)
    assert socket.heard == []  # not before the one who asks knows of it
    house.clock.pass_by(0)
    assert socket.heard == heard


async def test_a_fresh_token_starts_anew() -> None:
    house = House()
    socket = house.enter(in_s=900)
    house.clock.pass_by(850)
    socket.watched.renew(SessionRef("u1", "s1", 1, "user", BEGIN + 1750))
    house.clock.pass_by(800)
    assert socket.heard == [60]
    house.clock.pass_by(99)
    assert socket.heard == [60, 60]
    house.clock.pass_by(2)
    assert socket.heard == [60, 60, EXPIRED]


async def test_the_same_token_again_is_not_warned_of_again() -> None:
    house = House()
    socket = house.enter(in_s=900)
    house.clock.pass_by(850)
    socket.watched.renew(socket.watched.caller)
    house.clock.pass_by(49)
    assert socket.heard == [60]
    house.clock.pass_by(2)
    assert socket.heard == [60, EXPIRED]


async def test_the_token_of_somebody_else_is_refused_and_changes_nothing() -> None:
    house = House()
    socket = house.enter(in_s=100)
    with pytest.raises(Denied) as refused:
        socket.watched.renew(SessionRef("u2", "s2", 1, "user", BEGIN + 900))
    assert close_code(refused.value) == 4403
    house.clock.pass_by(101)
    assert socket.heard == [60, EXPIRED]


async def test_who_left_hears_nothing_and_what_is_said_later_is_without_effect() -> None:
    house = House()
    socket = house.enter(in_s=100)
    socket.watched.end()
    socket.watched.end()
    socket.watched.renew(SessionRef("u1", "s1", 1, "user", BEGIN + 900))
    await socket.watched.check()
    house.revoke("s1")
    house.clock.pass_by(2000)
    assert socket.heard == []
    assert len(house.sessions) == 0
    assert house.users.asked == []


async def test_one_whose_warning_ends_another_is_alone_with_it() -> None:
    house = House()
    first, second = house.enter(in_s=100), house.enter(in_s=100)
    for one, other in ((first, second), (second, first)):
        one.watched.warn = lambda _in_s, other=other: other.watched.end()  # type: ignore[misc]
    house.clock.pass_by(200)
    assert sorted([first.heard, second.heard]) == [[], [EXPIRED]]


async def test_a_clock_that_jumps_ahead_ends_what_is_over() -> None:
    house = House()
    socket = house.enter(in_s=900)
    house.clock.now += 5000  # without a timer having rung
    house.clock.pass_by(60)
    assert socket.heard == [EXPIRED]


async def test_thousands_that_are_idle_share_one_timer() -> None:
    house = House()
    sockets = [house.enter(f"s{number}", in_s=900 + number % 300) for number in range(20_000)]
    assert house.clock.timers == 1
    before = house.clock.set
    house.clock.pass_by(800)
    assert house.clock.timers == 1
    assert house.clock.set - before <= 800 / 60 + 1
    for socket in sockets:
        socket.watched.end()
    house.clock.pass_by(1000)
    assert house.clock.timers == 0
    assert {len(socket.heard) for socket in sockets} == {0}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "renew", "wait"]), st.integers(0, 200)), max_size=40))
async def test_whatever_happens_nobody_stays_longer_than_the_token(steps: list[tuple[str, int]]) -> None:
    house = House()
    inside: list[Socket] = []
    for step, number in steps:
        if step == "enter":
            inside.append(house.enter(in_s=int(house.clock.now) - BEGIN + number))
        elif step == "wait":
            house.clock.pass_by(number / 2)
        elif inside and step == "leave":
            inside.pop(number % len(inside)).watched.end()
        elif inside:
            until = int(house.clock.now) + number
            inside[number % len(inside)].watched.renew(SessionRef("u1", "s1", 1, "user", until))
        house.clock.pass_by(0)
        for socket in inside:
            left_s = socket.watched.caller.expires_at - house.clock.now
            assert (EXPIRED in socket.heard) == (left_s <= 0)
            assert bool(socket.heard) or left_s > 60
        inside = [socket for socket in inside if EXPIRED not in socket.heard]
        assert len(house.sessions) == len(inside)


# Logouts


async def test_the_end_of_a_login_closes_its_sockets_at_once_and_no_others() -> None:
    house = House()
    first, same, other, stranger = house.enter(), house.enter(), house.enter("s2"), house.enter("s9", user_id="u2")
    house.revoke("s1")
    assert [socket.heard for socket in (first, same, other, stranger)] == [[REVOKED], [REVOKED], [], []]
    house.revoke(version=2)
    assert [socket.heard for socket in (first, same, other, stranger)] == [[REVOKED], [REVOKED], [REVOKED], []]
    assert len(house.sessions) == 1


async def test_a_newer_version_outlives_the_end_of_the_older_ones() -> None:
    house = House()
    older, newer = house.enter(version=1), house.enter("s2", version=2)
    older.watched.renew(SessionRef("u1", "s2", 2, "user", BEGIN + 900))
    house.revoke(version=2)
    assert older.heard == newer.heard == []


async def test_what_was_revoked_between_verifying_and_joining_closes() -> None:
    house = House()
    house.revoke("s1")
    socket = house.enter("s1")
    assert socket.heard == []
    await asyncio.sleep(0)
    assert socket.heard == [REVOKED]


async def test_whoever_joins_asks_and_is_closed_where_the_login_ended() -> None:
    house = House()
    house.users.ended = {"s1"}
    first, second = house.enter("s1"), house.enter("s2")
    await asyncio.gather(first.watched.check(), second.watched.check())
    assert (first.heard, second.heard) == ([REVOKED], [])


async def test_a_storm_of_newcomers_asks_in_batches() -> None:
    house = House()
    house.users.holding = asyncio.Event()
    checks = [asyncio.create_task(house.enter("first").watched.check())]
    await asyncio.sleep(0.01)
    checks += [asyncio.create_task(house.enter(f"s{number}").watched.check()) for number in range(2500)]
    await asyncio.sleep(0.01)
    assert len(house.users.asked) == 1
    house.users.holding.set()
    await asyncio.gather(*checks)
    assert [len(batch) for batch in house.users.asked] == [1, 1000, 1000, 500]


async def test_one_who_gives_up_waiting_does_not_spoil_it_for_the_others() -> None:
    house = House()
    house.users.holding = asyncio.Event()
    house.users.ended = {"s1"}
    first, second = house.enter(), house.enter()
    impatient, patient = (asyncio.create_task(each.watched.check()) for each in (first, second))
    await asyncio.sleep(0)
    impatient.cancel()
    house.users.holding.set()
    await patient
    assert second.heard == [REVOKED]


async def test_everybody_is_asked_about_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.sessions.CHECK_EVERY_S", 0.01)
    house = House()
    sockets = [house.enter(f"s{number}", user_id=f"u{number % 7}") for number in range(1500)]
    running = asyncio.create_task(house.sessions.run())
    house.users.ended = {"s7", "s8"}
    async with asyncio.timeout(20):
        while not sockets[7].heard or not sockets[8].heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    running.cancel()
    assert [number for number, socket in enumerate(sockets) if socket.heard] == [7, 8]
    assert {len(batch) for batch in house.users.asked[:2]} == {1000, 500}


async def test_no_answer_is_no_verdict_and_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    socket = house.enter()
    house.users.ended = {"s1"}
    house.users.fails = True
    await socket.watched.check()
    await house.sessions.check_all()
    assert socket.heard == []
    assert caplog.text.count("can't be checked now") == 1
    house.users.fails = False
    await house.sessions.check_all()
    assert socket.heard == [REVOKED]


async def test_an_answer_about_an_older_token_does_not_end_the_new_login() -> None:
    house = House()
    house.users.holding = asyncio.Event()
    house.users.ended = {"s1"}
    socket = house.enter("s1")
    checking = asyncio.create_task(socket.watched.check())
    await asyncio.sleep(0.01)
    socket.watched.renew(SessionRef("u1", "s2", 2, "user", BEGIN + 900))
    house.users.holding.set()
    await checking
    assert socket.heard == []


async def test_with_nobody_inside_nobody_is_asked() -> None:
    house = House()
    await house.sessions.check_all()
    assert house.users.asked == []
