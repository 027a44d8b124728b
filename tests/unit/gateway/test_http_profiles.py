"""One's own account: reading and changing it."""

from typing import Any

import pytest

from services.gateway.backends import ProfileChange
from tests.unit.gateway.http_fakes import Front, problem_of

UPDATE = "/api/users/profile/update"


async def test_profile_belongs_to_the_token() -> None:
    async with Front().client(signed_in=True) as client:
        answer = await client.get("/api/users/profile")
    assert answer.json() == {
        "id": "u1",
        "name": "Ada",
        "email": "ada@example.org",
        "created_at": "2012-06-01T20:00:00Z",
        "preferences": {"theme": "dark"},
    }


async def test_profile_without_a_token_is_401() -> None:
    async with Front().client() as client:
        problem_of(await client.get("/api/users/profile"), 401, "token_missing")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_what_is_given_is_changed_whatever_the_method(method: str) -> None:
    front = Front()
    wish = {"name": "Ada L", "preferences": {"theme": "light", "n": 10**30}}
    async with front.client(signed_in=True) as client:
        answer = await client.request(method, UPDATE, json=wish)
    assert answer.status_code == 200
    assert list(answer.json()) == ["id", "name", "email", "created_at", "preferences"]
    assert (answer.json()["name"], answer.json()["preferences"]) == ("Ada L", wish["preferences"])
    ((user_id, change, client_address),) = front.users.changes
    assert (user_id, client_address) == ("u1", "127.0.0.1")
    assert change == ProfileChange(name="Ada L", preferences='{"theme":"light","n":1000000000000000000000000000000}')


async def test_address_and_password_go_with_the_current_password() -> None:
    front = Front()
    wish = {"email": "b@example.org", "password": "new password", "current_password": "old password", "id": "ignored"}
    async with front.client(signed_in=True) as client:
        assert (await client.patch(UPDATE, json=wish)).status_code == 200
        problem_of(await client.patch(UPDATE, json=wish | {"current_password": "wrong"}), 403, "wrong_password")
    assert [change for _, change, _ in front.users.changes] == [
        ProfileChange(email="b@example.org", password="new password", current_password="old password")
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": 5}, "name"),
        ({"email": "a" * 321}, "email"),
        ({"password": ["x"]}, "password"),
        ({"current_password": "x" * 1025}, "current_password"),
        ({"preferences": []}, "preferences"),
        ({"preferences": "{}"}, "preferences"),
    ],
)
async def test_wrong_fields_are_named(change: dict[str, Any], field: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        body = problem_of(await client.put(UPDATE, json=change), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert front.users.changes == []


@pytest.mark.parametrize("depth", [*range(300, 1100, 40), 5000, 100_000])
async def test_deep_preferences_are_taken_or_refused(depth: int) -> None:
    text = '{"preferences":' + '{"a":' * depth + "1" + "}" * depth + "}"
    async with Front().client(signed_in=True) as client:
        answer = await client.patch(UPDATE, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422)


async def test_nobody_changes_an_account_without_a_token() -> None:
    async with Front().client() as client:
        problem_of(await client.patch(UPDATE, json={"name": "Eve"}), 401, "token_missing")


async def test_nobody_makes_themselves_an_operator() -> None:
    front = Front()
    wish = {
        "name": "Eve",
        "role": "operator",
        "id": "u2",
        "token_version": 0,
        "email_verified_at": "x",
        "user_id": "u2",
    }
    async with front.client(signed_in=True) as client:
        assert (await client.patch(UPDATE, json=wish)).status_code == 200
    ((user_id, change, _),) = front.users.changes
    assert (user_id, change) == ("u1", ProfileChange(name="Eve"))
