"""A small cache with lifetimes: Redis where REDIS_URL is set (replicas agree), else the memory of this process."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from services.shared.config import SharedSettings
from services.shared.errors import StartFailed, Unavailable

_MOST_KEYS = 100_000
_MOST_CONNECTIONS = 64  # of one process to the server; whoever finds all in use waits for one

_COUNT: Final = """
local counted = {}
for number, key in ipairs(KEYS) do
    local total = redis.call('INCR', key)
    if total == 1 then redis.call('PEXPIRE', key, ARGV[number]) end
    counted[number] = {total, redis.call('PTTL', key)}
end
return counted
"""

_LEASE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder, ttl = ARGV[1], tonumber(ARGV[2])
for number, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[2 + number]) and not redis.call('ZSCORE', key, holder) then
        return number
    end
end
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ttl, holder)
    redis.call('PEXPIRE', key, ttl)
end
return 0
"""
"""Holders of a key stand in a sorted set by when their leases run out, in ms of the server's clock."""

_KEEP: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[1])
for number, key in ipairs(KEYS) do
    if ttl > 0 then
        redis.call('ZADD', key, now + ttl, ARGV[1 + number])
        redis.call('PEXPIRE', key, ttl)
    else
        redis.call('ZREM', key, ARGV[1 + number])
    end
end
"""
_MOST_AT_ONCE: Final = 1000  # the server does nothing else meanwhile


class Counted(NamedTuple):
    """How often a key was counted in its window, and how long that window still lasts."""

    total: int
    left_s: float


class Cache(Protocol):
    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl_s: int) -> None: ...

    async def count(self, key: str, window_s: int) -> Counted:
        """Adds one; the first one opens the window, at whose end the key counts from one again."""
        ...

    async def delete(self, key: str) -> None: ...

    async def lease(self, holder: str, places: Mapping[str, int], ttl_s: float) -> str | None:
        """Takes one place under each key, or none at all. places: how many each key has.

        A lease that nobody keeps runs out after `ttl_s` seconds (the same for all of a key). Returns the first key
        that is full, None where all went well.
        """
        ...

    async def keep(self, leases: Sequence[tuple[str, str]], ttl_s: float) -> None:
        """Holds these (key, holder) for `ttl_s` seconds from now, also those that ran out; 0 ends them."""
        ...

    async def close(self) -> None: ...


class MemoryCache:
    """At most 100,000 keys: beyond that the ones longest unused go first."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._leases: dict[str, dict[str, float]] = {}

    async def get(self, key: str) -> bytes | None:
        found = self._items.get(key)
        if found is None or found[0] <= time.monotonic():
            return None
        self._items.move_to_end(key)
        return found[1]

    async def set(self, key: str, value: bytes, ttl_s: int) -> None:
        self._put(key, time.monotonic() + ttl_s, value)

    async def count(self, key: str, window_s: int) -> Counted:
        now, found = time.monotonic(), self._items.get(key)
        until, before = found if found is not None and found[0] > now else (now + window_s, b"0")
        total = int(before) + 1
        self._put(key, until, b"%d" % total)
        return Counted(total, until - now)

    async def delete(self, key: str) -> None:
        self._items.pop(key, None)

    async def lease(self, holder: str, places: Mapping[str, int], ttl_s: float) -> str | None:
        for key, most in places.items():
            held = self._leases.get(key, {})
            if len(held) >= most:
                self._forget_late(key, held)
            if len(held) >= most and holder not in held:
                return key
        await self.keep([(key, holder) for key in places], ttl_s)
        return None

    async def keep(self, leases: Sequence[tuple[str, str]], ttl_s: float) -> None:
        until = time.monotonic() + ttl_s
        for key, holder in leases:
            held = self._leases.setdefault(key, {})
            held.pop(holder, None)
            if ttl_s > 0:
                held[holder] = until
            elif not held:
                del self._leases[key]

    def _forget_late(self, key: str, held: dict[str, float]) -> None:
        now = time.monotonic()
        for holder in [each for each, until in held.items() if until <= now]:
            del held[holder]
        if not held:
            self._leases.pop(key, None)

    async def close(self) -> None:
        self._items.clear()
        self._leases.clear()

    def _put(self, key: str, until: float, value: bytes) -> None:
        self._items[key] = (until, value)
        self._items.move_to_end(key)
        while len(self._items) > _MOST_KEYS:
            self._items.popitem(last=False)


