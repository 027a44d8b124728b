"""Register and log in."""

from typing import Any

import pytest

from services.shared.errors import InvalidInput, TooMany
from tests.unit.gateway.http_fakes import Front, problem_of

ADA = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}
LOGIN_KEYS = ["token", "access_token", "token_type", "expires_in", "refresh_token", "user_id"]


async def test_register_answers_flat_with_the_fields_of_login() -> None:
    front = Front()
    async with front.client() as client:
        answer = await client.post("/api/users/register", json=ADA)
    assert answer.status_code == 201
    assert list(answer.json()) == ["id", "name", "email", *LOGIN_KEYS]
    assert answer.json()["id"] == answer.json()["user_id"] == "u1"
    assert answer.headers["cache-control"] == "no-store"
    assert front.users.clients == ["127.0.0.1"]
    assert front.users.register_keys == [""]


async def test_a_key_and_what_the_client_says_it_is_are_handed_on() -> None:
    front = Front()
    async with front.client() as client:
        await client.post("/api/users/register", json=ADA, headers={"Idempotency-Key": "k-1", "User-Agent": "Fire/1"})
        await client.post("/api/users/login", json=ADA, headers={"User-Agent": "Lynx/2"})
        wrong = await client.post("/api/users/register", json=ADA, headers={"Idempotency-Key": "two words"})
    problem_of(wrong, 422, "invalid")
    assert front.users.register_keys == ["k-1"]
    assert front.users.devices == ["Fire/1", "Lynx/2"]


async def test_login_answers_the_same_token_twice() -> None:
    async with Front().client() as client:
        answer = await client.post("/api/users/login", json={key: ADA[key] for key in ("email", "password")})
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == LOGIN_KEYS
    assert body["token"] == body["access_token"]
    assert body["token_type"] == "bearer"


async def test_a_wrong_password_is_401() -> None:
    async with Front().client() as client:
        answer = await client.post("/api/users/login", json={"email": "ada@example.org", "password": "wrong"})
    problem_of(answer, 401, "wrong_credentials")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tickroom"'


async def test_a_taken_address_is_409_and_a_weak_password_422() -> None:
    front = Front()
    async with front.client() as client:
        problem_of(await client.post("/api/users/register", json=ADA | {"email": "taken@example.org"}), 409)
        front.users.fails = InvalidInput("too short", code="weak_password")
        problem_of(await client.post("/api/users/register", json=ADA), 422, "weak_password")


async def test_too_many_attempts_are_429_with_retry_after() -> None:
    front = Front()
    front.users.fails = TooMany("too many attempts", retry_after_s=41.2)
    async with front.client() as client:
        answer = await client.post("/api/users/login", json=ADA)
    problem_of(answer, 429, "too_many")
    assert answer.headers["retry-after"] == "42"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": 5}, "email"),
        ({"email": None}, "email"),
        ({"email": "a" * 321}, "email"),
        ({"email": "a\x00@b.c"}, "email"),
        ({"password": ["x"]}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"name": True}, "name"),
        ({"name": {"a": 1}}, "name"),
    ],
)
async def test_wrong_fields_are_named_and_never_reach_the_room_behind(change: dict[str, Any], field: str) -> None:
    front = Front()
    async with front.client() as client:
        body = problem_of(await client.post("/api/users/register", json=ADA | change), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert body["errors"][0].keys() == {"loc", "msg"}
    assert front.users.clients == []


async def test_every_missing_field_is_named() -> None:
    async with Front().client() as client:
        body = problem_of(await client.post("/api/users/register", json={}), 422)
    assert {each["loc"] for each in body["errors"]} == {"name", "email", "password"}
