"""Logins, tickets, profiles and repeated registrations, the same on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.shared.cache import MemoryCache
from services.shared.database import Database
from services.shared.errors import (
    Conflict,
    Denied,
    InvalidInput,
    NotFound,
    TickroomError,
    TooMany,
    Unauthenticated,
)
from services.shared.events import AccountUpdated, Notification, SessionRevoked, decode_notification
from services.users import operators
from services.users.accounts import Accounts
from services.users.bell import Bell
from services.users.core.profiles import Change
from services.users.passwords import Passwords
from services.users.profiles import Profiles
from services.users.sessions import MOST_CHECKED, Login, Sessions
from services.users.store import notifications
from services.users.store.sessions import Ref
from services.users.throttle import Throttle
from services.users.tickets import TTL_S, Tickets
from services.users.tokens import Tokens
from tests.unit.users.room import migrated, settings_of

PASSWORD, OTHER = "plum-tarmac-otter", "slate-window-heron"
SECRET, OLD_SECRET = "s" * 32, "o" * 32
DAY_S = 86_400


@dataclass
class Clock:
    time: datetime = field(default_factory=lambda: datetime(2026, 5, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Replica:
    """One process of the API role: its parts share nothing with another one's but the database and the clock."""

    def __init__(self, database: Database, clock: Clock, tokens: Tokens, limit: int = 0) -> None:
        self.database, self.clock = database, clock
        passwords, outbox, cache = Passwords(), Bell(), MemoryCache()
        logins = Throttle(cache, "logins", limit, 60)
        self.sessions = Sessions(database, tokens, DAY_S, clock, outbox)
        self.tickets = Tickets(database, clock)
        self.accounts = Accounts(
            database, passwords, self.sessions, logins, Throttle(cache, "registrations", 0, 60), clock
        )
        self.profiles = Profiles(database, passwords, self.sessions, logins, clock, outbox)

    async def register(self, name: str = "ada", client: str = "", key: str = "", password: str = PASSWORD) -> Login:
        return await self.accounts.register(name, f"{name}@example.org", password, client, "curl/8", key)

    async def login(self, name: str = "ada", password: str = PASSWORD, device: str = "curl/8") -> Login:
        return await self.accounts.login(f"{name}@example.org", password, "", device)

    def ref(self, login: Login) -> Ref:
        claims = self.sessions.tokens.verify(login.access_token, self.clock())
        return claims.user_id, claims.session_id, claims.version

    async def valid(self, *logins: Login) -> list[bool]:
        return await self.sessions.check([self.ref(each) for each in logins])

    async def told(self) -> list[Notification]:
        """What has been stored for the gateways and the user, in order."""
        async with self.database.reading() as session:
            return [decode_notification(each.event) for each in await notifications.unpublished(session, 1000)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


@pytest.fixture
def office(database: Database, clock: Clock) -> Replica:
    return Replica(database, clock, Tokens(SECRET, None, 900))


async def refused(call: Any, family: type[TickroomError] = Unauthenticated) -> str:
    """The code that `call` is refused with."""
    with pytest.raises(family) as caught:
        await call
    return caught.value.code


# -- refresh tokens ------------------------------------------------------------------------------------------------


async def test_a_refresh_gives_new_tokens_of_the_same_login(office: Replica, clock: Clock) -> None:
    first = await office.register()
    clock.pass_s(DAY_S - 1)
    second = await office.sessions.refresh(first.refresh_token, "")
    assert second.refresh_token != first.refresh_token
    assert second.account == first.account
    (login,), _ = await office.sessions.page(first.account.id, 0, "")
    assert office.ref(second) == (first.account.id, login.id, 1)
    assert login.created_at < login.last_used_at
    clock.pass_s(DAY_S - 1)  # it lives on from its last use
    assert await office.valid(await office.sessions.refresh(second.refresh_token, "")) == [True]


async def test_a_refresh_token_dies_unused(office: Replica, clock: Clock) -> None:
    first = await office.register()
    clock.pass_s(DAY_S)
    assert await refused(office.sessions.refresh(first.refresh_token, "")) == "bad_refresh_token"


async def test_whoever_refreshes_twice_within_ten_seconds_gets_the_same_token(office: Replica, clock: Clock) -> None:
    first = await office.register()
    second = await office.sessions.refresh(first.refresh_token, "")
    clock.pass_s(9.9)
    again = await office.sessions.refresh(first.refresh_token, "")
    assert again.refresh_token == second.refresh_token
    assert await office.valid(again, second) == [True, True]
    clock.pass_s(600)
    third = await office.sessions.refresh(again.refresh_token, "")
    assert await office.valid(third) == [True]


async def test_two_tabs_that_refresh_at_once_both_go_on(office: Replica) -> None:
    first = await office.register()
    tabs = await asyncio.gather(*(office.sessions.refresh(first.refresh_token, "") for _ in range(4)))
    assert len({each.refresh_token for each in tabs}) == 1
    assert await office.valid(*tabs) == [True] * 4


@pytest.mark.parametrize("rotations", [1, 2])
async def test_a_used_up_token_ends_its_login(office: Replica, clock: Clock, rotations: int) -> None:
    first, other = await office.register(), await office.login()
    newest = first
    for _ in range(rotations):
        newest = await office.sessions.refresh(newest.refresh_token, "")
    clock.pass_s(10 if rotations == 1 else 0)
    assert await refused(office.sessions.refresh(first.refresh_token, "9.9.9.9")) == "bad_refresh_token"
    assert await refused(office.sessions.refresh(newest.refresh_token, "")) == "bad_refresh_token"
    assert await office.valid(newest, other) == [False, True]
    (told,) = await office.told()
    assert isinstance(told, SessionRevoked)
    assert (told.user_id, told.session_id) == (first.account.id, office.ref(first)[1])


async def test_what_is_no_refresh_token_is_refused(office: Replica) -> None:
    first = await office.register()
    session_id = office.ref(first)[1]
    unknown = "00000000-0000-4000-8000-000000000000." + first.refresh_token.partition(".")[2]
    for token in ("", ".", "x.y", session_id, f"{session_id}.", unknown, first.refresh_token + "x", "\x00.x"):
        assert await refused(office.sessions.refresh(token, "")) == "bad_refresh_token"
    assert await office.valid(first) == [True]


async def test_a_token_handed_out_before_the_secret_changed_goes_on(database: Database, clock: Clock) -> None:
    before = Replica(database, clock, Tokens(OLD_SECRET, None, 900))
    after = Replica(database, clock, Tokens(SECRET, OLD_SECRET, 900))
    first = await before.register()
    second = await before.sessions.refresh(first.refresh_token, "")
    again = await after.sessions.refresh(first.refresh_token, "")
    assert again.refresh_token == second.refresh_token
    third = await after.sessions.refresh(again.refresh_token, "")
    assert await after.valid(third) == [True]
    # a replica that doesn't know the new secret yet can't tell the successor again, and ends nothing because of that
    assert await refused(before.sessions.refresh(again.refresh_token, "")) == "bad_refresh_token"
    assert await after.valid(third) == [True]


# -- the end of logins ---------------------------------------------------------------------------------------------


async def test_a_logout_ends_that_login_alone_and_once(office: Replica) -> None:
    one, two = await office.register(), await office.login()
    user_id, session_id, _ = office.ref(one)
    for _ in range(2):
        await office.sessions.logout(user_id, session_id, everywhere=False)
    assert await office.valid(one, two) == [False, True]
    assert await refused(office.sessions.verify(one.access_token)) == "token_revoked"
    assert await refused(office.sessions.refresh(one.refresh_token, "")) == "bad_refresh_token"
    assert [type(each) for each in await office.told()] == [SessionRevoked]


async def test_nobody_ends_the_login_of_another(office: Replica) -> None:
    ada, bob = await office.register(), await office.register("bob")
    await office.sessions.logout(office.ref(bob)[0], office.ref(ada)[1], everywhere=False)
    await office.sessions.logout("nobody", office.ref(ada)[1], everywhere=True)
    assert await office.valid(ada, bob) == [True, True]
    assert await office.told() == []


async def test_a_logout_everywhere_ends_every_login_and_tells_of_it(office: Replica) -> None:
    one, two, bob = await office.register(), await office.login(), await office.register("bob")
    user_id, session_id, _ = office.ref(one)
    await office.sessions.logout(user_id, session_id, everywhere=True)
    assert await office.valid(one, two, bob) == [False, False, True]
    news, revoked = await office.told()
    assert isinstance(news, AccountUpdated)
    assert (news.event, news.timestamp) == ("logged_out_everywhere", "2026-05-01T12:00:00Z")
    assert isinstance(revoked, SessionRevoked)
    assert (revoked.user_id, revoked.session_id, revoked.version) == (user_id, "", 2)
    later = await office.login()
    assert office.ref(later)[2] == 2
    assert await office.valid(later) == [True]


async def test_a_refresh_and_a_logout_everywhere_at_once_leave_nothing_behind(office: Replica) -> None:
    first = await office.register()
    user_id, session_id, _ = office.ref(first)
    refreshed, _ = await asyncio.gather(
        office.sessions.refresh(first.refresh_token, ""),
        office.sessions.logout(user_id, session_id, everywhere=True),
        return_exceptions=True,
    )
    if isinstance(refreshed, Login):
        assert await office.valid(refreshed) == [False]
        assert await refused(office.sessions.refresh(refreshed.refresh_token, "")) == "bad_refresh_token"
    else:
        assert isinstance(refreshed, Unauthenticated)


async def test_revocations_are_those_that_a_token_may_have_outlived(office: Replica, clock: Clock) -> None:
    first = await office.register()
    await office.sessions.logout(*office.ref(first)[:2], everywhere=False)
    (stored,) = await office.told()
    clock.pass_s(900)
    found, after = await office.sessions.revocations(0)
    assert ([decode_notification(each) for each in found], after) == ([stored], None)
    clock.pass_s(61)
    assert await office.sessions.revocations(0) == ([], None)


async def test_logins_are_listed_with_their_device_while_they_last(office: Replica, clock: Clock) -> None:
    first = await office.register()
    clock.pass_s(1)
    second = await office.login(device="Firefox\n" + "x" * 500)
    found, token = await office.sessions.page(first.account.id, 1, "")
    assert [(each.id, each.device) for each in found] == [(office.ref(second)[1], "Firefox " + "x" * 192)]
    rest, end = await office.sessions.page(first.account.id, 1, token)
    assert ([(each.id, each.device) for each in rest], end) == ([(office.ref(first)[1], "curl/8")], "")
    await office.sessions.logout(*office.ref(second)[:2], everywhere=False)
    assert [each.id for each in (await office.sessions.page(first.account.id, 0, ""))[0]] == [office.ref(first)[1]]
    assert await office.sessions.page("nobody", 0, "") == ([], "")
    for bad in ("x", "2026-05-01T12:00:00.000000Z", f"{token} x", token.replace("2026", "'or'")):
        assert await refused(office.sessions.page(first.account.id, 1, bad), InvalidInput) == "bad_page_token"


async def test_sessions_are_checked_in_batches(office: Replica) -> None:
    one, two = await office.register(), await office.login()
    user_id, session_id, version = office.ref(one)
    asked = [
        office.ref(two),
        (user_id, session_id, version + 1),
        (user_id, "no id", version),
        ("", "", 0),
        office.ref(one),
        office.ref(one),
    ]
    assert await office.sessions.check(asked) == [True, False, False, False, True, True]
    assert await office.sessions.check([("x", "y", 1)]) == [False]
    assert await office.sessions.check([]) == []
    assert all(await office.sessions.check([office.ref(one)] * MOST_CHECKED))
    assert await refused(office.sessions.check([office.ref(one)] * (MOST_CHECKED + 1)), InvalidInput) == "invalid"


# -- tickets -------------------------------------------------------------------------------------------------------


async def test_a_ticket_is_worth_one_socket_on_all_replicas(office: Replica, clock: Clock) -> None:
    other = Replica(office.database, clock, Tokens(SECRET, None, 900))
    ref = office.ref(await office.register())
    ticket = await office.tickets.issue(ref, 1_777_777_777)
    redeemed = await asyncio.gather(
        *(replica.tickets.redeem(ticket) for replica in (office, other) * 3), return_exceptions=True
    )
    (holder,) = [each for each in redeemed if not isinstance(each, BaseException)]
    assert (holder.ref, holder.role, holder.expires_at) == (ref, "user", 1_777_777_777)
    assert all(isinstance(each, Unauthenticated) for each in redeemed if each is not holder)


async def test_a_ticket_lives_for_thirty_seconds(office: Replica, clock: Clock) -> None:
    ref = office.ref(await office.register())
    early, late = await office.tickets.issue(ref, 0), await office.tickets.issue(ref, 0)
    clock.pass_s(TTL_S - 0.1)
    await office.tickets.redeem(early)
    clock.pass_s(0.1)
    assert await refused(office.tickets.redeem(late)) == "bad_ticket"
    for made_up in ("", "x", "\x00", "x" * 10_000):
        assert await refused(office.tickets.redeem(made_up)) == "bad_ticket"


async def test_a_ticket_of_an_ended_login_opens_nothing(office: Replica) -> None:
    first = await office.register()
    ref = office.ref(first)
    ticket = await office.tickets.issue(ref, 0)
    await office.sessions.logout(*ref[:2], everywhere=True)
    assert await refused(office.tickets.redeem(ticket)) == "bad_ticket"
    assert await refused(office.tickets.issue(ref, 0)) == "token_revoked"
    assert await refused(office.tickets.issue(("x", "y", 1), 0)) == "token_revoked"


# -- profiles ------------------------------------------------------------------------------------------------------


async def test_what_is_given_changes_and_the_rest_stays(office: Replica) -> None:
    first = await office.register()
    changed = await office.profiles.update(first.account.id, Change(name=" Ada Lovelace ", preferences="{}"), "", "")
    assert (changed.name, changed.email, changed.preferences) == ("Ada Lovelace", "ada@example.org", "{}")
    changed = await office.profiles.update(first.account.id, Change(preferences='{"a" : [1, "\\u0000"]}'), "", "")
    assert changed == await office.profiles.get(first.account.id)
    assert (changed.name, changed.preferences) == ("Ada Lovelace", '{"a":[1,"\\u0000"]}')
    await office.profiles.update(first.account.id, Change(name="Ada Lovelace", email="Ada@Example.org"), "", "")
    told = await office.told()
    assert [each.event for each in told if isinstance(each, AccountUpdated)] == ["profile_changed"] * 2
    assert await office.valid(first) == [True]


async def test_a_new_address_needs_the_password(office: Replica) -> None:
    first = await office.register()
    await office.register("bob")
    update, user_id = office.profiles.update, first.account.id
    wish = Change(email="Countess@Example.org")
    with pytest.raises(InvalidInput) as caught:
        await update(user_id, wish, "", "")
    assert [each.loc for each in caught.value.errors] == ["current_password"]
    assert await refused(update(user_id, wish, "wrong-password-1", ""), Denied) == "wrong_password"
    assert await refused(update(user_id, wish, "x" * 5000, ""), Denied) == "wrong_password"
    assert await refused(update(user_id, Change(email="BOB@example.org"), PASSWORD, ""), Conflict) == "email_taken"
    assert (await update(user_id, wish, PASSWORD, "")).email == "countess@example.org"
    assert [each.event for each in await office.told() if isinstance(each, AccountUpdated)] == ["email_changed"]
    assert await office.valid(first) == [True]
    await office.login("countess")
    assert await refused(office.login()) == "bad_credentials"


async def test_a_new_password_ends_every_login(office: Replica) -> None:
    first, second = await office.register(), await office.login()
    await office.profiles.update(first.account.id, Change(name="Ada L", password=OTHER), PASSWORD, "")
    assert await office.valid(first, second) == [False, False]
    assert await refused(office.login()) == "bad_credentials"
    assert await office.valid(await office.login(password=OTHER)) == [True]
    *news, revoked = await office.told()
    assert [each.event for each in news if isinstance(each, AccountUpdated)] == ["profile_changed", "password_changed"]
    assert isinstance(revoked, SessionRevoked)
    assert (revoked.session_id, revoked.version) == ("", 2)


async def test_of_two_new_passwords_at_once_one_is_taken(office: Replica) -> None:
    first = await office.register()
    wishes = [OTHER, "third-window-heron", "fourth-window-heron"]
    done = await asyncio.gather(
        *(office.profiles.update(first.account.id, Change(password=each), PASSWORD, "") for each in wishes),
        return_exceptions=True,
    )
    (right,) = [wish for wish, end in zip(wishes, done, strict=True) if not isinstance(end, BaseException)]
    assert all(isinstance(each, Denied) for each in done if isinstance(each, BaseException))
    await office.login(password=right)


async def test_a_login_with_the_password_of_before_does_not_outlive_its_change(office: Replica) -> None:
    first = await office.register()
    done = await asyncio.gather(
        office.profiles.update(first.account.id, Change(password=OTHER), PASSWORD, ""),
        *(office.login() for _ in range(4)),
        return_exceptions=True,
    )
    logins = [each for each in done if isinstance(each, Login)]
    assert not any(await office.valid(*logins))
    for each in logins:
        assert await refused(office.sessions.refresh(each.refresh_token, "")) == "bad_refresh_token"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Change(name=""), "name"),
        (Change(email="nobody"), "email"),
        (Change(password="short"), "password"),
        (Change(password="countess@example.org", email="countess@example.org"), "password"),
        (Change(preferences="[]"), "preferences"),
        (Change(preferences="{"), "preferences"),
        (Change(preferences='{"a":' * 5000 + "1" + "}" * 5000), "preferences"),
        (Change(preferences='{"a":"' + "x" * 16_384 + '"}'), "preferences"),
    ],
)
async def test_what_no_account_may_be_is_refused(office: Replica, change: Change, field: str) -> None:
    first = await office.register()
    with pytest.raises(InvalidInput) as caught:
        await office.profiles.update(first.account.id, change, PASSWORD, "")
    assert [each.loc for each in caught.value.errors] == [field]
    assert await office.profiles.get(first.account.id) == first.account
    assert await office.told() == []


