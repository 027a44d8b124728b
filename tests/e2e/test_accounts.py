"""Accounts on a running system: keys for programs, a way back in by mail, leaving, a secret that changes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.e2e.house import PASSWORD, embedded, frames, login, register
from tests.e2e.test_admission import STOCK, closed, is_open, mine, program, refused
from tests.integration.test_users_mail_codes import letter_with
from tests.servers.smtp import post_office

NEW_PASSWORD = "slate-window-heron"
OLD, NEW = "o" * 32, "n" * 32


@asynccontextmanager
async def asking(base: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=15) as client:
        yield client


async def profile(base: str, headers: dict[str, str]) -> httpx.Response:
    """Asked for until every room is there: a machine with much to do opens the door before."""
    async with asking(base, **headers) as client, asyncio.timeout(60):
        while (answer := await client.get("/api/users/profile")).status_code == 503:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.1)
    return answer


async def test_a_key_opens_what_its_scopes_name_until_it_is_revoked(tmp_path: Path) -> None:
    async with embedded(tmp_path) as (running, base):
        ada = await register(base)
        async with asking(base, **ada.headers) as owner:
            wish = {"name": "bot", "scopes": ["read"]}
            made = (await owner.post("/api/v1/api-keys", json=wish)).json()
            shown = {"X-API-Key": made["key"]}
            async with (
                asking(base, **shown) as bot,
                program(base, mine(ada) + "?profile=ext", **shown) as own_room,
                program(base, STOCK, **shown) as stock,
                program(base, mine(ada), ada.token) as by_token,
            ):
                assert (await bot.get("/api/v1/alerts")).status_code == 200
                refusal = await bot.post("/api/v1/alerts", json={"symbol": "AAPL", "conditions": []})
                assert (refusal.status_code, refusal.json()["code"]) == (403, "scope_missing")
                told = await frames(own_room, 1.0)
                assert [frame["event"] for frame in told] == ["api_key_created"]
                await own_room.send(json.dumps({"type": "ack", "notification_ids": [told[0]["id"]]}))
                (refused_ack,) = await frames(own_room, 1.0)
                assert (refused_ack["type"], refused_ack["code"]) == ("error", "scope_missing")
                assert (await owner.delete(f"/api/v1/api-keys/{made['id']}")).status_code == 204
                assert await closed(own_room) == (4401, "token_revoked")
                assert await closed(stock) == (4401, "token_revoked")
                assert await is_open(by_token)
                assert (await bot.get("/api/v1/alerts")).json()["code"] == "bad_api_key"
                assert await refused(program(base, STOCK, **shown)) == (401, "bad_api_key")
        assert made["key"] not in running.text()


async def test_who_forgot_the_password_gets_back_in_by_mail(tmp_path: Path) -> None:
    async with post_office() as post:
        mail = {"SMTP_URL": f"smtp://127.0.0.1:{post.port}", "MAIL_FROM": "tickroom@example.org"}
        async with embedded(tmp_path, **mail) as (running, base), asking(base) as client:
            ada = await register(base)
            await client.post("/api/v1/password-resets", json={"email": "ada@example.org"})
            text = await letter_with(post, "#reset=")
            found = re.search(r"http://localhost:8000/account#reset=([\w-]+)", text)
            assert found is not None
            body = {"code": found[1], "password": NEW_PASSWORD}
            async with program(base, mine(ada), ada.token) as socket:
                assert (await client.post("/api/v1/password-resets/confirm", json=body)).status_code == 204
                assert await closed(socket) == (4401, "token_revoked")
            assert (await client.post("/api/v1/password-resets/confirm", json=body)).json()["code"] == "bad_code"
            form = {"email": "ada@example.org", "password": NEW_PASSWORD}
            token = (await client.post("/api/users/login", json=form)).json()["token"]
            state = await client.get("/api/v1/email-verification", headers={"Authorization": f"Bearer {token}"})
            assert state.json() == {"email": "ada@example.org", "verified": True, "available": True}
            assert found[1] not in running.text()
            assert "ada@example.org" not in running.text()


async def test_who_leaves_takes_everything_along_and_hears_no_more(tmp_path: Path) -> None:
    async with embedded(tmp_path, REPLAY_RATE="20", WEBHOOK_ALLOW_LOOPBACK="true") as (_, base):
        ada = await register(base)
        await ada.alert("AAPL", "greater_than", 1.0, trigger="every_time")
        async with asking(base, **ada.headers) as owner, program(base, mine(ada), ada.token) as socket:
            tried = []
            for port in (1, 2):  # where nobody listens
                hook = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/"}
                tried.append((await owner.post("/api/v1/channels", json=hook)).json()["id"])
                assert not (await owner.post(f"/api/v1/channels/{tried[-1]}/test")).json()["delivered"]
            everything = (await owner.get("/api/v1/account/export")).json()
            assert {each["channel_id"] for each in everything["deliveries"]} == set(tried)
            assert (everything["profile"]["email"], len(everything["alerts"])) == ("ada@example.org", 1)
            gone = await owner.request("DELETE", "/api/v1/account", json={"current_password": PASSWORD})
            assert gone.status_code == 204, gone.text
            assert await closed(socket) == (4401, "token_revoked")
            assert (await owner.get("/api/users/profile")).status_code == 401
        again = await register(base)
        assert again.user_id != ada.user_id


async def test_a_secret_may_change_while_people_stay_logged_in(tmp_path: Path) -> None:
    async with embedded(tmp_path, SECRET_KEY=OLD) as (_, base):
        ada = await register(base)
    async with embedded(tmp_path, SECRET_KEY=NEW, SECRET_KEY_PREVIOUS=OLD) as (_, base):
        assert (await profile(base, ada.headers)).status_code == 200
        later = await login(base)
    async with embedded(tmp_path, SECRET_KEY=NEW) as (_, base):
        assert (await profile(base, later.headers)).status_code == 200
        refusal = await profile(base, ada.headers)
        assert (refusal.status_code, refusal.json()["code"]) == (401, "bad_token")
