"""Requests per minute: who they count for, what answers say of them, and a cache that does not answer."""

import asyncio
import logging
import re
import time
from typing import cast

import httpx
import pytest

from services.gateway.http.limits import Counts
from services.gateway.tokens import Caller, Verifier
from services.shared.cache import Cache, Counted, MemoryCache
from services.shared.errors import TooMany, Unavailable
from tests.unit.gateway.http_fakes import Front, problem_of

FIELDS = ("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def remaining(answer: httpx.Response) -> int:
    """How many requests are left, after checking that the fields agree."""
    found = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    policy = re.fullmatch(r'"default";q=(\d+);w=60', answer.headers["ratelimit-policy"])
    assert found is not None
    assert policy is not None
    assert answer.headers["x-ratelimit-limit"] == policy[1]
    assert answer.headers["x-ratelimit-remaining"] == found[1]
    assert 1 <= int(found[2]) <= 60
    assert 0 <= int(answer.headers["x-ratelimit-reset"]) - int(time.time()) <= 61
    return int(found[1])


async def test_every_limited_answer_says_how_many_are_left() -> None:
    async with Front(requests_per_minute=4).client() as client:
        answers = [await client.get(path) for path in ("/tickers", "/nowhere", "/api/users/profile")]
        answers.append(await client.post("/api/users/login"))
    assert [each.status_code for each in answers] == [200, 404, 401, 415]
    assert [remaining(each) for each in answers] == [3, 2, 1, 0]


async def test_one_too_many_is_429_and_says_when_to_come_back() -> None:
    front = Front(requests_per_minute=2)
    async with front.client() as client:
        for _ in range(2):
            assert (await client.get("/tickers")).status_code == 200
        asked = front.stock_data.tickers_asked
        refused = await client.get("/tickers")
    problem_of(refused, 429, "too_many_requests")
    assert remaining(refused) == 0
    assert f";t={refused.headers['retry-after']}" in refused.headers["ratelimit"]
    assert front.stock_data.tickers_asked == asked


async def test_where_another_limit_refused_its_own_wait_is_told() -> None:
    front = Front(requests_per_minute=100)
    front.users.fails = TooMany("too many attempts", code="too_many_attempts", retry_after_s=41.2)
    async with front.client() as client:
        refused = await client.post("/api/users/login", json={"email": "a@b.c", "password": "x"})
    problem_of(refused, 429, "too_many_attempts")
    assert refused.headers["retry-after"] == "42"
    assert refused.headers.get_list("ratelimit") == ['"refusal";r=0;t=42']
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 41 <= int(refused.headers["x-ratelimit-reset"]) - int(time.time()) <= 43
    assert "ratelimit-policy" not in refused.headers
    assert "x-ratelimit-limit" not in refused.headers


async def test_zero_is_no_limit() -> None:
    async with Front(requests_per_minute=0).client() as client:
        answer = await client.get("/tickers")
    assert not any(field in answer.headers for field in FIELDS)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/health", "/health/live", "/health/ready", "/metrics", "/static/page.js"]
)
async def test_health_metrics_and_the_pages_are_free(path: str) -> None:
    async with Front(requests_per_minute=1).client() as client:
        answers = [await client.get(path) for _ in range(3)]
    assert {each.status_code for each in answers} == {200}
    assert not any(field in answers[0].headers for field in FIELDS)


async def test_preflights_are_free() -> None:
    front = Front(requests_per_minute=1, allowed_origins="https://app.example.org")
    headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET"}
    async with front.client() as client:
        for _ in range(3):
            assert (await client.options("/tickers", headers=headers)).status_code == 204
        refused = [await client.get("/tickers", headers=headers) for _ in range(2)][1]
    problem_of(refused, 429)
    assert refused.headers["access-control-allow-origin"] == "https://app.example.org"
    assert "RateLimit" in refused.headers["access-control-expose-headers"]


async def test_a_user_counts_wherever_they_come_from_and_leaves_the_address_to_others() -> None:
    front = Front(requests_per_minute=2)
    async with (
        front.client(signed_in=True) as at_home,
        front.client(signed_in=True, peer="10.0.0.9") as at_work,
        front.client() as somebody,
    ):
        assert remaining(await at_home.get("/tickers")) == 1
        assert remaining(await at_work.get("/tickers")) == 0
        assert (await at_home.get("/tickers")).status_code == 429
        assert remaining(await somebody.get("/tickers")) == 1