async def test_guesses_are_counted_with_those_at_the_door(database: Database, clock: Clock) -> None:
    office = Replica(database, clock, Tokens(SECRET, None, 900), limit=3)
    first = await office.register()
    update = office.profiles.update
    for _ in range(2):
        assert await refused(update(first.account.id, Change(password=OTHER), "guess-guess", ""), Denied)
    assert await refused(office.login(password="guess-guess")) == "bad_credentials"
    assert await refused(update(first.account.id, Change(password=OTHER), PASSWORD, ""), TooMany)


async def test_an_account_that_is_not_there(office: Replica) -> None:
    for user_id in ("x", "00000000-0000-4000-8000-000000000000"):
        assert await refused(office.profiles.get(user_id), NotFound) == "unknown_user"
        assert await refused(office.profiles.update(user_id, Change(name="A"), "", ""), NotFound) == "unknown_user"


# -- registrations that are sent again -----------------------------------------------------------------------------


async def test_the_same_key_and_form_make_one_account(office: Replica) -> None:
    made = await asyncio.gather(*(office.register(client="1.1.1.1", key="k") for _ in range(4)))
    again = await office.register(client="1.1.1.1", key="k")
    assert len({each.account.id for each in (*made, again)}) == 1
    assert len({each.access_token for each in (*made, again)}) == 5
    assert await office.valid(*made, again) == [True] * 5


