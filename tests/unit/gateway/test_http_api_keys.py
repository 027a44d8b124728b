"""API keys: made, listed, revoked; shown instead of a token; and what each scope opens."""

from collections.abc import Mapping

import pytest

from services.gateway.account_backends import ApiKeyWish
from services.gateway.api_keys import ApiKeys
from services.gateway.http.callers import Who
from services.gateway.http.routing import Resource
from services.gateway.revocations import Revocations
from services.shared.errors import Unauthenticated, Unavailable
from services.shared.events import SessionRevoked
from services.shared.scopes import Scope
from tests.unit.gateway.account_fakes import KEY
from tests.unit.gateway.http_fakes import FakeUsers, Front, problem_of

PATH = "/api/v1/api-keys"
TIME = "2012-06-01T20:00:00Z"


async def test_a_key_is_shown_once() -> None:
    front = Front()
    wish = {"name": "bot", "scopes": ["read", "alerts"], "expires_at": "2030-01-01T00:00:00Z"}
    async with front.client(signed_in=True) as client:
        answer = await client.post(PATH, json=wish, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 201
    assert answer.json() == {"id": "k1", "name": "bot", "key": KEY}
    assert answer.headers["location"] == f"{PATH}/k1"
    assert answer.headers["cache-control"] == "no-store"
    asked = ApiKeyWish("bot", ["read", "alerts"], "2030-01-01T00:00:00Z", "once")
    assert front.users.key_wishes == [("u1", asked)]


async def test_keys_are_listed_without_their_secrets() -> None:
    async with Front().client(signed_in=True) as client:
        answer = await client.get(PATH)
    bot, other = answer.json()["items"]
    assert bot == {
        "id": "k1",
        "name": "bot",
        "prefix": KEY[:15],
        "scopes": ["read", "alerts"],
        "created_at": TIME,
        "expires_at": TIME,
        "last_used_at": TIME,
    }
    assert (other["expires_at"], other["last_used_at"]) == (None, None)
    assert answer.json()["next_page_token"] is None


async def test_a_key_is_revoked() -> None:
    async with Front().client(signed_in=True) as client:
        assert (await client.delete(f"{PATH}/k1")).status_code == 204
        problem_of(await client.delete(f"{PATH}/k2"), 404, "unknown_api_key")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": 1},
        {"name": "x", "scopes": "read"},
        {"name": "x", "scopes": ["read"] * 5},
        {"name": "x", "expires_at": 5},
        {"name": "x", "scope": ["read"]},
    ],
)
async def test_wrong_wishes_are_422(wish: Mapping[str, object]) -> None:
    async with Front().client(signed_in=True) as client:
        problem_of(await client.post(PATH, json=wish), 422, "invalid")


ROOM = {
    Scope.READ: {
        ("GET", path) for path in ("/api/v1/alerts", "/api/v1/notifications", "/api/v1/watchlist", "/tickers")
    },
    Scope.ALERTS: {("GET", path) for path in ("/api/v1/alerts", "/api/v1/notifications", "/api/v1/watchlist")}
    | {("DELETE", "/api/v1/alerts/a1")},
    Scope.ACCOUNT: {("GET", "/api/users/profile")},
    Scope.OPERATE: set[tuple[str, str]](),
}
FOR_LOGINS = {("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/k1"), ("GET", "/api/v1/sessions")}
FOR_LOGINS |= {("POST", "/api/v1/logout"), ("POST", "/api/v1/ws-tickets"), ("DELETE", "/api/v1/sessions/s0")}
FOR_LOGINS |= {("GET", "/api/v1/email-verification"), ("POST", "/api/v1/email-verification")}
FOR_LOGINS |= {("DELETE", "/api/v1/account"), ("GET", "/api/v1/account/export")}


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_opens_what_its_scope_names_and_nothing_else(scope: Scope) -> None:
    front = Front()
    async with front.client() as client:
        client.headers.update(front.users.holds(scope))
        for method, path in set.union(FOR_LOGINS, *ROOM.values()):
            answer = await client.request(method, path)
            if (method, path) in ROOM[scope]:
                assert answer.status_code in (200, 204, 404), (method, path)
            else:
                problem_of(answer, 403, "scope_missing")


def test_every_endpoint_of_an_owner_says_which_keys_may() -> None:
    """What names no scope is for logins alone: a new endpoint gets on this list on purpose, or names its scopes."""
    unnamed = {
        (method, route.path)
        for route in Front().routes
        if isinstance(route, Resource)
        for method, endpoint in route.endpoints.items()
        if endpoint.who is Who.OWNER and not endpoint.scopes
    }
    for_logins = {
        (method, path.replace("/k1", "/{key_id}").replace("/s0", "/{session_id}")) for method, path in FOR_LOGINS
    }
    assert unnamed == for_logins


