"""Logging in: hashes that grow with the years, and what an attacker may learn from an answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import passlib.hash
import pytest

from services.shared.database import Database
from services.shared.errors import NotFound, Unauthenticated
from services.shared.events import SessionRevoked
from services.users import operators, passwords
from services.users.api_keys import ApiKeys
from services.users.bell import Bell
from services.users.store import accounts
from services.users.tokens import Tokens
from tests.integration.test_users_sessions import OTHER, PASSWORD, SECRET, Clock, Replica
from tests.unit.users.room import migrated, settings_of


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


@pytest.fixture
def office(database: Database) -> Replica:
    return Replica(database, Clock(), Tokens(SECRET, None, 900))


async def stored_hash(office: Replica) -> str:
    async with office.database.reading() as session:
        account = await accounts.account_by_email(session, "ada@example.org")
    assert account is not None
    return account.password_hash


async def keep_hash(office: Replica, user_id: str, password_hash: str) -> None:
    async with office.database.transaction() as session:
        await accounts.change_account(session, user_id, {"password_hash": password_hash})


async def test_a_login_makes_an_old_hash_anew(office: Replica) -> None:
    schemes: Any = passlib.hash
    ada = (await office.register()).account
    old = schemes.argon2.using(type="ID", memory_cost=1024, time_cost=1, parallelism=1).hash(PASSWORD)
    await keep_hash(office, ada.id, old)
    with pytest.raises(Unauthenticated):
        await office.login(password=OTHER)
    assert await stored_hash(office) == old
    await asyncio.gather(office.login(), office.login(), return_exceptions=True)
    fresh = await stored_hash(office)
    assert fresh.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await office.login()
    assert await stored_hash(office) == fresh


async def test_an_unknown_address_and_a_wrong_password_look_and_cost_alike(
    office: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[str] = []
    call, looked_up = passwords._call, accounts.account_by_email

    def hashing(what: str, arguments: tuple[str, ...]) -> Any:
        work.append(f"{what} {arguments[1].rpartition('$')[0].rpartition('$')[0]}")
        return call(what, arguments)

    async def looking(session: Any, email: str) -> Any:
        work.append("look up")
        return await looked_up(session, email)

    await office.register()
    monkeypatch.setattr(passwords, "_call", hashing)
    monkeypatch.setattr(accounts, "account_by_email", looking)
    answers = []
    for name in ("ada", "nobody"):
        work.clear()
        with pytest.raises(Unauthenticated) as caught:
            await office.login(name, OTHER)
        answers.append((caught.value.code, caught.value.detail, caught.value.retry_after_s, list(work)))
    assert answers[0] == answers[1]
    assert answers[0][3] == ["look up", "verify $argon2id$v=19$m=19456,t=2,p=1"]


async def test_an_operator_ends_the_logins_and_keys_of_somebody(office: Replica, tmp_path: Path) -> None:
    ada, again, bob = await office.register(), await office.login(), await office.register("bob")
    keys = ApiKeys(office.database, office.sessions.tokens, office.clock, Bell())
    _, key = await keys.create(ada.account.id, "bot", [], None)
    settings = settings_of(tmp_path, None, secret_key=SECRET)
    done = await operators.end_logins(office.database, settings, " Ada@Example.org")
    assert done == "every login of ada@example.org has ended, and 1 API keys are gone; the password is what it was"
    assert await office.valid(ada, again, bob) == [False, False, True]
    with pytest.raises(Unauthenticated):
        await keys.verify(key)
    *_, ended = await office.told()
    assert isinstance(ended, SessionRevoked)
    assert (ended.user_id, ended.session_id) == (ada.account.id, "")
    assert await office.valid(await office.login()) == [True]
    with pytest.raises(NotFound):
        await operators.end_logins(office.database, settings, "nobody@example.org")
