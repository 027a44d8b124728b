"""One suite for both caches: the memory of a process, and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.shared.cache import Cache, MemoryCache, RedisCache, open_cache
from services.shared.config import SharedSettings
from services.shared.errors import StartFailed, Unavailable


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


async def test_a_window_is_opened_once(cache: Cache) -> None:
    assert [(await cache.count("n", window_s=1)).total for _ in range(3)] == [1, 2, 3]
    await asyncio.sleep(1.1)
    assert (await cache.count("n", window_s=1)).total == 1


async def test_a_count_says_how_long_its_window_lasts(cache: Cache) -> None:
    first = await cache.count("n", window_s=60)
    second = await cache.count("n", window_s=60)
    assert (first.total, second.total) == (1, 2)
    assert 0 < second.left_s <= first.left_s <= 60


async def test_no_count_is_lost_among_many_at_once(cache: Cache) -> None:
    counted = await asyncio.gather(*(cache.count("n", window_s=60) for _ in range(300)))
    assert sorted(each.total for each in counted) == list(range(1, 301))


async def test_windows_that_are_counted_at_once_are_each_their_own(cache: Cache) -> None:
    long, short = await asyncio.gather(cache.count("long", window_s=60), cache.count("short", window_s=1))
    assert (long.total, short.total) == (1, 1)
    assert 1 < long.left_s <= 60
    assert 0 < short.left_s <= 1


async def test_who_no_longer_waits_for_a_count_holds_nobody_up(redis_url: str) -> None:
    cache = RedisCache(redis_url)
    leaving = asyncio.create_task(cache.count("n", window_s=60))
    staying = asyncio.create_task(cache.count("n", window_s=60))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).total == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await cache.count("n", window_s=60)).total == 3
    await cache.close()


async def test_a_close_leaves_nobody_waiting_for_a_count(redis_url: str) -> None:
    cache = RedisCache(redis_url)
    waiting = [asyncio.create_task(cache.count("n", window_s=60)) for _ in range(3)]
    await asyncio.sleep(0)
    await cache.close()
    done, pending = await asyncio.wait(waiting, timeout=10)
    assert (len(done), len(pending)) == (3, 0)


async def test_what_is_deleted_is_gone(cache: Cache) -> None:
    await cache.set("a", b"1", ttl_s=60)
    await cache.delete("a")
    assert await cache.get("a") is None


async def test_a_place_is_taken_under_every_key_or_under_none(cache: Cache) -> None:
    assert await cache.lease("a", {"user": 2, "address": 3}, ttl_s=60) is None
    assert await cache.lease("b", {"user": 2, "address": 3}, ttl_s=60) is None
    assert await cache.lease("c", {"address": 3, "user": 2}, ttl_s=60) == "user"
    assert await cache.lease("a", {"user": 2, "address": 3}, ttl_s=60) is None  # holds a place already
    assert await cache.lease("c", {"address": 3}, ttl_s=60) is None
    assert await cache.lease("d", {"address": 3}, ttl_s=60) == "address"
    await cache.keep([("user", "a"), ("address", "a"), ("user", "nobody")], 0)
    assert await cache.lease("d", {"user": 2, "address": 3}, ttl_s=60) is None
    assert await cache.lease("e", {"user": 2}, ttl_s=60) == "user"


async def test_a_lease_that_nobody_keeps_runs_out(cache: Cache) -> None:
    assert await cache.lease("a", {"user": 2}, ttl_s=0.3) is None
    assert await cache.lease("b", {"user": 2}, ttl_s=0.3) is None
    for _ in range(3):
        await asyncio.sleep(0.15)
        await cache.keep([("user", "a")], 0.3)
    assert await cache.lease("c", {"user": 2}, ttl_s=0.3) is None
    assert await cache.lease("d", {"user": 2}, ttl_s=0.3) == "user"


async def test_a_lease_is_kept_also_where_the_server_forgot_it(cache: Cache) -> None:
    await cache.keep([("user", f"h{number}") for number in range(2500)], 60)
    assert await cache.lease("more", {"user": 2500}, ttl_s=60) == "user"
    await cache.keep([("user", "h7")], 0)
    assert await cache.lease("more", {"user": 2500}, ttl_s=60) is None


@pytest.mark.parametrize("sharing", [1, 2])
async def test_many_at_once_get_exactly_what_there_is(redis_url: str, sharing: int) -> None:
    caches = [RedisCache(redis_url) for _ in range(sharing)]
    asked = [caches[n % sharing].lease(f"h{n}", {"address": 20, "user": 30}, ttl_s=60) for n in range(60)]
    answers = await asyncio.gather(*asked)
    assert answers.count(None) == 20
    assert set(answers) == {None, "address"}
    for each in caches:
        await each.close()


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.cache._MOST_KEYS", 3)
    cache = MemoryCache()
    for number in range(5):
        await cache.set(str(number), b"x", ttl_s=60)
    assert [await cache.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]


async def test_a_server_that_is_away_is_unavailable() -> None:
    cache = RedisCache("redis://127.0.0.1:1/0")
    calls = [
        cache.get("a"),
        cache.set("a", b"1", 1),
        cache.count("a", 1),
        cache.delete("a"),
        cache.lease("me", {"a": 1}, 1.0),
        cache.keep([("a", "me")], 1.0),
        cache.ping(),
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in answers] == [Unavailable] * len(calls)
    await cache.close()


async def test_without_a_server_the_start_fails_in_one_line_without_the_password() -> None:
    settings = SharedSettings(redis_url=SecretStr("redis://:pass-word@127.0.0.1:1/0"), start_timeout_s=0.1)
    with pytest.raises(StartFailed, match=r"^REDIS_URL: ") as failure:
        await open_cache(settings)
    assert "pass-word" not in failure.value.detail
