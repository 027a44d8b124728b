"""How everybody is shown out."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.gateway.drain import Drain
from services.gateway.replies import close_code, close_reason
from services.shared.errors import TickroomError, Unavailable
from tests.unit.gateway.serving import until


class Socket:
    """Notes what it was closed with, and when, in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.closed: list[tuple[float, TickroomError]] = []

    def close(self, error: TickroomError) -> None:
        self.closed.append((self._clock(), error))


class Turns:
    """A clock that goes on by what somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._sleep = asyncio.sleep
        monkeypatch.setattr("services.gateway.drain.asyncio.sleep", self._pass)

    def __call__(self) -> float:
        return self.now

    async def _pass(self, seconds: float) -> None:
        self.now += seconds
        await self._sleep(0)


async def test_with_nobody_in_it_the_house_is_empty_at_once() -> None:
    drain = Drain(600.0)
    drain.check()
    await asyncio.wait_for(drain.empty(), 10)
    assert drain.draining


async def test_newcomers_are_sent_on_with_a_time_of_their_own() -> None:
    chances = iter([0.0, 0.5])
    drain = Drain(4.0, chance=lambda: next(chances))
    await drain.empty()
    waits = []
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            drain.check()
        assert close_code(refused.value) == 4503
        waits.append(close_reason(refused.value))
    assert waits == ["retry_after_ms=500", "retry_after_ms=2500"]


async def test_goodbyes_are_spread_evenly_and_each_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Turns(monkeypatch)
    drain = Drain(5.0, clock=clock)
    sockets = [Socket(clock) for _ in range(1000)]
    with ExitStack() as house:
        rooms = [house.enter_context(ExitStack()) for _ in sockets]
        for socket, room in zip(sockets, rooms, strict=True):
            room.enter_context(drain.open(socket.close))
        assert drain.sockets == 1000
        emptying = asyncio.create_task(drain.empty())
        await until(lambda: all(socket.closed for socket in sockets))
        assert not emptying.done()
    await asyncio.wait_for(emptying, 10)
    assert drain.sockets == 0
    assert {len(socket.closed) for socket in sockets} == {1}
    assert {close_code(socket.closed[0][1]) for socket in sockets} == {4503}
    moments = sorted(socket.closed[0][0] for socket in sockets)
    assert moments[-1] <= 4.0
    for number, moment in enumerate(moments):
        assert abs(moment - 4.0 * number / 1000) <= 0.1
    assert len({socket.closed[0][1].retry_after_s for socket in sockets}) > 900


async def test_who_leaves_before_the_goodbye_hears_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Turns(monkeypatch)
    drain = Drain(5.0, clock=clock)
    first, second = Socket(clock), Socket(clock)
    with drain.open(first.close):
        emptying = asyncio.create_task(drain.empty())
        with drain.open(second.close):
            pass
        await until(lambda: bool(first.closed))
    await emptying
    assert second.closed == []


async def test_who_was_let_in_just_before_gets_the_goodbye_on_entering() -> None:
    drain = Drain(0.0)
    await drain.empty()
    late = Socket(lambda: 0.0)
    with drain.open(late.close):
        assert len(late.closed) == 1


async def test_one_that_can_not_be_closed_does_not_spare_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_error: TickroomError) -> None:
        raise RuntimeError("no")

    drain, fine = Drain(0.0), Socket(lambda: 0.0)
    with drain.open(broken), drain.open(fine.close):
        await drain.empty()
    assert len(fine.closed) == 1
    assert "a socket could not be closed" in caplog.text


async def test_who_is_sent_back_is_so_at_a_moment_of_their_own_and_the_house_stays_open() -> None:
    chances = iter([0.0, 0.5])
    drain = Drain(4.0, chance=lambda: next(chances))
    sockets = [Socket(lambda: 0.0) for _ in range(2)]

    def lost(retry_after_s: float) -> TickroomError:
        return Unavailable("lost", code="position_lost", retry_after_s=retry_after_s)

    with drain.open(sockets[0].close), drain.open(sockets[1].close):
        drain.send_back(lost)
    told = [each.closed[0][1] for each in sockets]
    assert [(close_code(each), close_reason(each)) for each in told] == [
        (4502, "position_lost retry_after_ms=0"),
        (4502, "position_lost retry_after_ms=1000"),
    ]
    drain.check()


async def test_requests_in_hand_are_waited_for_and_others_are_not() -> None:
    answered = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await answered.wait()

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    async def send(_message: Message) -> None:
        raise AssertionError("nobody answers")

    async def ask(kind: str) -> None:
        await app({"type": kind}, receive, send)

    drain = Drain(60.0)
    app = drain.around(slow)
    request = asyncio.create_task(ask("http"))
    socket = asyncio.create_task(ask("websocket"))
    await asyncio.sleep(0)
    emptying = asyncio.create_task(drain.empty())
    await asyncio.sleep(0.05)
    assert not emptying.done()
    answered.set()
    await asyncio.wait_for(emptying, 10)
    await asyncio.gather(request, socket)


async def test_who_never_leaves_holds_nobody_up_for_longer_than_the_time_given() -> None:
    drain, stuck = Drain(0.05), Socket(lambda: 0.0)
    with drain.open(stuck.close):
        await asyncio.wait_for(drain.empty(), 10)
        assert drain.sockets == 1
    assert len(stuck.closed) == 1
