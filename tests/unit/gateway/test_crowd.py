"""How many may be here, and how fast they may come in."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from services.gateway.backends import SessionRef
from services.gateway.config import Settings
from services.gateway.crowd import Crowd
from services.gateway.handshake import Visitor
from services.gateway.replies import close_code, close_reason
from services.shared.cache import Cache, MemoryCache
from services.shared.errors import TooMany, Unavailable
from tests.unit.gateway.serving import until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Sick(MemoryCache):
    """A cache that fails while it is `sick`, never answers while it is `mute`, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._well = MemoryCache()
        self.sick = self.mute = False
        self.asked = 0

    async def lease(self, holder: str, places: Mapping[str, int], ttl_s: float) -> str | None:
        await self._answer()
        return await self._well.lease(holder, places, ttl_s)

    async def keep(self, leases: Sequence[tuple[str, str]], ttl_s: float) -> None:
        await self._answer()
        await self._well.keep(leases, ttl_s)

    async def _answer(self) -> None:
        self.asked += 1
        if self.mute:
            await asyncio.Event().wait()
        if self.sick:
            raise OSError("connection refused")


def visitor(user_id: str | None = None, address: str = "192.0.2.7") -> Visitor:
    caller = None if user_id is None else SessionRef(user_id, "s1", 1, "user", 2_000_000_000)
    return Visitor(caller, address, extended=False, subprotocol=None, hold=False, owes_token=False)


def crowd(cache: Cache | None = None, clock: Clock | None = None, **settings: Any) -> Crowd:
    return Crowd(Settings(_env_file=None, **settings), cache or MemoryCache(), clock=clock or Clock())


@asynccontextmanager
async def full(house: Crowd, count: int, who: Visitor) -> AsyncIterator[None]:
    async with AsyncExitStack() as inside:
        for _ in range(count):
            await inside.enter_async_context(house.admit(who))
        yield


async def refuses(house: Crowd, who: Visitor) -> None:
    with pytest.raises(TooMany) as refused:
        async with house.admit(who):
            raise AssertionError("was let in")
    assert (refused.value.code, close_code(refused.value)) == ("too_many_connections", 4409)


async def admits(house: Crowd, who: Visitor) -> None:
    async with house.admit(who):
        pass


# Places


async def test_over_the_limit_of_an_address_the_new_one_is_refused() -> None:
    house = crowd(max_connections_per_address=3)
    async with full(house, 3, visitor()):
        await refuses(house, visitor())
        await refuses(house, visitor("u1"))
        await admits(house, visitor(address="192.0.2.8"))
    await admits(house, visitor())


async def test_over_the_limit_of_a_user_the_new_one_is_refused_wherever_it_comes_from() -> None:
    house = crowd(max_connections_per_user=2)
    async with full(house, 2, visitor("u1")):
        await refuses(house, visitor("u1", address="192.0.2.8"))
        await admits(house, visitor("u2"))
        await admits(house, visitor())
    await admits(house, visitor("u1"))


async def test_zero_is_no_limit_and_nothing_is_counted() -> None:
    cache = Sick()
    house = crowd(cache, max_connections_per_user=0, max_connections_per_address=0)
    async with full(house, 100, visitor("u1")):
        await house.keep()
    assert cache.asked == 0


async def test_who_says_later_whose_it_is_counts_from_then_on() -> None:
    house = crowd(max_connections_per_user=2)
    caller = visitor("u1").caller
    assert caller is not None
    async with full(house, 1, visitor("u1")), house.admit(visitor()) as place:
        await place.belongs_to(caller)
        await place.belongs_to(caller)  # again: a fresh token
        await refuses(house, visitor("u1"))
        async with house.admit(visitor()) as late:
            with pytest.raises(TooMany):
                await late.belongs_to(caller)
    async with full(house, 2, visitor("u1")):
        pass


async def test_whoever_was_known_from_the_start_is_not_counted_twice() -> None:
    house = crowd(max_connections_per_user=1)
    known = visitor("u1")
    assert known.caller is not None
    async with house.admit(known) as place:
        await place.belongs_to(known.caller)


async def test_a_crowd_at_once_gets_exactly_what_there_is() -> None:
    house, inside, refused = crowd(max_connections_per_address=20, max_connections_per_user=0), 0, 0
    leaving = asyncio.Event()

    async def come() -> None:
        nonlocal inside, refused
        try:
            async with house.admit(visitor("u1")):
                inside += 1
                await leaving.wait()
        except TooMany:
            refused += 1

    coming = [asyncio.create_task(come()) for _ in range(100)]
    await until(lambda: inside + refused == 100)
    assert (inside, refused) == (20, 80)
    leaving.set()
    await asyncio.gather(*coming)
    await admits(house, visitor("u1"))


async def test_places_are_given_back_whatever_ends_a_visit() -> None:
    house = crowd(max_connections_per_address=1)
    with pytest.raises(RuntimeError):
        async with house.admit(visitor()):
            raise RuntimeError("the room broke")
    visiting = asyncio.create_task(asyncio.Event().wait())

    async def stay() -> None:
        async with house.admit(visitor()):
            await visiting

    staying = asyncio.create_task(stay())
    await asyncio.sleep(0.01)
    await refuses(house, visitor())
    staying.cancel()
    await asyncio.gather(staying, return_exceptions=True)
    await admits(house, visitor())


async def test_who_gives_up_while_the_cache_is_asked_leaves_no_place_taken() -> None:
    cache = Sick()
    house = crowd(cache, max_connections_per_address=1)
    cache.mute = True
    coming = asyncio.create_task(admits(house, visitor()))
    await asyncio.sleep(0.01)
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    cache.mute = False
    await admits(house, visitor())


