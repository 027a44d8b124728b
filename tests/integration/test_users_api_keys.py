"""API keys, the same on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.shared.database import Database
from services.shared.errors import Conflict, InvalidInput, NotFound, TooMany
from services.shared.events import AccountUpdated, SessionRevoked
from services.users import operators
from services.users.api_keys import NEVER, ApiKeys
from services.users.bell import Bell
from services.users.core.api_keys import MOST_KEYS
from services.users.tables import ApiKeyRow
from services.users.tokens import Tokens
from tests.integration.test_users_sessions import OLD_SECRET, PASSWORD, SECRET, Clock, Replica, refused
from tests.unit.users.room import migrated, settings_of


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


class Keys(Replica):
    """A replica that knows API keys."""

    def __init__(self, database: Database, clock: Clock, tokens: Tokens) -> None:
        super().__init__(database, clock, tokens)
        self.keys = ApiKeys(database, tokens, clock, Bell())


@pytest.fixture
def office(database: Database) -> Keys:
    return Keys(database, Clock(), Tokens(SECRET, None, 900))


async def test_a_key_is_known_again_by_what_was_shown_once(office: Keys) -> None:
    ada = (await office.register()).account
    made, shown = await office.keys.create(ada.id, "bot", ["alerts", "read"], None)
    holder = await office.keys.verify(shown)
    assert (holder.ref, holder.role, holder.expires_at) == ((ada.id, made.id, 1), "user", NEVER)
    assert holder.scopes == ("read", "alerts")
    assert await office.sessions.check([holder.ref]) == [True]
    (news,) = await office.told()
    assert isinstance(news, AccountUpdated)
    assert news.event == "api_key_created"


async def test_of_a_key_only_a_hash_is_stored(office: Keys) -> None:
    ada = (await office.register()).account
    _, shown = await office.keys.create(ada.id, "bot", [], None)
    async with office.database.reading() as session:
        row = await session.get(ApiKeyRow, (await office.keys.page(ada.id, 0, ""))[0][0].id)
    assert row is not None
    stored = repr({each.name: getattr(row, each.name) for each in row.__table__.columns})
    assert shown.rpartition("_")[2] not in stored
    assert shown[3:15] in stored


async def test_a_revoked_key_is_worth_nothing_at_once(office: Keys) -> None:
    ada = (await office.register()).account
    made, shown = await office.keys.create(ada.id, "bot", [], None)
    ref = (await office.keys.verify(shown)).ref
    await office.keys.revoke(ada.id, made.id)
    assert await refused(office.keys.verify(shown)) == "bad_api_key"
    assert await office.sessions.check([ref]) == [False]
    _, news, ended = await office.told()
    assert isinstance(news, AccountUpdated)
    assert isinstance(ended, SessionRevoked)
    assert (news.event, ended.user_id, ended.session_id) == ("api_key_revoked", ada.id, made.id)
    assert await refused(office.keys.revoke(ada.id, made.id), NotFound) == "unknown_api_key"


async def test_nobody_revokes_or_sees_the_key_of_another(office: Keys) -> None:
    ada, bob = (await office.register()).account, (await office.register("bob")).account
    made, shown = await office.keys.create(ada.id, "bot", [], None)
    for user_id in (bob.id, "nobody"):
        assert await refused(office.keys.revoke(user_id, made.id), NotFound) == "unknown_api_key"
        assert await office.keys.page(user_id, 0, "") == ([], "")
    assert (await office.keys.verify(shown)).ref[0] == ada.id


async def test_a_key_dies_at_its_end(office: Keys) -> None:
    ada = (await office.register()).account
    _, shown = await office.keys.create(ada.id, "bot", [], "2026-05-01T12:00:10Z")
    office.clock.pass_s(9.9)
    assert (await office.keys.verify(shown)).expires_at == int(office.clock().timestamp()) + 1
    office.clock.pass_s(0.1)
    assert await refused(office.keys.verify(shown)) == "bad_api_key"


async def test_what_is_no_key_is_refused(office: Keys) -> None:
    ada = (await office.register()).account
    _, shown = await office.keys.create(ada.id, "bot", [], None)
    other = (await office.keys.create(ada.id, "other", [], None))[1]
    mixed = shown[:16] + other[16:]
    for key in ("", "x", shown[:-1], shown + "x", mixed, "tk_" + "0" * 12 + shown[15:], "\x00"):
        assert await refused(office.keys.verify(key)) == "bad_api_key"


async def test_the_last_use_is_noted_now_and_then(office: Keys) -> None:
    ada = (await office.register()).account
    _, shown = await office.keys.create(ada.id, "bot", [], None)

    async def last_used() -> str | None:
        ((key,), _) = await office.keys.page(ada.id, 0, "")
        return key.last_used_at

    assert await last_used() is None
    await office.keys.verify(shown)
    assert await last_used() == "2026-05-01T12:00:00.000000Z"
    office.clock.pass_s(299)
    await office.keys.verify(shown)
    assert await last_used() == "2026-05-01T12:00:00.000000Z"
    office.clock.pass_s(1)
    await office.keys.verify(shown)
    assert await last_used() == "2026-05-01T12:05:00.000000Z"


async def test_keys_outlive_a_logout_everywhere_with_the_new_version(office: Keys) -> None:
    login = await office.register()
    _, shown = await office.keys.create(login.account.id, "bot", [], None)
    before = (await office.keys.verify(shown)).ref
    await office.sessions.logout(*office.ref(login)[:2], everywhere=True)
    after = (await office.keys.verify(shown)).ref
    assert await office.sessions.check([before, after]) == [False, True]


async def test_operators_alone_make_keys_that_operate(office: Keys) -> None:
    ada = (await office.register()).account
    with pytest.raises(InvalidInput):
        await office.keys.create(ada.id, "bot", ["operate"], None)
    await operators.promote(office.database, ada.email)
    _, shown = await office.keys.create(ada.id, "bot", ["operate"], None)
    assert (await office.keys.verify(shown)).role == "operator"


async def test_keys_are_listed_newest_first_and_bounded(office: Keys) -> None:
    ada = (await office.register()).account
    for number in range(MOST_KEYS):
        await office.keys.create(ada.id, f"bot {number}", [], None)
        office.clock.pass_s(1)
    assert await refused(office.keys.create(ada.id, "one more", [], None), TooMany) == "too_many_api_keys"
    first, token = await office.keys.page(ada.id, 30, "")
    rest, end = await office.keys.page(ada.id, 30, token)
    assert [each.name for each in first + rest] == [f"bot {number}" for number in reversed(range(MOST_KEYS))]
    assert end == ""


async def test_the_same_request_makes_one_key(office: Keys) -> None:
    ada = (await office.register()).account
    asked = [office.keys.create(ada.id, "bot", ["read"], None, "k1") for _ in range(3)]
    made = await asyncio.gather(*asked)
    assert len({shown for _, shown in made}) == 1
    assert len((await office.keys.page(ada.id, 0, ""))[0]) == 1
    assert await refused(office.keys.create(ada.id, "bot", [], None, "k1"), Conflict) == "idempotency_key_reused"
    later = Keys(office.database, office.clock, Tokens(OLD_SECRET, SECRET, 900))
    assert await later.keys.create(ada.id, "bot", ["read"], None, "k1") == made[0]
    await office.keys.revoke(ada.id, made[0][0].id)
    again = office.keys.create(ada.id, "bot", ["read"], None, "k1")
    assert await refused(again, Conflict) == "idempotency_key_reused"


async def test_keys_are_made_for_accounts_alone(office: Keys) -> None:
    await office.register(password=PASSWORD)
    for user_id in ("", "nobody", "00000000-0000-4000-8000-000000000000"):
        assert await refused(office.keys.create(user_id, "bot", [], None), NotFound) == "unknown_user"
