"""Codes by mail through a real SMTP server, leaving, and watchlists: the same on SQLite and PostgreSQL."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from services.shared.cache import MemoryCache
from services.shared.database import Database
from services.shared.errors import Denied, InvalidInput, NotFound, TooMany, Unauthenticated
from services.shared.events import SessionRevoked
from services.users.accounts import Accounts
from services.users.api_keys import ApiKeys
from services.users.bell import Bell
from services.users.closing import Closing
from services.users.core.mail import PostOffice
from services.users.core.profiles import Change
from services.users.housekeeping import tidy
from services.users.mail_codes import MailCodes
from services.users.mailing import Mailer
from services.users.passwords import Passwords
from services.users.profiles import Profiles
from services.users.sessions import Login
from services.users.store import accounts as stored_accounts
from services.users.store.watching import purge
from services.users.tables import AccountRow, AlertRow, Base, MailCodeRow, NotificationRow
from services.users.throttle import Throttle
from services.users.tokens import Tokens
from services.users.watchlists import MOST_SYMBOLS, Watchlists
from tests.integration.test_users_sessions import OTHER, PASSWORD, SECRET, Clock, Replica, refused
from tests.servers.smtp import Post, post_office
from tests.unit.users.room import add_rule, migrated, settings_of


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with post_office() as opened:
        yield opened


class Market:
    """Knows two symbols."""

    async def symbol(self, text: str) -> str:
        known = {"AAPL": "AAPL", "Apple": "AAPL", "IBM": "IBM"}
        if text not in known:
            raise NotFound("unknown symbol", code="unknown_symbol")
        return known[text]


class House(Replica):
    """A replica that sends letters to `port` (None: no mail)."""

    def __init__(self, database: Database, port: int | None, letters: int = 0) -> None:
        clock = Clock()
        tokens = Tokens(SECRET, None, 900)
        super().__init__(database, clock, tokens)
        office = None if port is None else PostOffice("127.0.0.1", port, "offered")
        cache, outbox = MemoryCache(), Bell()
        logins, passwords = Throttle(cache, "logins", 0, 60), Passwords()
        self.mail = MailCodes(
            database,
            Mailer(office, "tickroom@example.org"),
            passwords,
            self.sessions,
            Throttle(cache, "letters", letters, 3600),
            logins,
            "https://tickroom.example.org",
            clock,
            outbox,
        )
        self.accounts = Accounts(
            database, passwords, self.sessions, logins, Throttle(cache, "r", 0, 60), clock, self.mail.welcome
        )
        self.profiles = Profiles(database, passwords, self.sessions, logins, clock, outbox, self.mail.tell)
        self.news = Bell()
        self.keys = ApiKeys(database, tokens, clock, outbox)
        self.closing = Closing(database, self.profiles, self.sessions, self.mail, clock, self.news, outbox)

    async def verified(self, login: Login) -> bool:
        account, _ = await self.mail.state(login.account.id)
        return account.email_verified_at is not None


@pytest.fixture
async def office(database: Database, post: Post) -> AsyncIterator[House]:
    house = House(database, post.port)
    yield house
    await house.mail.finish()


async def letter_with(post: Post, what: str, number: int = 0) -> str:
    """The text of letter number `number` that says `what`, when it is there."""
    async with asyncio.timeout(15):
        while True:
            found = [text for _, each in post.letters if what in (text := str(each.get_content()))]
            if len(found) > number:
                return found[number]
            await asyncio.sleep(0.02)


async def code_of(post: Post, purpose: str, number: int = 0) -> str:
    link = re.compile(rf"https://tickroom\.example\.org/account#{purpose}=([\w-]+)")
    found = link.search(await letter_with(post, f"#{purpose}=", number))
    assert found is not None
    return found[1]


# -- verification --------------------------------------------------------------------------------------------------


async def test_a_new_account_gets_a_code_that_verifies_its_address_once(office: House, post: Post) -> None:
    ada = await office.register()
    assert not await office.verified(ada)
    code = await code_of(post, "verify")
    await office.mail.verify(code)
    assert await office.verified(ada)
    assert await refused(office.mail.verify(code), InvalidInput) == "bad_code"
    ((recipients, _),) = post.letters
    assert recipients == ["ada@example.org"]


async def test_a_code_dies_after_a_day_and_by_its_successor(office: House, post: Post) -> None:
    ada = await office.register()
    first = await code_of(post, "verify")
    await office.mail.send_verification(ada.account.id)
    second = await code_of(post, "verify", 1)
    assert await refused(office.mail.verify(first), InvalidInput) == "bad_code"
    office.clock.pass_s(86_400)
    assert await refused(office.mail.verify(second), InvalidInput) == "bad_code"
    for made_up in ("", "x", "\x00", "x" * 10_000):
        assert await refused(office.mail.verify(made_up), InvalidInput) == "bad_code"
    assert not await office.verified(ada)


async def test_another_address_has_to_be_verified_anew_and_the_old_one_is_told(office: House, post: Post) -> None:
    ada = await office.register()
    code = await code_of(post, "verify")
    await office.mail.verify(code)
    await office.mail.send_verification(ada.account.id)
    late = await code_of(post, "verify", 1)
    await office.profiles.update(ada.account.id, Change(email="new@example.org"), PASSWORD, "")
    await letter_with(post, "another address now")
    assert post.letters[-1][0] == ["ada@example.org"]
    assert not await office.verified(ada)
    assert await refused(office.mail.verify(late), InvalidInput) == "bad_code"


async def test_codes_are_stored_as_hashes(office: House, post: Post) -> None:
    await office.register()
    code = await code_of(post, "verify")
    async with office.database.reading() as session:
        (row,) = await session.scalars(select(MailCodeRow))
    assert len(code) == 43  # 256 bits
    assert code.encode() not in row.hash
    assert len(row.hash) == 32


# -- a forgotten password ------------------------------------------------------------------------------------------


async def test_a_reset_ends_every_login_and_lets_its_owner_in(office: House, post: Post) -> None:
    ada = await office.register()
    await office.mail.send_reset(" Ada@Example.org ", "")
    code = await code_of(post, "reset")
    await office.mail.reset(code, OTHER, "")
    assert await office.valid(ada) == [False]
    assert await refused(office.login()) == "bad_credentials"
    assert await office.valid(await office.login(password=OTHER)) == [True]
    assert await office.verified(ada)
    assert await refused(office.mail.reset(code, PASSWORD, ""), InvalidInput) == "bad_code"
    told = await office.told()
    assert [getattr(each, "event", type(each)) for each in told] == ["password_changed", SessionRevoked]
    await letter_with(post, "password of this address's account was changed")


async def test_a_weak_password_uses_no_code_up(office: House, post: Post) -> None:
    await office.register()
    await office.mail.send_reset("ada@example.org", "")
    code = await code_of(post, "reset")
    for weak in ("short", "password1", "ada@example.org"):
        assert await refused(office.mail.reset(code, weak, ""), InvalidInput) == "bad_account"
    await office.mail.reset(code, OTHER, "")


async def test_a_reset_code_dies_after_half_an_hour_and_when_the_password_changes(office: House, post: Post) -> None:
    ada = await office.register()
    await office.mail.send_reset("ada@example.org", "")
    first = await code_of(post, "reset")
    office.clock.pass_s(1800)
    assert await refused(office.mail.reset(first, OTHER, ""), InvalidInput) == "bad_code"
    await office.mail.send_reset("ada@example.org", "")
    second = await code_of(post, "reset", 1)
    await office.profiles.update(ada.account.id, Change(password=OTHER), PASSWORD, "")
    assert await refused(office.mail.reset(second, PASSWORD, ""), InvalidInput) == "bad_code"


async def test_one_kind_of_code_is_no_other(office: House, post: Post) -> None:
    await office.register()
    await office.mail.send_reset("ada@example.org", "")
    verify, reset = await code_of(post, "verify"), await code_of(post, "reset")
    assert await refused(office.mail.reset(verify, OTHER, ""), InvalidInput) == "bad_code"
    assert await refused(office.mail.verify(reset), InvalidInput) == "bad_code"


async def test_of_two_who_show_a_code_one_gets_in(office: House, post: Post) -> None:
    await office.register()
    await office.mail.send_reset("ada@example.org", "")
    code = await code_of(post, "reset")
    tried = await asyncio.gather(
        *(office.mail.reset(code, f"{OTHER}-{number}", "") for number in range(3)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in tried) == ["InvalidInput", "InvalidInput", "NoneType"]


async def test_an_address_of_nobody_is_answered_alike_and_gets_no_letter(office: House, post: Post) -> None:
    await office.mail.send_reset("nobody@example.org", "")
    await office.register()
    await office.mail.send_reset("ada@example.org", "")
    await code_of(post, "reset")
    assert {tuple(recipients) for recipients, _ in post.letters} == {("ada@example.org",)}


async def test_letters_are_throttled_per_account_and_per_address(database: Database, post: Post) -> None:
    office = House(database, post.port, letters=2)
    ada = await office.register()
    for _ in range(2):
        await office.mail.send_verification(ada.account.id)
    assert await refused(office.mail.send_verification(ada.account.id), TooMany) == "too_many_attempts"
    for number in range(2):
        await office.mail.send_reset(f"x{number}@example.org", "192.0.2.1")
    assert await refused(office.mail.send_reset("x3@example.org", "192.0.2.1"), TooMany) == "too_many_attempts"
    await office.mail.finish()


async def test_without_a_mail_server_it_is_off(database: Database) -> None:
    office = House(database, None)
    ada = await office.register()
    assert (await office.mail.state(ada.account.id))[1] is False
    assert await refused(office.mail.send_verification(ada.account.id), NotFound) == "mail_off"
    assert await refused(office.mail.send_reset("ada@example.org", ""), NotFound) == "mail_off"
    await office.profiles.update(ada.account.id, Change(password=OTHER), PASSWORD, "")


# -- leaving -------------------------------------------------------------------------------------------------------


async def rows_that_name(database: Database, user_id: str) -> set[str]:
    """The tables with a row of this user; news for the gateways of ended logins aside."""
    found = set()
    async with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            name = "id" if table.name == "accounts" else "user_id"
            if name in table.c:
                statement = select(table).where(table.c[name] == user_id)
                if table.name == "notifications":
                    statement = statement.where(NotificationRow.shown)
                if (await session.execute(statement)).first() is not None:
                    found.add(table.name)
    return found


async def test_nothing_of_a_person_who_leaves_stays(office: House, post: Post) -> None:
    ada, bob = await office.register(key="k"), await office.register("bob")
    user_id = ada.account.id
    _, key = await office.keys.create(user_id, "bot", [], None, "k2")
    await Watchlists(office.database, Market()).put(user_id, ["AAPL"])
    await office.tickets.issue(office.ref(ada), 0)
    await office.closing.close(user_id, PASSWORD, "")
    assert await rows_that_name(office.database, user_id) == set()
    assert await office.valid(ada, bob) == [False, True]
    assert await refused(office.keys.verify(key), Unauthenticated) == "bad_api_key"
    assert await refused(office.sessions.refresh(ada.refresh_token, "")) == "bad_refresh_token"
    assert await refused(office.login()) == "bad_credentials"
    assert [type(each) for each in await office.told()] == [SessionRevoked]
    await letter_with(post, "was deleted")
    assert (await office.register()).account.id != user_id  # the address is free


async def test_rules_of_a_person_who_leaves_are_let_go_before_the_last_row_goes(office: House) -> None:
    ada = await office.register()
    rule = await add_rule(office.database, ada.account.id)
    await office.closing.close(ada.account.id, PASSWORD, "")
    async with office.database.reading() as session:
        (stored,) = await session.scalars(select(AlertRow))
        (account,) = await session.scalars(select(AccountRow))
    assert (stored.deleted, stored.taken) == (True, False)
    assert "ada@" not in account.email
    assert "Ada" not in account.name
    assert (account.password_hash, account.preferences) == ("", "{}")
    async with office.database.reading() as session:
        assert await stored_accounts.account_by_id(session, ada.account.id) is None
    async with office.database.transaction() as session:
        await purge(session, [rule])
    await tidy(office.database, office.clock())
    assert await rows_that_name(office.database, ada.account.id) == set()


async def test_whoever_leaves_shows_the_password(office: House) -> None:
    ada = await office.register()
    assert await refused(office.closing.close(ada.account.id, "", ""), InvalidInput) == "invalid"
    assert await refused(office.closing.close(ada.account.id, OTHER, ""), Denied) == "wrong_password"
    assert await refused(office.closing.close("nobody", PASSWORD, ""), NotFound) == "unknown_user"
    assert await office.valid(ada) == [True]


# -- watchlists ----------------------------------------------------------------------------------------------------


async def test_a_watchlist_keeps_the_order_and_each_symbol_once(office: House) -> None:
    ada, lists = (await office.register()).account, Watchlists(office.database, Market())
    assert await lists.get(ada.id) == []
    assert await lists.put(ada.id, ["IBM", "Apple", "AAPL", "IBM"]) == ["IBM", "AAPL"]
    assert await lists.get(ada.id) == ["IBM", "AAPL"]
    assert await lists.put(ada.id, []) == []
    assert await lists.get(ada.id) == []


async def test_a_watchlist_is_checked_whole(office: House) -> None:
    ada, lists = (await office.register()).account, Watchlists(office.database, Market())
    await lists.put(ada.id, ["AAPL"])
    with pytest.raises(InvalidInput) as caught:
        await lists.put(ada.id, ["IBM", "NOPE"])
    assert [each.loc for each in caught.value.errors] == ["symbols.1"]
    for wrong in (["AAPL"] * (MOST_SYMBOLS + 1), ["x" * 65], [""]):
        assert await refused(lists.put(ada.id, wrong), InvalidInput) == "bad_watchlist"
    assert await lists.get(ada.id) == ["AAPL"]
    assert await refused(lists.put("nobody", []), NotFound) == "unknown_user"
    assert await lists.get("nobody") == []
