"""Tokens by OAuth2's form, the list of logins, their end, tickets."""

import pytest

from services.gateway.backends import SessionRef
from services.gateway.revocations import Revocations
from services.shared.errors import InvalidInput, TooMany, Unauthenticated
from services.shared.scopes import Scope
from tests.unit.gateway.account_fakes import KEY
from tests.unit.gateway.http_fakes import FakeUsers, Front, problem_of

PASSWORD = {"grant_type": "password", "username": "ada@example.org", "password": "correct horse"}
LOGIN_KEYS = ["token", "access_token", "token_type", "expires_in", "refresh_token", "user_id"]


async def test_the_password_grant_logs_in() -> None:
    front = Front()
    async with front.client() as client:
        form = PASSWORD | {"scope": "", "client_id": "app"}
        answer = await client.post("/api/v1/token", data=form, headers={"User-Agent": "Fire/1"})
        await client.post("/api/v1/token", data={key: PASSWORD[key] for key in ("username", "password")})
    assert answer.status_code == 200
    assert list(answer.json()) == LOGIN_KEYS
    assert answer.json()["token_type"] == "bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert front.users.clients == ["127.0.0.1"] * 2
    assert front.users.devices[0] == "Fire/1"


async def test_the_refresh_grant_rotates() -> None:
    async with Front().client() as client:
        answer = await client.post("/api/v1/token", data={"grant_type": "refresh_token", "refresh_token": "refresh"})
    assert list(answer.json()) == LOGIN_KEYS
    assert answer.json()["refresh_token"] == "refresh-2"


@pytest.mark.parametrize(
    ("form", "status", "code", "fields"),
    [
        (PASSWORD | {"password": "wrong"}, 401, "invalid_grant", []),
        ({"grant_type": "refresh_token", "refresh_token": "used-up"}, 401, "invalid_grant", []),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type", []),
        ({"grant_type": "password", "username": "ada@example.org"}, 400, "invalid_request", ["password"]),
        ({"grant_type": "password"}, 400, "invalid_request", ["username", "password"]),
        ({"grant_type": "refresh_token", "username": "x"}, 400, "invalid_request", ["refresh_token"]),
        ({"username": "x" * 321, "password": "x"}, 422, "invalid", ["username"]),
    ],
)
async def test_refusals_have_the_words_of_oauth(
    form: dict[str, str], status: int, code: str, fields: list[str]
) -> None:
    async with Front().client() as client:
        body = problem_of(await client.post("/api/v1/token", data=form), status, code)
    assert [each["loc"] for each in body["errors"]] == fields


async def test_only_a_form_is_a_token_request() -> None:
    async with Front().client() as client:
        problem_of(await client.post("/api/v1/token", json=PASSWORD), 415, "not_form")


async def test_a_throttled_grant_says_when_to_come_back() -> None:
    front = Front()
    front.users.fails = TooMany("too many attempts", retry_after_s=7)
    async with front.client() as client:
        answer = await client.post("/api/v1/token", data=PASSWORD)
    problem_of(answer, 429, "too_many")
    assert answer.headers["retry-after"] == "7"


async def test_logout_ends_one_login_or_all() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        for body in (None, {}, {"everywhere": False}, {"everywhere": True}):
            answer = (
                await client.post("/api/v1/logout", json=body)
                if body is not None
                else await client.post("/api/v1/logout")
            )
            assert (answer.status_code, answer.content) == (204, b"")
        problem_of(await client.post("/api/v1/logout", json={"everywhere": "yes"}), 422, "invalid")
    assert front.users.logouts == [("u1", "s1", False)] * 3 + [("u1", "s1", True)]


async def test_logins_are_listed_and_the_own_one_is_marked() -> None:
    async with Front().client(signed_in=True) as client:
        answer = await client.get("/api/v1/sessions")
        first = await client.get("/api/v1/sessions?limit=1")
    time = "2012-06-01T20:00:00Z"
    shown = [
        {"id": "s1", "device": "curl/8.5.0", "created_at": time, "last_used_at": time, "current": True},
        {"id": "s0", "device": "", "created_at": time, "last_used_at": time, "current": False},
    ]
    assert answer.json() == {"items": shown, "next_page_token": None}
    assert first.json() == {"items": shown[:1], "next_page_token": "more"}


