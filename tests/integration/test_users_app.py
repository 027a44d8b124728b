"""The whole room over gRPC and Kafka: accounts, rules, firings on topic `notifications`, roles together and apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from unittest.mock import ANY

import grpc
import jwt
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import select

from services.shared import positions
from services.shared.database import Database
from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from services.shared.events import AccountUpdated, AlertTriggered, SessionRevoked, decode_notification, encode
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.rpc import users_pb2
from services.shared.topics import ALERTS
from services.users.bell import Bell
from services.users.core import wording
from services.users.core.conditions import KINDS
from services.users.core.journal import Firing
from services.users.core.rules import Rule
from services.users.outbox import Relay
from services.users.store import notifications
from services.users.tables import CHECKPOINTS, AlertRow
from tests.integration.users_house import PASSWORD, House, fails, register, wish
from tests.servers.postgres import PostgresServer
from tests.unit.users.room import CREATED, add_user, firings, migrated, settings_of, until
from tests.unit.users.ticks import at, tick

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone


@pytest.fixture
async def house(tmp_path: Path, database_url: str | None, kafka_cluster: Kafka) -> AsyncIterator[House]:
    house = House(tmp_path, database_url, kafka_cluster)
    async with house.market():
        yield house


# -- the whole path ------------------------------------------------------------------------------------------------


async def test_a_rule_fires_once_and_its_user_is_told(house: House) -> None:
    async with house.running() as users:
        await house.publish(tick(1, 149.0), tick(1, 10.0, symbol="IBM"))
        ada, bob = await register(users), await register(users, "bob")
        reader = house.kafka
        await until(lambda: _caught_up(reader))
        up = await users.CreateAlert(wish(ada.user_id))
        above = await users.CreateAlert(wish(ada.user_id, "greater_than", trigger="once", message="hello"))
        other = await users.CreateAlert(wish(bob.user_id, "crossing_down", symbol="apple"))
        assert (up.status, above.status, other.status, other.symbol) == ("active", "active", "active", "AAPL")
        await house.publish(*(tick(seq, price) for seq, price in enumerate([151.0, 149.0, 151.0], start=2)))
        told = await house.published(4)
        by_user = {
            user: [(event.alert_id, event.seq) for key, event in told if key == user]
            for user in (ada.user_id, bob.user_id)
        }
        assert sorted(by_user[ada.user_id]) == sorted([(up.id, 2), (above.id, 2), (up.id, 4)])
        assert by_user[bob.user_id] == [(other.id, 3)]
        listed = await users.ListNotifications(
            users_pb2.ListNotificationsRequest(user_id=ada.user_id, unread_only=True)
        )
        events = [decode_notification(each.event) for each in listed.notifications]
        assert [event for key, event in told if key == ada.user_id] == events
        assert {event.message for event in events if isinstance(event, AlertTriggered)} == {
            "hello",
            "AAPL crossed up through 150.00: now 151.00",
        }
        ids = [each.id for each in listed.notifications]
        acked = await users.AckNotifications(users_pb2.AckNotificationsRequest(user_id=ada.user_id, up_to=ids[1]))
        assert acked.marked == 2
        once = await users.GetAlert(users_pb2.AlertRequest(user_id=ada.user_id, alert_id=above.id))
        assert once.status == "fired"


async def _caught_up(kafka: Kafka) -> bool:
    return set((await kafka.lag(ALERTS)).values()) == {0}


async def test_everything_outlives_a_restart(house: House) -> None:
    async with house.running() as users:
        ada = await register(users)
        rule = await users.CreateAlert(wish(ada.user_id))
        await house.publish(tick(1, 149.0), tick(2, 151.0))
        await house.published(1)
    async with house.after_restart() as later:
        office = later.office()
        assert (await office.worked_through())["AAPL"] == Position("epoch-1", 2)  # whoever feeds asks before it runs
        await later.publish(tick(2, 151.0), tick(3, 149.0), tick(4, 151.0))
        async with later.running(office) as users:
            again = await users.Login(users_pb2.LoginRequest(email="ada@example.org", password=PASSWORD))
            assert again.user_id == ada.user_id
            verified = await users.Verify(users_pb2.VerifyRequest(access_token=ada.access_token))
            assert verified.user_id == ada.user_id
            page = users_pb2.ListNotificationsRequest(user_id=ada.user_id)
            await until(lambda: _has_notifications(users, page, 2))
            events = [decode_notification(each.event) for each in (await users.ListNotifications(page)).notifications]
        assert [(each.alert_id, each.seq) for each in events if isinstance(each, AlertTriggered)] == [
            (rule.id, 2),
            (rule.id, 4),
        ]


async def _has_notifications(users: UsersAsyncStub, page: users_pb2.ListNotificationsRequest, count: int) -> bool:
    return len((await users.ListNotifications(page)).notifications) >= count


async def test_the_roles_work_apart(house: House) -> None:
    async with house.running(users_role="api") as users:
        ada = await register(users)
        early = await users.CreateAlert(wish(ada.user_id, "greater_than", 10.0))
        assert early.status == "pending"
        async with house.running(users_role="worker"):
            rule = await users.CreateAlert(wish(ada.user_id))
            await until(lambda: _is_active(users, ada.user_id, [early.id, rule.id]))
            await house.publish(tick(1, 149.0), tick(2, 151.0))
            told = await house.published(2)
            assert sorted((event.alert_id, event.seq) for _, event in told) == sorted([(early.id, 1), (rule.id, 2)])


async def _is_active(users: UsersAsyncStub, user_id: str, ids: Sequence[str]) -> bool:
    found = [await users.GetAlert(users_pb2.AlertRequest(user_id=user_id, alert_id=each)) for each in ids]
    return all(each.status == "active" for each in found)


async def test_what_a_crash_left_in_the_outbox_is_published_at_start(house: House) -> None:
    async with migrated(house.settings()) as database:
        user = await add_user(database)
        left = [wording.triggered(_firing(user, seq)) for seq in range(1, 4)]
        async with database.transaction() as session:
            await notifications.add_notifications(session, left, CREATED)
    async with house.running(users_role="worker"):
        assert [event for _, event in await house.published(3)] == left


def _firing(user_id: str, seq: int) -> Firing:
    condition = KINDS["crossing_up"](150.0)
    return Firing(
        Rule("rule", 1, user_id, "AAPL", (condition,)), condition, 151.0, 149.0, "epoch-1", seq, at(seq), 150.0
    )


async def test_relays_of_several_processes_keep_the_order(tmp_path: Path, postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(embedded_kafka(partitions=4))
        house = House(tmp_path, postgres_url, kafka)
        database = await stack.enter_async_context(migrated(settings_of(tmp_path, postgres_url)))
        user = await add_user(database)
        producers = [await kafka.producer() for _ in range(3)]
        relays = [Relay(database, producer, 1, lambda: CREATED, Bell(), 60.0) for producer in producers]
        left = [wording.triggered(_firing(user, seq)) for seq in range(1, 1201)]
        async with database.transaction() as session:
            await notifications.add_notifications(session, left, CREATED)
        assert sum(await asyncio.gather(*(relay.flush() for relay in relays))) == 1200
        assert [event for _, event in await house.published(1200)] == left
        for producer in producers:
            await producer.stop()


async def test_what_is_stored_while_others_go_out_follows_them_at_once(tmp_path: Path, postgres_url: str) -> None:
    async with migrated(settings_of(tmp_path, postgres_url)) as database:
        user = await add_user(database)
        first, second = (wording.triggered(_firing(user, seq)) for seq in (1, 2))

        async def add(told: AlertTriggered) -> None:
            async with database.transaction() as session:
                await notifications.add_notifications(session, [told], CREATED)

        bell = Bell()

        class Producer:
            sent: ClassVar[list[bytes]] = []

            async def send(self, _topic: str, value: bytes, **_where: object) -> asyncio.Future[None]:
                self.sent.append(value)
                if len(self.sent) == 1:
                    await add(second)
                    bell.ring()
                acknowledged = asyncio.get_running_loop().create_future()
                acknowledged.set_result(None)
                return acknowledged

        await add(first)
        relay = Relay(database, cast(AIOKafkaProducer, Producer()), 1, lambda: CREATED, bell, 60.0)
        assert await relay.flush() == 2
        assert await relay.flush() == 0
    assert Producer.sent == [encode(first), encode(second)]


async def test_a_database_that_is_away_for_a_while_loses_nothing(tmp_path: Path) -> None:
    ticks = [tick(seq, 149.0 if seq % 2 else 151.0) for seq in range(1, 201)]
    with PostgresServer() as server:
        async with embedded_kafka(partitions=4) as kafka:
            house = House(tmp_path, server.create_database("users"), kafka)
            async with house.market(), house.running() as users:
                ada = await register(users)
                await until(lambda: _caught_up(kafka))
                rule = await users.CreateAlert(wish(ada.user_id))
                await house.publish(*ticks[:100])
                await house.published(50)
                server.kill()
                await house.publish(*ticks[100:])
                assert isinstance(await fails(users.CreateAlert(wish(ada.user_id))), Unavailable)
                request = users_pb2.VerifyRequest(access_token=ada.access_token)
                assert isinstance(await fails(users.Verify(request)), Unavailable)
                server.start()
                told = await house.published(100, once=True)  # the crash may have come before the mark
    assert [event.seq for _, event in told if event.alert_id == rule.id] == list(range(2, 201, 2))


async def test_the_end_of_logins_reaches_the_gateways(house: House) -> None:
    async with house.running() as users:
        ada, bob = await register(users), await register(users, "bob")
        changed = users_pb2.UpdateProfileRequest(
            user_id=ada.user_id, password="slate-window-heron", current_password=PASSWORD
        )
        assert (await users.UpdateProfile(changed)).email == "ada@example.org"
        claims = jwt.decode(bob.access_token, options={"verify_signature": False})
        await users.Logout(users_pb2.LogoutRequest(user_id=bob.user_id, session_id=claims["sid"]))
        told = await house.notifications(3)
        assert [event for key, event in told if key == bob.user_id] == [
            SessionRevoked(id=ANY, user_id=bob.user_id, session_id=claims["sid"], version=0, timestamp=ANY)
        ]
        assert [event for key, event in told if key == ada.user_id] == [
            AccountUpdated(id=ANY, event="password_changed", timestamp=ANY, user_id=ada.user_id),
            SessionRevoked(id=ANY, user_id=ada.user_id, session_id="", version=2, timestamp=ANY),
        ]
        listed = await users.ListRevocations(users_pb2.ListRevocationsRequest())
        ended = [event for _, event in told if isinstance(event, SessionRevoked)]
        assert sorted(map(encode, ended)) == sorted(listed.events)
        shown = await users.ListNotifications(users_pb2.ListNotificationsRequest(user_id=ada.user_id))
        assert [type(decode_notification(each.event)) for each in shown.notifications] == [AccountUpdated]


async def test_logins_over_the_wire(small_house: House) -> None:
    async with small_house.running() as users:
        ada = await register(users)
        refreshed = await users.Refresh(users_pb2.RefreshRequest(refresh_token=ada.refresh_token))
        claims = jwt.decode(refreshed.access_token, options={"verify_signature": False})
        assert (claims["role"], claims["version"]) == ("user", 1)
        ref = users_pb2.SessionRef(
            user_id=ada.user_id, session_id=claims["sid"], version=1, role="user", expires_at=claims["exp"]
        )
        issued = await users.IssueTicket(users_pb2.IssueTicketRequest(session=ref))
        assert issued.expires_in == 30
        assert await users.RedeemTicket(users_pb2.RedeemTicketRequest(ticket=issued.ticket)) == ref
        again = await fails(users.RedeemTicket(users_pb2.RedeemTicketRequest(ticket=issued.ticket)))
        assert (type(again), again.code) == (Unauthenticated, "bad_ticket")
        (session,) = (await users.ListSessions(users_pb2.ListSessionsRequest(user_id=ada.user_id))).sessions
        assert session.id == claims["sid"]
        stale = users_pb2.SessionRef(user_id=ada.user_id, session_id=claims["sid"], version=2)
        checked = await users.CheckSessions(users_pb2.CheckSessionsRequest(sessions=[stale, ref]))
        assert list(checked.valid) == [False, True]
        assert (await users.Keys(users_pb2.KeysRequest())).token_ttl_s == 900
        nothing = await users.UpdateProfile(users_pb2.UpdateProfileRequest(user_id=ada.user_id))
        assert nothing == await users.GetProfile(users_pb2.GetProfileRequest(user_id=ada.user_id))
        changed = await users.UpdateProfile(
            users_pb2.UpdateProfileRequest(user_id=ada.user_id, name="Ada", preferences_json='{"theme":"dark"}')
        )
        assert (changed.name, changed.preferences_json) == ("Ada", '{"theme":"dark"}')


# -- accounts ------------------------------------------------------------------------------------------------------


async def test_accounts(small_house: House) -> None:
    async with small_house.running(login_attempts_per_minute=0) as users:
        made = await users.Register(
            users_pb2.RegisterRequest(name=" Ada ", email=" Ada@Example.org", password=PASSWORD)
        )
        assert (made.name, made.email, made.expires_in) == ("Ada", "ada@example.org", 900)
        assert (await fails(register(users))).code == "email_taken"
        login = await users.Login(users_pb2.LoginRequest(email="ADA@example.org ", password=PASSWORD))
        assert (login.user_id, login.name, login.email) == (made.user_id, "Ada", "ada@example.org")
        assert login.refresh_token != made.refresh_token
        verified = await users.Verify(users_pb2.VerifyRequest(access_token=login.access_token))
        assert (verified.user_id, verified.token_version) == (made.user_id, 1)
        profile = await users.GetProfile(users_pb2.GetProfileRequest(user_id=made.user_id))
        assert (profile.name, profile.email, profile.preferences_json) == ("Ada", "ada@example.org", "{}")
        keys = await users.Keys(users_pb2.KeysRequest())
        assert [len(key.ed25519) for key in keys.keys] == [32]
        for call, family in (
            (users.Verify(users_pb2.VerifyRequest(access_token=login.access_token + "x")), Unauthenticated),
            (users.GetProfile(users_pb2.GetProfileRequest(user_id="\x00")), NotFound),
            (users.Register(users_pb2.RegisterRequest(name="", email="x", password="y")), InvalidInput),
        ):
            assert isinstance(await fails(call), family)


async def test_an_unknown_address_and_a_wrong_password_are_alike(small_house: House) -> None:
    async with small_house.running(login_attempts_per_minute=0) as users:
        await register(users)
        answers = [
            await fails(users.Login(users_pb2.LoginRequest(email=email, password=password)))
            for email, password in (
                ("ada@example.org", "wrong-password-1"),
                ("eve@example.org", PASSWORD),
                ("not an address\x00", PASSWORD),
                ("ada@example.org", "x" * 2000),
                ("ada@example.org", "nul\x00nul-nul"),
            )
        ]
        assert {(type(each), each.code, each.detail) for each in answers} == {
            (Unauthenticated, "bad_credentials", "wrong address or password")
        }


async def test_logins_and_registrations_are_throttled(small_house: House) -> None:
    async with small_house.running(login_attempts_per_minute=3, registrations_per_hour=2) as users:
        await register(users, "ada", "1.1.1.1")
        await register(users, "bob", "1.1.1.1")
        assert isinstance(await fails(register(users, "eve", "1.1.1.1")), TooMany)
        await register(users, "eve", "2.2.2.2")

        def login(name: str, client: str) -> Any:
            return users.Login(users_pb2.LoginRequest(email=f"{name}@example.org", password=PASSWORD, client=client))

        for client in ("1.1.1.1", "2.2.2.2", "3.3.3.3"):
            await login("ada", client)
        assert isinstance(await fails(login("ada", "4.4.4.4")), TooMany)
        await login("bob", "4.4.4.4")
        await login("bob", "5.5.5.5")
        await login("eve", "4.4.4.4")
        error = await fails(login("eve", "4.4.4.4"))
        assert isinstance(error, TooMany)
        assert error.retry_after_s is not None
        assert 0 < error.retry_after_s <= 60


# -- rules ---------------------------------------------------------------------------------------------------------


async def test_what_is_not_a_rule_changes_nothing(small_house: House) -> None:
    async with small_house.running(alerts_per_user=1) as users:
        ada = (await register(users)).user_id
        for request, family, code in (
            (wish(ada, symbol="NOPE"), NotFound, "unknown_symbol"),
            (wish(ada, symbol="\x00"), NotFound, "unknown_symbol"),
            (wish("nobody"), NotFound, "unknown_user"),
            (wish(ada, kind="moving_up"), InvalidInput, "bad_alert"),
            (wish(ada, threshold=float("nan")), InvalidInput, "bad_alert"),
            (wish(ada, expires_at=at(100)), InvalidInput, "bad_alert"),
            (wish(ada, idempotency_key="a\x00b"), InvalidInput, "invalid"),
        ):
            error = await fails(users.CreateAlert(request))
            assert (type(error), error.code) == (family, code)
        assert not (await users.ListAlerts(users_pb2.ListAlertsRequest(user_id=ada))).alerts
        first = await users.CreateAlert(wish(ada, expires_at=at(101), idempotency_key="one"))
        assert first.expires_at == at(101)
        full = await fails(users.CreateAlert(wish(ada)))
        assert (full.code, full.retry_after_s) == ("too_many_alerts", 3600.0)
        same = await users.CreateAlert(wish(ada, expires_at=at(101), idempotency_key="one"))
        assert same.id == first.id
        error = await fails(users.CreateAlert(wish(ada, idempotency_key="one")))
        assert (type(error), error.code) == (Conflict, "idempotency_key_reused")


async def test_the_same_key_twice_at_once_makes_one_rule(house: House) -> None:
    async with house.running() as users:
        ada = (await register(users)).user_id
        made = await asyncio.gather(*(users.CreateAlert(wish(ada, idempotency_key="k")) for _ in range(5)))
        assert len({each.id for each in made}) == 1
        assert len((await users.ListAlerts(users_pb2.ListAlertsRequest(user_id=ada))).alerts) == 1


async def test_rules_are_listed_read_and_deleted_by_their_user_alone(small_house: House) -> None:
    async with small_house.running() as users:
        ada, bob = (await register(users)).user_id, (await register(users, "bob")).user_id
        made = [(await users.CreateAlert(wish(ada, threshold=price))).id for price in (1.0, 2.0, 3.0)]
        page = await users.ListAlerts(users_pb2.ListAlertsRequest(user_id=ada, limit=2))
        rest = await users.ListAlerts(
            users_pb2.ListAlertsRequest(user_id=ada, limit=2, page_token=page.next_page_token)
        )
        assert [each.id for each in (*page.alerts, *rest.alerts)] == made
        assert rest.next_page_token == ""
        for user, alert in ((bob, made[0]), (ada, "nothing"), (ada, "\x00")):
            request = users_pb2.AlertRequest(user_id=user, alert_id=alert)
            assert isinstance(await fails(users.GetAlert(request)), NotFound)
            assert isinstance(await fails(users.DeleteAlert(request)), NotFound)
        await users.DeleteAlert(users_pb2.AlertRequest(user_id=ada, alert_id=made[1]))
        left = await users.ListAlerts(users_pb2.ListAlertsRequest(user_id=ada))
        assert [each.id for each in left.alerts] == [made[0], made[2]]


async def test_symbols_cannot_be_checked_while_stock_data_is_away(tmp_path: Path) -> None:
    async with embedded_kafka(partitions=4) as kafka:
        house = House(tmp_path, None, kafka)
        async with house.running() as users:
            ada = (await register(users)).user_id
            assert isinstance(await fails(users.CreateAlert(wish(ada))), Unavailable)
            async with house.market():
                await until(lambda: _can_create(users, ada))


async def _can_create(users: UsersAsyncStub, user_id: str) -> bool:
    try:
        return bool((await users.CreateAlert(wish(user_id))).id)
    except grpc.aio.AioRpcError:
        return False


async def test_rules_made_while_prices_flow_fire_from_their_position_on(house: House) -> None:
    """Rules come in between ticks at full speed; each fires at every crossing after its own `active_from`, no other."""
    ticks = [tick(seq, 149.0 if seq % 2 else 151.0) for seq in range(1, 2001)]
    async with house.running() as users:
        ada = (await register(users)).user_id
        await until(lambda: _caught_up(house.kafka))
        flowing = asyncio.create_task(house.publish(*ticks))
        made: list[str] = []
        while not flowing.done() and len(made) < 12:
            rule = await users.CreateAlert(wish(ada))
            assert rule.status == "active"
            made.append(rule.id)
        await flowing
        async with migrated(house.settings()) as database:
            await until(lambda: _worked(database, 2000))
    async with migrated(house.settings()) as database:
        starts = await _active_from(database)
        fired = await firings(database)
    assert len(made) > 3
    expected = [(rule, "epoch-1", seq) for rule in made for seq in range(2, 2001, 2) if seq > starts[rule]]
    assert fired == sorted(expected)


async def _worked(database: Database, seq: int) -> bool:
    async with database.reading() as session:
        through = await positions.worked_through(session, CHECKPOINTS, ALERTS.name)
    return through.get("AAPL") == Position("epoch-1", seq)


async def _active_from(database: Database) -> dict[str, int]:
    async with database.reading() as session:
        rows = await session.execute(select(AlertRow.id, AlertRow.active_from_seq))
        return {rule_id: seq or 0 for rule_id, seq in rows}
