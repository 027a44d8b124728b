"""The tables of users, the same on SQLite and PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.errors import InvalidInput
from services.shared.events import encode, parse_time
from services.shared.positions import Position
from services.users.core import wording
from services.users.core.conditions import KINDS
from services.users.core.journal import Firing, Rescaled, Watch
from services.users.core.rules import Rule, RuleState
from services.users.housekeeping import ENDED, KEYS, tidy
from services.users.store import (
    accounts,
    after_number,
    alerts,
    is_id,
    keys,
    notifications,
    page_size,
    sessions,
    watching,
)
from services.users.store.accounts import Account
from services.users.store.sessions import Session, Ticket
from services.users.tables import AlertRow
from tests.unit.users.room import CREATED, add_rule, add_user, draft, firings, migrated, outbox, settings_of

LATER = "2099-01-01T00:00:00.000000Z"


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


# -- accounts ------------------------------------------------------------------------------------------------------


async def test_an_address_is_taken_once(database: Database) -> None:
    first, second = (
        Account(str(uuid.uuid4()), name, "ada@example.org", "hash", 1, "{}", CREATED) for name in ("Ada", "Eve")
    )
    async with database.transaction() as session:
        assert await accounts.add_account(session, first)
    async with database.transaction() as session:
        assert not await accounts.add_account(session, second)
    async with database.reading() as session:
        assert await accounts.account_by_email(session, "ada@example.org") == first
        assert await accounts.account_by_id(session, first.id) == first
        assert await accounts.account_by_email(session, "eve@example.org") is None
        assert await accounts.account_by_id(session, second.id) is None


# -- logins --------------------------------------------------------------------------------------------------------


async def add_login(database: Database, user: str, created_at: str = CREATED, expires_at: str = LATER) -> str:
    session_id = str(uuid.uuid4())
    async with database.transaction() as session:
        await sessions.add_session(session, Session(session_id, user, b"hash", created_at, expires_at, "curl"))
    return session_id


async def test_a_login_is_worth_something_until_its_version_or_session_ends(database: Database) -> None:
    user, other = await add_user(database), await add_user(database, "bob")
    session_id, second = await add_login(database, user), await add_login(database, user)
    good = (user, session_id, 1)
    refs = [good, (user, session_id, 2), (user, str(uuid.uuid4()), 1), (other, session_id, 1), (user, second, 1)]
    async with database.transaction() as session:
        assert await sessions.valid(session, refs) == {good: "user", (user, second, 1): "user"}
        assert not await sessions.revoke(session, other, session_id, CREATED)
        assert await sessions.revoke(session, user, session_id, CREATED)
        assert not await sessions.revoke(session, user, session_id, CREATED)
        assert await sessions.valid(session, refs) == {(user, second, 1): "user"}
        assert await sessions.revoke_all(session, user, CREATED) == 2
        assert await sessions.valid(session, [*refs, (user, second, 2)]) == {}


async def test_logins_are_paged_newest_first_without_those_that_have_ended(database: Database) -> None:
    user, other = await add_user(database), await add_user(database, "bob")
    made = [await add_login(database, user, f"2026-05-01T12:00:0{n // 2}.000000Z") for n in range(6)]
    ended = await add_login(database, user)
    await add_login(database, user, expires_at=CREATED)
    await add_login(database, other)
    async with database.transaction() as session:
        await sessions.revoke(session, user, ended, CREATED)
    found: list[str] = []
    before: tuple[str, str] | None = None
    async with database.reading() as session:
        for _ in range(3):
            page, before = await sessions.sessions_of(session, user, CREATED, before, 2)
            found += [each.id for each in page]
            assert {(each.device, each.last_used_at == each.created_at) for each in page} == {("curl", True)}
    assert before is None
    assert sorted(found) == sorted(made)
    assert [made.index(each) // 2 for each in found] == [2, 2, 1, 1, 0, 0]


async def test_a_ticket_is_taken_once(database: Database) -> None:
    user = await add_user(database)
    ticket = Ticket(b"hash", (user, await add_login(database, user), 1), 1_777_777_777, LATER)
    async with database.transaction() as session:
        await sessions.add_ticket(session, ticket)

    async def take() -> Ticket | None:
        async with database.transaction() as session:
            return await sessions.take_ticket(session, b"hash")

    taken = await asyncio.gather(*(take() for _ in range(5)))
    assert [each for each in taken if each is not None] == [ticket]


async def test_what_the_gateways_are_told_is_not_shown_to_the_user(database: Database) -> None:
    user = await add_user(database)
    now = parse_time(CREATED)
    news, revoked = (
        wording.account_updated(str(uuid.uuid4()), user, "password_changed", now),
        wording.session_revoked(str(uuid.uuid4()), user, "", 2, now),
    )
    async with database.transaction() as session:
        await notifications.add_notifications(session, [news, revoked], CREATED)
    async with database.transaction() as session:
        assert [each.event for each in await notifications.unpublished(session, 10)] == [encode(news), encode(revoked)]
        shown, _ = await notifications.notifications_of(session, user, unread_only=False, after=0, limit=10)
        assert [each.id for each in shown] == [news.id]
        assert await notifications.mark_read(session, user, [revoked.id], revoked.id, CREATED) == 1
        assert await notifications.revocations(session, CREATED, 0, 10) == ([encode(revoked)], None)
        assert await notifications.revocations(session, LATER, 0, 10) == ([], None)


async def test_the_ends_of_logins_are_paged(database: Database) -> None:
    user, now = await add_user(database), parse_time(CREATED)
    told = [wording.session_revoked(str(uuid.uuid4()), user, str(uuid.uuid4()), 0, now) for _ in range(5)]
    async with database.transaction() as session:
        await notifications.add_notifications(session, told, CREATED)
    async with database.reading() as session:
        first, after = await notifications.revocations(session, CREATED, 0, 3)
        assert after is not None
        rest, end = await notifications.revocations(session, CREATED, after, 3)
    assert first + rest == [encode(each) for each in told]
    assert end is None


async def test_housekeeping_keeps_what_may_still_be_asked_for(database: Database) -> None:
    user, now = await add_user(database), parse_time(CREATED)
    lasting, short = await add_login(database, user), await add_login(database, user, expires_at=CREATED)
    tickets = [Ticket(each.encode(), (user, lasting, 1), 0, each) for each in (CREATED, LATER)]
    revoked = wording.session_revoked(str(uuid.uuid4()), user, lasting, 0, now)
    waiting = wording.session_revoked(str(uuid.uuid4()), user, lasting, 0, now)
    shown = wording.account_updated(str(uuid.uuid4()), user, "email_changed", now)
    async with database.transaction() as session:
        for ticket in tickets:
            await sessions.add_ticket(session, ticket)
        await notifications.add_notifications(session, [revoked, shown], CREATED)
        for each in await notifications.unpublished(session, 10):
            await notifications.mark_published(session, [each.number], CREATED)
        await notifications.add_notifications(session, [waiting], CREATED)
        await keys.remember(session, user, "key", str(uuid.uuid4()), b"hash", CREATED)
        await keys.remember_registration(session, b"scope", user, b"hash", CREATED)

    async def left() -> tuple[list[bool], int, bool, bool]:
        async with database.transaction() as session:
            logins = [await sessions.lock_family(session, each) is not None for each in (lasting, short)]
            ends, _ = await notifications.revocations(session, CREATED, 0, 10)
            made = await keys.made_before(session, user, "key"), await keys.registered_before(session, b"scope")
            return logins, len(ends), made[0] is not None, made[1] is not None

    await tidy(database, now + ENDED)
    assert await left() == ([True, True], 2, True, True)
    await tidy(database, now + ENDED + timedelta(seconds=1))
    assert await left() == ([True, False], 1, True, True)
    await tidy(database, now + KEYS + timedelta(seconds=1))
    assert await left() == ([True, False], 1, False, False)
    async with database.transaction() as session:
        assert [await sessions.take_ticket(session, each.hash) for each in tickets] == [None, tickets[1]]
        assert len((await notifications.notifications_of(session, user, unread_only=False, after=0, limit=9))[0]) == 1


# -- rules, as users see them --------------------------------------------------------------------------------------


async def test_rules_are_paged_oldest_first_and_belong_to_their_user(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    made = [await add_rule(database, ada) for _ in range(5)]
    await add_rule(database, bob)
    async with database.reading() as session:
        first, after = await alerts.alerts_of(session, ada, 0, 3)
        assert after is not None
        rest, end = await alerts.alerts_of(session, ada, after, 3)
        assert [each.rule.id for each in first + rest] == made
        assert end is None
        assert await alerts.alert_of(session, bob, made[0]) is None
        assert await alerts.count_alerts(session, ada) == 5
        exact, end = await alerts.alerts_of(session, ada, 0, 5)
        assert (len(exact), end) == (5, None)


async def test_a_rule_comes_back_as_it_was_asked_for(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user, draft("less_than", 0.1, every_time=False, symbol="IBM"))
    async with database.reading() as session:
        found = await alerts.alert_of(session, user, rule_id)
    assert found is not None
    assert found.rule == Rule(rule_id, 1, user, "IBM", (KINDS["less_than"](0.1),), "once")
    assert (found.status, found.channels, found.created_at) == ("pending", ("websocket",), CREATED)


async def test_a_deleted_rule_is_gone_for_its_user_at_once(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    rule_id = await add_rule(database, ada)
    async with database.transaction() as session:
        assert not await alerts.delete_alert(session, bob, rule_id)
        assert await alerts.delete_alert(session, ada, rule_id)
        assert not await alerts.delete_alert(session, ada, rule_id)
    async with database.reading() as session:
        assert await alerts.alert_of(session, ada, rule_id) is None
        assert await alerts.alerts_of(session, ada, 0, 10) == ([], None)
        assert await alerts.count_alerts(session, ada) == 0


async def test_an_idempotency_key_is_claimed_once(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    async with database.transaction() as session:
        assert await keys.remember(session, ada, "key", one, b"hash", CREATED)
        assert await keys.remember(session, bob, "key", two, b"hash", CREATED)
    async with database.transaction() as session:
        assert not await keys.remember(session, ada, "key", two, b"other", CREATED)
        assert await keys.made_before(session, ada, "key") == (one, b"hash")
        assert await keys.made_before(session, ada, "other") is None


# -- rules, as the owner of their symbol sees them -----------------------------------------------------------------


async def loaded(session: AsyncSession, *symbols: str) -> tuple[list[Watch], list[watching.News]]:
    """Everything to be watched for these symbols."""
    active, fresh = list[Watch](), list[watching.News]()
    async for some, news in watching.rules_of(session, symbols):
        active += some
        fresh += news
    return active, fresh


async def test_news_stay_news_until_they_are_taken(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user)
    await add_rule(database, user, draft(symbol="IBM"))
    async with database.transaction() as session:
        assert sorted(await watching.symbols_with_news(session)) == [("prices", "AAPL"), ("prices", "IBM")]
        news = await watching.news(session, ["AAPL"], 10)
        assert [(each.watch.rule.id, each.deleted, each.live) for each in news] == [(rule_id, False, True)]
        await watching.take(session, {(rule_id, 1): Position("epoch-1", 41)})
    async with database.transaction() as session:
        assert await watching.symbols_with_news(session) == [("prices", "IBM")]
        found = await alerts.alert_of(session, user, rule_id)
        assert found is not None
        assert (found.status, found.taken) == ("active", True)
        active, fresh = await loaded(session, "AAPL", "IBM")
        assert [each.rule.id for each in active] == [rule_id]
        assert [each.watch.rule.symbol for each in fresh] == ["IBM"]
        assert sorted(await watching.watched_symbols(session)) == ["AAPL", "IBM"]


async def test_what_was_changed_once_more_is_not_taken_nor_saved(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user)
    async with database.transaction() as session:
        await session.execute(update(AlertRow).values(version=2, revision=2))
        old = Rule(rule_id, 1, user, "AAPL", (KINDS["crossing"](1.0),))
        await watching.take(session, {(rule_id, 1): Position("epoch-1", 1)})
        await watching.settle(session, [(rule_id, 1)])
        await watching.save(session, [Watch(old, RuleState(1, CREATED), "fired")])
    async with database.reading() as session:
        [news] = await watching.news(session, ["AAPL"], 10)
        assert (news.live, news.revision) == (True, 2)
        assert news.watch.rule.conditions == (KINDS["crossing_up"](150.0),)


async def test_what_is_paused_stays_so(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user)
    async with database.transaction() as session:
        await session.execute(update(AlertRow).values(status="paused", revision=2))
        rule = Rule(rule_id, 1, user, "AAPL", (KINDS["crossing_up"](150.0),))
        await watching.save(session, [Watch(rule, RuleState(1, CREATED))])
        found = await alerts.alert_of(session, user, rule_id)
    assert found is not None
    assert found.status == "paused"


async def test_firings_of_rules_that_nobody_wants_any_more(database: Database) -> None:
    user = await add_user(database)
    kept, changed, deleted, paused, moved, other = [await add_rule(database, user) for _ in range(6)]
    async with database.transaction() as session:
        for rule_id, values in (
            (changed, {"version": 2}),
            (deleted, {"deleted": True}),
            (paused, {"status": "paused"}),
            (moved, {"symbol": "IBM"}),
            (other, {"source": "signals"}),
        ):
            await session.execute(update(AlertRow).where(AlertRow.id == rule_id).values(**values))
        wanted = await watching.still_wanted(session, [kept, changed, deleted, paused, moved, other], "prices")
    assert wanted.keys() == {(kept, "AAPL"), (changed, "AAPL"), (moved, "IBM")}


async def test_what_the_engine_made_of_a_rule_is_kept(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user)
    async with database.transaction() as session:
        await watching.take(session, {(rule_id, 1): Position("epoch-1", 1)})
        rescaled = Rule(rule_id, 1, user, "AAPL", (KINDS["crossing_up"](37.5),), "every_time")
        await watching.save(session, [Watch(rescaled, RuleState(1, CREATED))])
    async with database.reading(streams=True) as session:
        [active], [] = await loaded(session, "AAPL")
    assert active.rule == rescaled
    assert active.state == RuleState(1, CREATED)


async def test_fired_and_expired_rules_are_not_loaded_again(database: Database) -> None:
    user = await add_user(database)
    ids = [await add_rule(database, user) for _ in range(2)]
    async with database.transaction() as session:
        await watching.take(session, {(rule_id, 1): Position("epoch-1", 1) for rule_id in ids})
        rules = [Rule(rule_id, 1, user, "AAPL", (KINDS["crossing_up"](150.0),)) for rule_id in ids]
        await watching.save(session, [Watch(rules[0], status="fired"), Watch(rules[1], status="expired")])
    async with database.reading(streams=True) as session:
        assert await loaded(session, "AAPL") == ([], [])
        shown, _ = await alerts.alerts_of(session, user, 0, 10)
        assert [each.status for each in shown] == ["fired", "expired"]


async def test_a_deleted_rule_is_let_go_and_then_removed(database: Database) -> None:
    user = await add_user(database)
    rule_id, kept = await add_rule(database, user), await add_rule(database, user)
    async with database.transaction() as session:
        await watching.take(session, {(rule_id, 1): Position("e", 1), (kept, 1): Position("e", 1)})
        await alerts.delete_alert(session, user, rule_id)
    async with database.transaction() as session:
        [news] = await watching.news(session, ["AAPL"], 10)
        assert (news.watch.rule.id, news.deleted) == (rule_id, True)
        assert (await watching.still_wanted(session, [rule_id, kept], "prices")).keys() == {(kept, "AAPL")}
        await watching.purge(session, [rule_id, kept])  # only what was deleted goes
    async with database.reading(streams=True) as session:
        assert await watching.symbols_with_news(session) == []
        active, _ = await loaded(session, "AAPL")
        assert [each.rule.id for each in active] == [kept]


async def test_looking_for_news_uses_the_partial_index(database: Database) -> None:
    user = await add_user(database)
    await add_rule(database, user)
    query = "SELECT DISTINCT symbol FROM alerts WHERE NOT taken"
    async with database.transaction() as session:
        if database.sqlite:
            plan = str((await session.execute(text(f"EXPLAIN QUERY PLAN {query}"))).all())
        else:
            await session.execute(text("SET LOCAL enable_seqscan = off"))
            plan = str((await session.execute(text(f"EXPLAIN {query}"))).all())
    assert "ix_alerts_news" in plan


# -- firings and notifications -------------------------------------------------------------------------------------


def firing(rule_id: str, user: str, seq: int) -> Firing:
    condition = KINDS["crossing_up"](150.0)
    return Firing(Rule(rule_id, 1, user, "AAPL", (condition,)), condition, 151.0, 149.0, "epoch-1", seq, CREATED, 150.0)


async def test_a_firing_and_its_notification_are_stored_once(database: Database) -> None:
    user = await add_user(database)
    some = [firing("rule", user, seq) for seq in (1, 2, 3)]
    for batch in (some[:2], some, some):
        async with database.transaction() as session:
            await notifications.add_firings(session, [(each, wording.triggered(each)) for each in batch])
            await notifications.add_notifications(session, [wording.triggered(each) for each in batch], CREATED)
    assert await firings(database) == [("rule", "epoch-1", seq) for seq in (1, 2, 3)]
    assert await outbox(database) == [wording.triggered(each) for each in some]


async def test_a_rule_fires_once_at_a_record_and_each_version_at_a_silence(database: Database) -> None:
    user, condition = await add_user(database), KINDS["crossing_up"](150.0)

    async def added(symbol: str, *, version: int, silent: bool = False) -> bool:
        rule = Rule("rule", version, user, symbol, (condition,))
        one = Firing(rule, condition, 151.0, 149.0, "epoch-1", 7, CREATED, 150.0, silent=silent)
        told = wording.triggered(one)
        async with database.transaction() as session:
            return await notifications.add_firings(session, [(one, told)]) == {told.id}

    assert await added("AAPL", version=1)
    assert not await added("AAPL", version=2)
    assert await added("IBM", version=3)  # a record of another symbol
    assert await added("IBM", version=4, silent=True)
    assert not await added("IBM", version=4, silent=True)
    assert await added("IBM", version=5, silent=True)


async def test_notifications_are_paged_and_read(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    told = [wording.triggered(firing("rule", ada, seq)) for seq in range(1, 7)]
    others = [wording.rescaled(Rescaled(bob, "AAPL", "epoch-1", 1, CREATED))]
    async with database.transaction() as session:
        await notifications.add_notifications(session, [*told, *others], CREATED)

    async def unread(user: str) -> list[str]:
        async with database.reading() as session:
            page, end = await notifications.notifications_of(session, user, unread_only=True, after=0, limit=100)
            assert end is None
            return [each.id for each in page]

    async def mark(user: str, *ids: str, up_to: str = "") -> int:
        async with database.transaction() as session:
            return await notifications.mark_read(session, user, ids, up_to, CREATED)

    assert await mark(bob, told[0].id, up_to=told[3].id) == 0  # not his
    assert await mark(ada, told[4].id, told[4].id, others[0].id) == 1
    assert await mark(ada, up_to=told[1].id) == 2
    assert await mark(ada, up_to=told[1].id) == 0
    assert await unread(ada) == [told[2].id, told[3].id, told[5].id]
    assert await unread(bob) == [others[0].id]
    async with database.reading() as session:
        page, after = await notifications.notifications_of(session, ada, unread_only=False, after=0, limit=4)
        assert after is not None
        rest, end = await notifications.notifications_of(session, ada, unread_only=False, after=after, limit=4)
    assert [each.event for each in page + rest] == [encode(each) for each in told]
    assert [each.read for each in page + rest] == [True, True, False, False, True, False]
    assert end is None


async def test_the_outbox_empties_in_order(database: Database) -> None:
    user = await add_user(database)
    told = [wording.triggered(firing("rule", user, seq)) for seq in range(1, 6)]
    async with database.transaction() as session:
        await notifications.add_notifications(session, told, CREATED)
    async with database.transaction() as session:
        rows = await notifications.unpublished(session, 3)
        assert [row.event for row in rows] == [encode(each) for each in told[:3]]
        await notifications.mark_published(session, [row.number for row in rows], CREATED)
    async with database.reading() as session:
        assert [row.event for row in await notifications.unpublished(session, 10)] == [encode(e) for e in told[3:]]


async def test_on_postgresql_one_process_publishes_and_numbers_follow_commits(
    tmp_path: Path, postgres_url: str
) -> None:
    async with migrated(settings_of(tmp_path, postgres_url)) as database:
        user = await add_user(database)
        first, second = (wording.triggered(firing("rule", user, seq)) for seq in (1, 2))
        async with database.holding(notifications.PUBLISHED) as turn, database.transaction() as one:
            assert turn is not None
            await notifications.add_notifications(one, [first], CREATED)

            async def add_second() -> None:
                async with database.holding(notifications.PUBLISHED) as other, database.transaction() as two:
                    assert other is None
                    await notifications.add_notifications(two, [second], CREATED)

            adding = asyncio.create_task(add_second())
            done, _ = await asyncio.wait({adding}, timeout=0.2)
            assert not done  # it waits, so its number can't become visible before the first one's
        await adding
        assert await outbox(database) == [first, second]


# -- what comes from outside ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["x", "-1", "1e3", "9" * 19, "9" * 40, "١٢", "1\x00"])
def test_a_page_token_that_is_not_ours(token: str) -> None:
    with pytest.raises(InvalidInput):
        after_number(token)


def test_page_tokens_and_sizes() -> None:
    assert (after_number(""), after_number("17"), page_size(0), page_size(1000)) == (0, 17, 100, 1000)
    for limit in (-1, 1001):
        with pytest.raises(InvalidInput):
            page_size(limit)


def test_ids() -> None:
    assert is_id(str(uuid.uuid4()))
    assert not any(map(is_id, ["", "x", "\x00", str(uuid.uuid4()).upper(), uuid.uuid4().hex]))
