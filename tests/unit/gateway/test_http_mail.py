"""Addresses that are verified, passwords that are forgotten."""

import pytest

from tests.unit.gateway.http_fakes import Front, problem_of

VERIFY, RESET = "/api/v1/email-verification", "/api/v1/password-resets"


async def test_an_address_is_verified_by_a_code() -> None:
    front = Front()
    async with front.client(signed_in=True) as client, front.client() as anybody:
        shown = {"email": "ada@example.org", "verified": False, "available": True}
        assert (await client.get(VERIFY)).json() == shown
        assert (await client.post(VERIFY)).status_code == 202
        assert (await anybody.post(f"{VERIFY}/confirm", json={"code": "good"})).status_code == 204
        problem_of(await anybody.post(f"{VERIFY}/confirm", json={"code": "bad"}), 422, "bad_code")
        problem_of(await anybody.post(VERIFY), 401, "token_missing")
    assert front.users.letters == [("verify", "u1")]


async def test_a_forgotten_password_is_answered_alike_for_everybody() -> None:
    front = Front()
    async with front.client() as client:
        answers = [await client.post(RESET, json={"email": each}) for each in ("ada@example.org", "nobody", "")]
    assert [(each.status_code, each.json()) for each in answers] == [(202, {"expires_in": 1800})] * 3
    assert front.users.letters == [("ada@example.org", "127.0.0.1"), ("nobody", "127.0.0.1"), ("", "127.0.0.1")]


async def test_a_new_password_comes_with_a_code() -> None:
    front = Front()
    async with front.client() as client:
        body = {"code": "good", "password": "plum-tarmac-otter"}
        assert (await client.post(f"{RESET}/confirm", json=body)).status_code == 204
        problem_of(await client.post(f"{RESET}/confirm", json=body | {"code": "bad"}), 422, "bad_code")
        problem_of(await client.post(f"{RESET}/confirm", json={"code": "good"}), 422, "invalid")
    assert front.users.letters == [("plum-tarmac-otter", "127.0.0.1")]


@pytest.mark.parametrize("path", [VERIFY, RESET])
async def test_without_mail_it_is_off(path: str) -> None:
    front = Front()
    front.users.mail = False
    async with front.client(signed_in=True) as client:
        assert (await client.get(VERIFY)).json()["available"] is False
        problem_of(await client.post(path, json={"email": "ada@example.org"}), 404, "mail_off")