class _ToCount(NamedTuple):
    key: str
    window_ms: int
    answer: asyncio.Future[Counted]


class RedisCache:
    """Keys stand under `tickroom:`. Every call raises Unavailable where the server does not answer."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import BlockingConnectionPool, Redis  # 0.4 s to import: only where there is a server
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as NotConnected
        from redis.exceptions import RedisError

        self._failures = (RedisError, OSError)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=2.0,
            socket_timeout=2.0,
            socket_connect_timeout=2.0,
            retry=Retry(NoBackoff(), 1, (NotConnected,)),  # a restarted server has closed every connection of before
        )
        self._redis = Redis.from_pool(pool)
        self._to_count: list[_ToCount] = []
        self._counting: asyncio.Task[None] | None = None
        self._count = self._redis.register_script(_COUNT)
        self._lease, self._keep = self._redis.register_script(_LEASE), self._redis.register_script(_KEEP)

    async def get(self, key: str) -> bytes | None:
        with self._asking():
            found = await self._redis.get(f"tickroom:{key}")
        return found.encode() if isinstance(found, str) else found

    async def set(self, key: str, value: bytes, ttl_s: int) -> None:
        with self._asking():
            await self._redis.set(f"tickroom:{key}", value, ex=ttl_s)

    async def count(self, key: str, window_s: int) -> Counted:
        answer: asyncio.Future[Counted] = asyncio.get_running_loop().create_future()
        self._to_count.append(_ToCount(f"tickroom:{key}", window_s * 1000, answer))
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_all())
        return await answer

    async def delete(self, key: str) -> None:
        with self._asking():
            await self._redis.delete(f"tickroom:{key}")

    async def lease(self, holder: str, places: Mapping[str, int], ttl_s: float) -> str | None:
        names = [f"tickroom:{key}" for key in places]
        with self._asking():
            full = await self._lease(keys=names, args=[holder, _ms(ttl_s), *places.values()])
        return list(places)[int(full) - 1] if full else None

    async def keep(self, leases: Sequence[tuple[str, str]], ttl_s: float) -> None:
        for begin in range(0, len(leases), _MOST_AT_ONCE):
            some = leases[begin : begin + _MOST_AT_ONCE]
            with self._asking():
                await self._keep(
                    keys=[f"tickroom:{key}" for key, _ in some], args=[_ms(ttl_s), *(each for _, each in some)]
                )

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
        for each in self._to_count:
            each.answer.cancel()
        await self._redis.aclose()

    async def ping(self) -> None:
        with self._asking():
            await self._redis.ping()

    async def _count_all(self) -> None:
        """Whoever comes while an answer is on its way goes with the next question: alone each would cost more than
        the request that it counts."""
        try:
            while self._to_count:
                some, self._to_count = self._to_count[:_MOST_AT_ONCE], self._to_count[_MOST_AT_ONCE:]
                await self._count_some(some)
        finally:
            self._counting = None

    async def _count_some(self, some: Sequence[_ToCount]) -> None:
        waiting = [each.answer for each in some]
        try:
            with self._asking():
                found = await self._count(keys=[each.key for each in some], args=[each.window_ms for each in some])
        except Exception as error:
            for answer in _undone(waiting):
                answer.set_exception(error)
        else:
            for answer, (total, left_ms) in zip(waiting, found, strict=True):
                if not answer.done():
                    answer.set_result(Counted(int(total), max(0, int(left_ms)) / 1000))
        finally:
            for answer in _undone(waiting):
                answer.cancel()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            what = type(error).__name__
            raise Unavailable(f"the cache does not answer ({what})", code="cache_away", retry_after_s=1.0) from error


def _undone(answers: Sequence[asyncio.Future[Counted]]) -> Iterator[asyncio.Future[Counted]]:
    return (each for each in answers if not each.done())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


async def open_cache(settings: SharedSettings) -> Cache:
    """The cache by REDIS_URL. Raises StartFailed where that server does not answer within `start_timeout_s`."""
    if settings.redis_url is None:
        return MemoryCache()
    cache = RedisCache(settings.redis_url.get_secret_value())
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        try:
            await cache.ping()
            return cache
        except Unavailable as error:
            if time.monotonic() >= deadline:
                await cache.close()
                raise StartFailed(f"REDIS_URL: no Redis answers there: {type(error.__cause__).__name__}") from None
            await asyncio.sleep(0.5)