async def test_operators_need_both_the_role_and_the_scope() -> None:
    front = Front(auth_mode="strict", allowed_hosts=["localhost"])
    async with front.client() as client:
        for scope, role, status in (("operate", "user", 403), ("read", "operator", 403), ("operate", "operator", 200)):
            front.users.holders.clear()
            key = KEY[:-1] + scope[0] if role == "user" else KEY[:-2] + scope[:2]
            answer = await client.get("/metrics", headers=front.users.holds(scope, key=key, role=role))
            assert answer.status_code == status, (scope, role)


async def test_a_bad_key_is_refused_also_where_none_is_needed() -> None:
    front = Front()
    async with front.client() as client:
        for key in ("", "x", KEY[:-1], KEY):
            problem_of(await client.get("/tickers", headers={"X-API-Key": key}), 401, "bad_api_key")
        assert front.users.keys_shown == [KEY]


async def test_two_credentials_are_one_too_many() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        headers = front.users.holds("read")
        problem_of(await client.get("/api/v1/alerts", headers=headers), 401, "bad_token")


async def test_requests_with_a_key_count_for_its_user() -> None:
    front = Front(requests_per_minute=3)
    async with front.client() as client, front.client(peer="192.0.2.9") as elsewhere:
        headers = front.users.holds("read")
        await client.get("/tickers", headers=headers)  # asked about for the first time: it counts for the address
        await client.get("/tickers", headers=headers)
        await elsewhere.get("/tickers", headers=headers)
        assert (await elsewhere.get("/tickers", headers=headers)).status_code == 200
        assert (await client.get("/tickers", headers=headers)).status_code == 429
        assert (await client.get("/tickers")).status_code == 200


# -- what a gateway remembers of them ------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


async def keys_of(users: FakeUsers, clock: Clock) -> tuple[ApiKeys, Revocations]:
    revocations = Revocations(clock)
    await revocations.load(users)
    return ApiKeys(users, revocations, clock, clock), revocations


def ended(session_id: str = "", version: int = 0) -> SessionRevoked:
    return SessionRevoked(id="r", user_id="u1", session_id=session_id, version=version, timestamp=TIME)


async def test_a_key_is_asked_about_now_and_then() -> None:
    users, clock = FakeUsers(), Clock()
    keys, _ = await keys_of(users, clock)
    users.holds("read")
    for _ in range(3):
        assert (await keys.verify(KEY)).user_id == "u1"
    assert len(users.keys_shown) == 1
    clock.time += 31
    await keys.verify(KEY)
    assert len(users.keys_shown) == 2


async def test_a_revoked_key_is_forgotten_at_once() -> None:
    users, clock = FakeUsers(), Clock()
    keys, revocations = await keys_of(users, clock)
    users.holds("read")
    await keys.verify(KEY)
    del users.holders[KEY]
    revocations.note(ended("k1"))
    with pytest.raises(Unauthenticated, match="not one of ours"):
        await keys.verify(KEY)


async def test_an_answer_that_its_revocation_overtook_is_not_believed() -> None:
    users, clock = FakeUsers(), Clock()
    keys, revocations = await keys_of(users, clock)
    users.holds("read")
    revocations.note(ended("k1"))
    with pytest.raises(Unauthenticated):
        await keys.verify(KEY)
    assert keys.remembered(KEY) is None


async def test_after_a_new_password_a_key_is_asked_about_again() -> None:
    users, clock = FakeUsers(), Clock()
    keys, revocations = await keys_of(users, clock)
    users.holds("read")
    await keys.verify(KEY)
    users.holds("read", version=2)
    revocations.note(ended(version=2))
    assert (await keys.verify(KEY)).version == 2


async def test_a_key_dies_at_its_end_though_remembered() -> None:
    users, clock = FakeUsers(), Clock()
    keys, _ = await keys_of(users, clock)
    users.holds("read", expires_at=1_010)
    await keys.verify(KEY)
    clock.time = 1_010
    with pytest.raises(Unauthenticated):
        await keys.verify(KEY)


async def test_without_news_of_what_ended_no_key_is_good() -> None:
    users, clock = FakeUsers(), Clock()
    keys = ApiKeys(users, Revocations(clock), clock, clock)
    users.holds("read")
    with pytest.raises(Unavailable):
        await keys.verify(KEY)


async def test_no_key_is_kept_as_it_is() -> None:
    users, clock = FakeUsers(), Clock()
    keys, _ = await keys_of(users, clock)
    users.holds("read")
    await keys.verify(KEY)
    assert KEY not in repr([value for name, value in vars(keys).items() if name != "_users"])