async def test_a_key_makes_one_account_and_no_other(office: Replica) -> None:
    await office.register(client="1.1.1.1", key="k")
    register, reused = office.register, "idempotency_key_reused"
    assert await refused(register("bob", client="1.1.1.1", key="k"), Conflict) == reused
    assert await refused(register(client="1.1.1.1", key="k", password=OTHER), Conflict) == reused
    assert await refused(register(client="1.1.1.1", key="other"), Conflict) == "email_taken"
    assert await refused(register(client="2.2.2.2", key="k"), Conflict) == "email_taken"
    await register("bob", client="2.2.2.2", key="k")  # the key of one address means nothing to another


async def test_two_accounts_with_one_key_at_once(office: Replica) -> None:
    done = await asyncio.gather(
        office.register("ada", key="k"), office.register("bob", key="k"), return_exceptions=True
    )
    (login,) = [each for each in done if isinstance(each, Login)]
    (error,) = [each for each in done if isinstance(each, Conflict)]
    assert error.code == "idempotency_key_reused"
    other = "bob" if login.account.name == "ada" else "ada"
    await office.register(other)  # nothing of the refused one has stayed


# -- operators -----------------------------------------------------------------------------------------------------


async def test_an_operator_is_made_of_an_account_or_anew(office: Replica) -> None:
    database = office.database
    before = await office.register()
    assert office.sessions.tokens.verify(before.access_token, office.clock()).role == "user"
    assert "operator now" in (await operators.promote(database, " ADA@example.org ") or "")
    assert "already" in (await operators.promote(database, "ada@example.org") or "")
    refreshed = await office.sessions.refresh(before.refresh_token, "")
    assert office.sessions.tokens.verify(refreshed.access_token, office.clock()).role == "operator"
    ticket = await office.tickets.issue(office.ref(refreshed), 0)
    assert (await office.tickets.redeem(ticket)).role == "operator"

    assert await operators.promote(database, "bob@example.org") is None
    await operators.create(database, "Bob@example.org", "Bob", PASSWORD)
    bob = await office.login("bob")
    assert (bob.account.role, bob.account.name) == ("operator", "Bob")
    assert await refused(operators.create(database, "bob@example.org", "Bob", PASSWORD), Conflict)
    assert await refused(operators.create(database, "eve@example.org", "Eve", "short"), InvalidInput)
    assert await refused(operators.promote(database, "nobody"), InvalidInput)