@pytest.mark.parametrize("header", ["Bearer x.y.z", "Bearer ", "Basic abc"])
async def test_a_bad_token_counts_for_its_address(header: str) -> None:
    async with Front(requests_per_minute=2).client() as client:
        refused = await client.get("/tickers", headers={"Authorization": header})
        assert refused.status_code == 401
        assert remaining(refused) == 1
        assert remaining(await client.get("/tickers")) == 0


async def test_neighbours_of_an_ipv6_network_count_together() -> None:
    front = Front(requests_per_minute=5)
    async with front.client(peer="2001:db8::1") as one, front.client(peer="2001:db8::2") as other:
        await one.get("/tickers")
        assert remaining(await other.get("/tickers")) == 3
    async with front.client(peer="2001:db8:0:1::1") as elsewhere:
        assert remaining(await elsewhere.get("/tickers")) == 4


async def test_behind_a_trusted_proxy_the_address_that_it_names_counts() -> None:
    front = Front(requests_per_minute=5, auth_mode="strict", trusted_proxies="10.0.0.0/8")
    async with front.client(peer="10.0.0.1") as proxy:
        for _ in range(2):
            await proxy.get("/tickers", headers={"X-Forwarded-For": "203.0.113.7"})
        forged = await proxy.get("/tickers", headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.7"})
        other = await proxy.get("/tickers", headers={"X-Forwarded-For": "203.0.113.8"})
    assert (remaining(forged), remaining(other)) == (2, 4)


async def test_a_good_token_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    verify = Verifier.verify

    async def noted(self: Verifier, token: str) -> Caller:
        looked.append(token)
        return await verify(self, token)

    monkeypatch.setattr(Verifier, "verify", noted)
    async with Front().client(signed_in=True) as client:
        assert (await client.get("/api/users/profile")).status_code == 200
    assert len(looked) == 1


class Elsewhere:
    """A cache that replicas share. fails: raises; hangs: never answers. asked: how often it was."""

    def __init__(self) -> None:
        self.memory = MemoryCache()
        self.fails = False
        self.hangs = False
        self.asked = 0

    async def count(self, key: str, window_s: int) -> Counted:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise Unavailable("the cache does not answer (ConnectionError)", code="cache_away")
        return await self.memory.count(key, window_s)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def shared() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(shared: Elsewhere, clock: Clock) -> Counts:
    return Counts(cast(Cache, shared), clock)


async def test_a_cache_that_fails_leaves_each_process_counting_alone(
    counts: Counts, shared: Elsewhere, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert [(await counts.add("a")).total for _ in range(2)] == [1, 2]
    shared.fails = True
    with caplog.at_level(logging.INFO):
        assert [(await counts.add("a")).total for _ in range(3)] == [1, 2, 3]
    assert shared.asked == 3  # once in vain, then left alone for a second
    assert caplog.messages == ["the cache does not answer (ConnectionError): this process counts requests alone"]
    clock.now_s = 1.1
    shared.fails = False
    assert (await counts.add("a")).total == 3


async def test_a_long_absence_is_logged_once_in_a_while(
    counts: Counts, shared: Elsewhere, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shared.fails = True
    with caplog.at_level(logging.INFO):
        for second in range(120):
            clock.now_s = float(second)
            await counts.add("a")
    assert shared.asked == 120
    assert len(caplog.messages) == 2


async def test_only_one_request_waits_for_a_cache_that_hangs(
    counts: Counts, shared: Elsewhere, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.http.limits._PATIENCE_S", 0.01)
    shared.hangs = True
    await counts.add("a")
    clock.now_s = 1.1
    totals = [each.total for each in await asyncio.gather(*(counts.add("a") for _ in range(5)))]
    assert sorted(totals) == [2, 3, 4, 5, 6]
    assert shared.asked == 2


async def test_the_door_stays_open_and_limited_without_the_cache(shared: Elsewhere) -> None:
    shared.fails = True
    async with Front(cache=cast(Cache, shared), requests_per_minute=2).client() as client:
        statuses = [(await client.get("/tickers")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
