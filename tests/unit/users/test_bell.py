"""Waking one another up inside one process."""

import asyncio

from services.users.bell import Bell, Takings


async def test_rings_before_the_wait_are_kept_as_one() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    await asyncio.wait_for(bell.wait(60.0), 1.0)
    silent = asyncio.create_task(bell.wait(60.0))
    await asyncio.sleep(0)
    assert not silent.done()
    bell.ring()
    await asyncio.wait_for(silent, 1.0)


async def test_a_wait_ends_without_a_ring() -> None:
    await Bell().wait(0.0)


async def test_only_those_who_wait_for_a_rule_hear_of_it() -> None:
    takings = Takings()
    with takings.of("one") as one, takings.of("two") as two:
        takings.tell(["one", "nobody"])
        await asyncio.wait_for(one.wait(60.0), 1.0)
        silent = asyncio.create_task(two.wait(60.0))
        await asyncio.sleep(0)
        assert not silent.done()
        silent.cancel()
    takings.tell(["one", "two"])
