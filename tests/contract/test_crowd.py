"""Places that replicas share, on a real Redis: also one that is stopped, hangs, and comes back empty."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from services.gateway.backends import SessionRef
from services.gateway.config import Settings
from services.gateway.crowd import Crowd
from services.gateway.handshake import Visitor
from services.shared.cache import RedisCache
from services.shared.errors import TooMany
from tests.servers.redis import RedisServer

WHO = Visitor(
    SessionRef("u1", "s1", 1, "user", 2_000_000_000),
    "192.0.2.7",
    extended=False,
    subprotocol=None,
    hold=False,
    owes_token=False,
)


@asynccontextmanager
async def replicas(url: str, count: int = 2, **settings: Any) -> AsyncIterator[list[Crowd]]:
    caches = [RedisCache(url) for _ in range(count)]
    crowds = [Crowd(Settings(_env_file=None, **settings), cache) for cache in caches]
    running = [asyncio.create_task(crowd.run()) for crowd in crowds]
    await asyncio.sleep(0)
    yield crowds
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for cache in caches:
        await cache.close()


async def fill(inside: AsyncExitStack, crowd: Crowd, most: int = 1000) -> int:
    """How many more got in before one was refused."""
    for count in range(most):
        try:
            await inside.enter_async_context(crowd.admit(WHO))
        except TooMany:
            return count
    return most


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_replicas_never_let_in_more_than_the_limit_together(redis_url: str) -> None:
    async with replicas(redis_url, 3, max_connections_per_user=5) as crowds, AsyncExitStack() as inside:
        got_in = await asyncio.gather(*(fill(inside, crowds[number % 3]) for number in range(9)))
        assert sum(got_in) == 5
    async with replicas(redis_url, 1, max_connections_per_user=5) as (crowd,), AsyncExitStack() as inside:
        assert await fill(inside, crowd) == 5


async def test_whoever_leaves_one_replica_makes_room_at_another(redis_url: str) -> None:
    async with replicas(redis_url, max_connections_per_user=2) as (here, there):
        async with AsyncExitStack() as inside:
            assert await fill(inside, here) == 2
            assert await fill(inside, there) == 0
        async with asyncio.timeout(10), AsyncExitStack() as inside:
            while not await fill(inside, there):  # noqa: ASYNC110 (the other replica tells nobody)
                await asyncio.sleep(0.01)


async def test_the_places_of_a_replica_that_crashed_run_out(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.crowd.LEASE_S", 0.3)
    async with (
        replicas(redis_url, max_connections_per_user=2) as (crashed, other),
        AsyncExitStack() as lost,
        AsyncExitStack() as inside,
    ):
        assert await fill(lost, crashed) == 2
        assert await fill(inside, other) == 0
        await asyncio.sleep(0.4)
        assert await fill(inside, other) == 2


async def test_a_server_that_comes_back_empty_is_told_again(own_redis: RedisServer) -> None:
    async with replicas(own_redis.url, max_connections_per_user=3) as (here, there), AsyncExitStack() as inside:
        assert await fill(inside, here, 2) == 2
        own_redis.empty()
        await here.keep()
        assert await fill(inside, there) == 1


async def test_without_the_server_each_process_counts_for_itself(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.gateway.crowd._ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("services.gateway.crowd._PATIENCE_S", 0.2)
    async with replicas(own_redis.url, max_connections_per_user=3) as (here, there), AsyncExitStack() as inside:
        assert await fill(inside, here, 1) == 1
        own_redis.stop()
        assert await fill(inside, here) == 2
        assert await fill(inside, there) == 3
        assert caplog.text.count("counted by each process for itself") == 2
        assert str(own_redis.port) not in caplog.text


async def test_a_server_that_hangs_holds_nobody_up(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.crowd._PATIENCE_S", 0.2)
    monkeypatch.setattr("services.gateway.crowd._ASK_AGAIN_S", 0.2)
    async with replicas(own_redis.url, max_connections_per_user=3) as (here, there), AsyncExitStack() as inside:
        assert await fill(inside, here, 1) == 1
        os.kill(own_redis.pid, signal.SIGSTOP)
        async with asyncio.timeout(10):
            assert await fill(inside, here, 1) == 1
        os.kill(own_redis.pid, signal.SIGCONT)
        await asyncio.sleep(0.3)
        await here.keep()
        assert await fill(inside, there) == 1
