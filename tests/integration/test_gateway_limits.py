"""Request limits of two gateways that share a real Redis, while it is there, gone, and back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.shared.cache import RedisCache
from tests.servers.redis import RedisServer
from tests.unit.gateway.http_fakes import Front


@asynccontextmanager
async def gateway(url: str, limit: int) -> AsyncIterator[httpx.AsyncClient]:
    cache = RedisCache(url)
    async with Front(cache=cache, requests_per_minute=limit).client() as client:
        yield client
    await cache.close()


async def test_two_gateways_count_together(redis_url: str) -> None:
    async with gateway(redis_url, 6) as one, gateway(redis_url, 6) as other:
        answers = [await client.get("/tickers") for client in (one, other, one, other, one, other, one, other)]
    assert [each.status_code for each in answers] == [200] * 6 + [429] * 2
    assert [int(each.headers["x-ratelimit-remaining"]) for each in answers] == [5, 4, 3, 2, 1, 0, 0, 0]


async def test_at_once_not_one_more_than_the_limit_gets_through(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.http.limits._PATIENCE_S", 30.0)  # all of this is one busy loop
    async with gateway(redis_url, 100) as one, gateway(redis_url, 100) as other:
        answers = await asyncio.gather(*(client.get("/tickers") for client in (one, other) for _ in range(80)))
    assert sum(each.status_code == 200 for each in answers) == 100
    assert sum(each.status_code == 429 for each in answers) == 60


async def test_a_redis_that_goes_and_comes_back() -> None:
    with RedisServer() as server:
        async with gateway(server.url, 3) as one, gateway(server.url, 3) as other:
            assert (await one.get("/tickers")).headers["x-ratelimit-remaining"] == "2"
            assert (await other.get("/tickers")).headers["x-ratelimit-remaining"] == "1"
            server.kill()
            alone = [await one.get("/tickers") for _ in range(4)]
            assert [each.status_code for each in alone] == [200, 200, 200, 429]
            server.start()
            await asyncio.sleep(1.1)  # after which it is asked again
            assert (await one.get("/tickers")).headers["x-ratelimit-remaining"] == "2"
            assert (await other.get("/tickers")).headers["x-ratelimit-remaining"] == "1"
