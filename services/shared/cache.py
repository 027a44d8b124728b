"""A small cache with lifetimes: Redis where REDIS_URL is set (replicas agree), else the memory of this process."""

import asyncio
import time
from collections import OrderedDict
from typing import Protocol

from services.shared.config import SharedSettings
from services.shared.errors import StartFailed

_MOST_KEYS = 100_000


class Cache(Protocol):
    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl_s: int) -> None: ...

    async def incr(self, key: str, ttl_s: int) -> int:
        """Adds one and returns the sum; the first one starts the lifetime of `ttl_s` seconds."""
        ...

    async def delete(self, key: str) -> None: ...

    async def close(self) -> None: ...


class MemoryCache:
    """At most 100,000 keys: beyond that the ones longest unused go first."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        found = self._items.get(key)
        if found is None or found[0] <= time.monotonic():
            return None
        self._items.move_to_end(key)
        return found[1]

    async def set(self, key: str, value: bytes, ttl_s: int) -> None:
        self._put(key, time.monotonic() + ttl_s, value)

    async def incr(self, key: str, ttl_s: int) -> int:
        found = self._items.get(key)
        until, count = found if found is not None and found[0] > time.monotonic() else (time.monotonic() + ttl_s, b"0")
        total = int(count) + 1
        self._put(key, until, str(total).encode())
        return total

    async def delete(self, key: str) -> None:
        self._items.pop(key, None)

    async def close(self) -> None:
        self._items.clear()

    def _put(self, key: str, until: float, value: bytes) -> None:
        self._items[key] = (until, value)
        self._items.move_to_end(key)
        while len(self._items) > _MOST_KEYS:
            self._items.popitem(last=False)


class RedisCache:
    """Keys stand under `tickroom:`. Raises redis.RedisError where the server does not answer."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis  # 0.4 s to import: only where there is a server

        self._redis = Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)

    async def get(self, key: str) -> bytes | None:
        found = await self._redis.get(f"tickroom:{key}")
        return found.encode() if isinstance(found, str) else found

    async def set(self, key: str, value: bytes, ttl_s: int) -> None:
        await self._redis.set(f"tickroom:{key}", value, ex=ttl_s)

    async def incr(self, key: str, ttl_s: int) -> int:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(f"tickroom:{key}", 0, ex=ttl_s, nx=True)
            pipe.incr(f"tickroom:{key}")
            _, total = await pipe.execute()
        return int(total)

    async def delete(self, key: str) -> None:
        await self._redis.delete(f"tickroom:{key}")

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        await self._redis.ping()


async def open_cache(settings: SharedSettings) -> Cache:
    """The cache by REDIS_URL. Raises StartFailed where that server does not answer within `start_timeout_s`."""
    if settings.redis_url is None:
        return MemoryCache()
    from redis.exceptions import RedisError

    cache = RedisCache(settings.redis_url.get_secret_value())
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        try:
            await cache.ping()
            return cache
        except (RedisError, OSError) as error:
            if time.monotonic() >= deadline:
                await cache.close()
                raise StartFailed(f"REDIS_URL: no Redis answers there: {type(error).__name__}") from None
            await asyncio.sleep(0.5)
