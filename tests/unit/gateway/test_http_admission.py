"""Host, forwarding headers, origins, and whose address counts."""

from typing import Any

import pytest

from tests.unit.gateway.http_fakes import Front, problem_of

LOGIN = {"email": "ada@example.org", "password": "correct horse"}
GUEST = "https://app.example.org"
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "[::1]"]
)
async def test_loopback_names_are_ours(host: str) -> None:
    async with Front().client() as client:
        assert (await client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost:", "localhost:x", "[::2]", ""],
)
async def test_any_other_host_is_421(host: str) -> None:
    async with Front().client() as client:
        problem_of(await client.get("/health", headers={"Host": host}), 421, "foreign_host")


async def test_two_hosts_are_none() -> None:
    async with Front().client() as client:
        answer = await client.get("/health", headers=[("Host", "localhost"), ("Host", "localhost")])
    problem_of(answer, 421)


async def test_allowed_hosts_replace_the_loopback_names() -> None:
    async with Front(allowed_hosts="app.example.org,*.example.net").client() as client:
        for host, status in {
            "app.example.org": 200,
            "App.Example.org:443": 200,
            "a.b.example.net": 200,
            "example.net": 421,
            "evilexample.net": 421,
            "localhost": 421,
        }.items():
            assert (await client.get("/health", headers={"Host": host})).status_code == status, host


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-anything"])
async def test_an_open_door_takes_nothing_forwarded(header: str) -> None:
    async with Front().client() as client:
        problem_of(await client.get("/health", headers={header: "for=1.2.3.4"}), 403, "forwarded")
    async with Front(auth_mode="strict").client() as client:
        assert (await client.get("/health", headers={header: "for=1.2.3.4"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": GUEST, "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": EVIL}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://localhost:8000"}, 403),
        ({"Origin": "http://localhost:8000.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "Cross-Site"}, 403),
        ({"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("mode", ["open", "strict"])
async def test_what_has_an_effect_is_refused_to_foreign_pages(headers: dict[str, str], status: int, mode: str) -> None:
    front = Front(auth_mode=mode, allowed_origins=GUEST)
    async with front.client() as client:
        answer = await client.post("/api/users/login", json=LOGIN, headers=headers)
    if status == 200:
        assert answer.status_code == 200
    else:
        problem_of(answer, 403, "foreign_origin")
        assert front.users.clients == []


@pytest.mark.parametrize("path", ["/train/AAPL", "/train", "/%74rain/AAPL", "/train/a/b"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_that_starts_work_is_refused_to_foreign_pages_too(path: str, method: str) -> None:
    foreign: list[dict[str, str]] = [{"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}]
    async with Front().client() as client:
        for headers in foreign:
            assert (await client.request(method, path, headers=headers)).status_code == 403
        for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost:8000"}):
            assert (await client.request(method, path, headers=headers)).status_code != 403
        assert (await client.request(method, "/training", headers=foreign[0])).status_code != 403


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("LOCALHOST:8000", "http://LocalHost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_an_own_page_is_known_whatever_way_its_origin_is_written(host: str, origin: str) -> None:
    async with Front().client() as client:
        answer = await client.post("/api/users/login", json=LOGIN, headers={"Host": host, "Origin": origin})
    assert answer.status_code == 200


async def test_two_origins_must_both_be_welcome() -> None:
    async with Front().client() as client:
        origins = [("Origin", "http://localhost:8000"), ("Origin", EVIL)]
        problem_of(await client.post("/api/users/login", json=LOGIN, headers=origins), 403)


async def test_reads_of_foreign_pages_are_answered_but_not_shared_with_them() -> None:
    async with Front(allowed_origins=GUEST).client() as client:
        answer = await client.get("/tickers", headers={"Origin": EVIL, "Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        shared = await client.get("/tickers", headers={"Origin": GUEST})
    assert shared.headers["access-control-allow-origin"] == GUEST
    exposed = {name.strip() for name in shared.headers["access-control-expose-headers"].split(",")}
    assert {"ETag", "RateLimit", "RateLimit-Policy", "X-RateLimit-Reset", "Retry-After", "X-Request-ID"} <= exposed
    for each in (answer, shared):  # caches must not give one the answer of the other
        assert each.headers["vary"] == "Origin"


async def test_without_guests_answers_are_the_same_for_everybody() -> None:
    async with Front().client() as client:
        answer = await client.get("/tickers", headers={"Origin": EVIL})
    assert "vary" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


async def test_no_page_is_invited_to_send_credentials_of_the_browser() -> None:
    asks = {"Origin": GUEST, "Access-Control-Request-Method": "POST"}
    async with Front(allowed_origins=GUEST).client() as client:
        answers = [await client.options("/api/v1/alerts", headers=asks), await client.get("/tickers", headers=asks)]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == GUEST  # never *, and never whatever asked
        assert "access-control-allow-credentials" not in answer.headers
        assert "set-cookie" not in answer.headers


async def test_refusals_and_failures_are_shared_with_welcome_pages() -> None:
    async with Front(allowed_origins=GUEST).client() as client:
        for path, status in {"/nowhere": 404, "/api/users/profile": 401}.items():
            answer = await client.get(path, headers={"Origin": GUEST})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, GUEST)


async def test_preflights_of_welcome_pages_are_answered() -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with Front(allowed_origins=GUEST).client() as client:
        answer = await client.options("/api/v1/alerts", headers={"Origin": GUEST, **asks})
        foreign = await client.options("/api/v1/alerts", headers={"Origin": EVIL, **asks})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == GUEST
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-API-Key"} <= allowed
    assert int(answer.headers["access-control-max-age"]) >= 600
    varies = {name.strip() for name in answer.headers["vary"].split(",")}
    assert varies == {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
    assert not [name for name in foreign.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not from a proxy of ours: not believed
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::/64"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::/64"),
        ("10.0.0.1", "198.51.100.1:x", "10.0.0.1"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("", None, "local"),
    ],
)
async def test_the_counted_address_is_the_rightmost_that_no_proxy_of_ours_has(
    peer: str, forwarded: str | None, counted: str
) -> None:
    front = Front(auth_mode="strict", trusted_proxies="10.0.0.0/8")
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    async with front.client(peer=peer) as client:
        await client.post("/api/users/login", json=LOGIN, headers=headers)
    assert front.users.clients == [counted]


async def test_the_own_origin_behind_a_trusted_proxy_has_the_scheme_that_it_names() -> None:
    settings: dict[str, Any] = {
        "auth_mode": "strict",
        "trusted_proxies": "10.0.0.1",
        "allowed_hosts": "app.example.org",
    }
    headers = {"Host": "app.example.org", "Origin": GUEST, "X-Forwarded-Proto": "https"}
    async with Front(**settings).client(peer="10.0.0.1") as client:
        assert (await client.post("/api/users/login", json=LOGIN, headers=headers)).status_code == 200
    async with Front(**settings).client(peer="10.0.0.2") as client:
        problem_of(await client.post("/api/users/login", json=LOGIN, headers=headers), 403)
