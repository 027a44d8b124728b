"""One suite for both caches: the memory of a process, and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.shared.cache import Cache, MemoryCache, RedisCache, open_cache
from services.shared.config import SharedSettings
from services.shared.errors import StartFailed


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    opened: Cache = MemoryCache() if request.param == "memory" else RedisCache(request.getfixturevalue("redis_url"))
    yield opened
    await opened.close()


async def test_a_value_lives_until_its_time_is_up(cache: Cache) -> None:
    assert await cache.get("a") is None
    await cache.set("a", b"1", ttl_s=1)
    assert await cache.get("a") == b"1"
    await asyncio.sleep(1.1)
    assert await cache.get("a") is None


async def test_a_count_starts_its_lifetime_once(cache: Cache) -> None:
    assert [await cache.incr("n", ttl_s=1) for _ in range(3)] == [1, 2, 3]
    await asyncio.sleep(1.1)
    assert await cache.incr("n", ttl_s=1) == 1


async def test_what_is_deleted_is_gone(cache: Cache) -> None:
    await cache.set("a", b"1", ttl_s=60)
    await cache.delete("a")
    assert await cache.get("a") is None


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.cache._MOST_KEYS", 3)
    cache = MemoryCache()
    for number in range(5):
        await cache.set(str(number), b"x", ttl_s=60)
    assert [await cache.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]


async def test_without_a_server_the_start_fails_in_one_line_without_the_password() -> None:
    settings = SharedSettings(redis_url=SecretStr("redis://:pass-word@127.0.0.1:1/0"), start_timeout_s=0.1)
    with pytest.raises(StartFailed, match=r"^REDIS_URL: ") as failure:
        await open_cache(settings)
    assert "pass-word" not in failure.value.detail