# The cache that replicas share


async def test_replicas_count_together() -> None:
    cache = MemoryCache()
    here, there = (crowd(cache, max_connections_per_user=3) for _ in range(2))
    async with full(here, 2, visitor("u1")), full(there, 1, visitor("u1")):
        await refuses(here, visitor("u1"))
        await refuses(there, visitor("u1"))
    await asyncio.sleep(0.01)
    async with full(there, 3, visitor("u1")):
        await refuses(here, visitor("u1"))


async def test_places_of_many_that_leave_together_are_given_back_together() -> None:
    cache = Sick()
    house = crowd(cache, max_connections_per_address=0, max_connections_per_user=500)
    async with full(house, 500, visitor("u1")):
        assert cache.asked == 500
    await until(lambda: cache.asked > 500)
    await asyncio.sleep(0.01)
    assert cache.asked == 501
    other = crowd(cache, max_connections_per_address=0, max_connections_per_user=500)
    async with full(other, 500, visitor("u1")):
        pass


async def test_leases_are_kept_as_long_as_sockets_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.crowd.LEASE_S", 0.2)
    monkeypatch.setattr("services.gateway.crowd.KEEP_EVERY_S", 0.02)
    cache = MemoryCache()
    here, there = (crowd(cache, max_connections_per_user=2) for _ in range(2))
    keeping = asyncio.create_task(here.run())
    async with full(here, 2, visitor("u1")):
        await asyncio.sleep(0.5)
        await refuses(there, visitor("u1"))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.sleep(0.3)  # as if it had crashed
        await admits(there, visitor("u1"))


async def test_the_end_of_a_process_gives_its_places_back() -> None:
    cache = MemoryCache()
    here, there = (crowd(cache, max_connections_per_user=2) for _ in range(2))
    keeping = asyncio.create_task(here.run())
    async with full(here, 2, visitor("u1")):
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    async with full(there, 2, visitor("u1")):
        pass


async def test_without_the_cache_each_process_counts_for_itself_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache, clock = Sick(), Clock()
    cache.sick = True
    house = crowd(cache, clock, max_connections_per_user=2)
    for _ in range(3):
        async with full(house, 2, visitor("u1")):
            await refuses(house, visitor("u1"))
        clock.now += 10.0
    assert caplog.text.count("counted by each process for itself") == 1
    clock.now += 100.0
    await admits(house, visitor("u1"))
    assert caplog.text.count("counted by each process for itself") == 2


async def test_a_cache_that_is_away_is_not_asked_for_each_socket_again() -> None:
    cache, clock = Sick(), Clock()
    cache.sick = True
    house = crowd(cache, clock, max_connections_per_address=100)
    async with full(house, 50, visitor()):
        assert cache.asked == 1
        cache.sick = False
        clock.now = 6.0
        await house.keep()  # tells of everybody who came meanwhile
        other = crowd(cache, clock, max_connections_per_address=51)
        async with full(other, 1, visitor()):
            await refuses(other, visitor())


async def test_a_cache_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.crowd._PATIENCE_S", 0.01)
    cache = Sick()
    cache.mute = True
    house = crowd(cache)
    await asyncio.wait_for(admits(house, visitor("u1")), 10)


# How fast


def busy(house: Crowd) -> float | None:
    """Knocks; in how many seconds to come back, None where one is let in."""
    try:
        house.knock()
    except Unavailable as refused:
        return refused.retry_after_s
    return None


async def test_more_than_the_rate_are_told_when_to_come_back() -> None:
    clock, chances = Clock(), random.Random(7)
    house = Crowd(
        Settings(_env_file=None, max_handshakes_per_second=100), MemoryCache(), clock=clock, chance=chances.random
    )
    waits = [wait for _ in range(1000) if (wait := busy(house)) is not None]
    assert len(waits) == 900
    assert min(waits) >= 0.2
    assert max(waits) <= 10.5
    for second in range(10):  # who obeys is not a storm again
        assert sum(second <= wait < second + 1 for wait in waits) < 130
    with pytest.raises(Unavailable) as refused:
        house.knock()
    assert (refused.value.code, close_code(refused.value)) == ("busy", 1013)
    assert "retry_after_ms=" in close_reason(refused.value)
    clock.now = 1.0
    assert busy(house) is None


async def test_a_storm_that_obeys_is_in_soon() -> None:
    clock, chances = Clock(), random.Random(7)
    house = Crowd(
        Settings(_env_file=None, max_handshakes_per_second=100), MemoryCache(), clock=clock, chance=chances.random
    )
    coming = sorted(0.001 * number for number in range(1000))
    tries = 0
    while coming:
        clock.now = coming.pop(0)
        tries += 1
        if (wait := busy(house)) is not None:
            coming = sorted([*coming, clock.now + wait])
    assert clock.now < 15.0
    assert tries < 3000


async def test_zero_is_no_limit_of_the_rate() -> None:
    house = crowd(max_handshakes_per_second=0)
    for _ in range(10_000):
        house.knock()


async def test_nobody_is_let_in_where_everybody_is_being_shown_out() -> None:
    def draining() -> None:
        raise Unavailable("this gateway is stopping", code="draining", retry_after_s=1.0)

    house = Crowd(Settings(_env_file=None), MemoryCache(), draining=draining)
    with pytest.raises(Unavailable) as refused:
        house.knock()
    assert close_code(refused.value) == 4503