async def test_one_login_is_ended() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        assert (await client.delete("/api/v1/sessions/s0")).status_code == 204
        problem_of(await client.delete("/api/v1/sessions/s9"), 404, "unknown_session")
    assert front.users.logouts == [("u1", "s0", False), ("u1", "s9", False)]


NEW_PASSWORD = {"password": "a new password", "current_password": "right"}


@pytest.mark.parametrize(
    ("method", "path", "body", "ended"),
    [
        ("POST", "/api/v1/logout", {}, ["s1"]),
        ("POST", "/api/v1/logout", {"everywhere": True}, ["s1", "s0"]),
        ("DELETE", "/api/v1/sessions/s0", None, ["s0"]),
        ("PATCH", "/api/users/profile/update", NEW_PASSWORD, ["s1", "s0"]),
        ("PATCH", "/api/users/profile/update", NEW_PASSWORD | {"current_password": "wrong"}, []),
        ("PATCH", "/api/users/profile/update", {"name": "Ada L"}, []),
        ("DELETE", "/api/v1/account", {"current_password": "right"}, ["s1", "s0"]),
    ],
)
async def test_what_was_ended_is_worth_nothing_behind_the_answer(
    method: str, path: str, body: dict[str, object] | None, ended: list[str]
) -> None:
    revocations = Revocations()
    await revocations.load(FakeUsers())
    front = Front(revocations=revocations)
    async with front.client(signed_in=True) as client:
        await client.request(method, path, json=body)
        found = []
        for session in ("s1", "s0"):
            token = {"Authorization": f"Bearer {front.users.token(sid=session)}"}
            if (await client.get("/api/users/profile", headers=token)).status_code == 401:
                found.append(session)
        assert found == ended
        token = {"Authorization": f"Bearer {front.users.token(sid='s2', version=2)}"}
        assert (await client.get("/api/users/profile", headers=token)).status_code == 200


async def test_a_revoked_key_is_worth_nothing_behind_the_answer() -> None:
    revocations = Revocations()
    await revocations.load(FakeUsers())
    front = Front(revocations=revocations)
    front.users.holders[KEY] = SessionRef("u1", "k1", 1, "user", 2**40, frozenset({Scope.READ}))
    async with front.client(signed_in=True) as client, front.client() as program:
        program.headers["X-API-Key"] = KEY
        assert (await program.get("/api/v1/alerts")).status_code == 200
        await client.delete("/api/v1/api-keys/k1")
        problem_of(await program.get("/api/v1/alerts"), 401)


async def test_a_bad_page_token_is_422() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        front.users.fails = InvalidInput("page_token: not one of ours", code="bad_page_token")
        problem_of(await client.get("/api/v1/sessions?page_token=x"), 422, "bad_page_token")


async def test_a_ticket_is_made_for_the_caller() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/ws-tickets", json={})
        assert (await client.post("/api/v1/ws-tickets")).status_code == 201
    assert answer.status_code == 201
    assert answer.json() == {"ticket": "ticket-0", "expires_in": 30}
    holder = await front.users.redeem_ticket("ticket-0")
    assert (holder.user_id, holder.session_id, holder.version, holder.role) == ("u1", "s1", 1, "user")


async def test_an_ended_login_gets_no_ticket() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.get("/api/v1/sessions")  # the keys are known by now
        front.users.fails = Unauthenticated("the token has been revoked", code="token_revoked")
        problem_of(await client.post("/api/v1/ws-tickets", json={}), 401, "token_revoked")


@pytest.mark.parametrize("path", ["/api/v1/logout", "/api/v1/ws-tickets", "/api/v1/sessions"])
async def test_all_but_the_token_itself_need_a_token(path: str) -> None:
    async with Front().client() as client:
        answer = await (client.get(path) if path.endswith("sessions") else client.post(path, json={}))
    problem_of(answer, 401, "token_missing")
