"""Rules that are changed while prices flow, over gRPC and the real reader: nothing is missed, nothing comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from services.shared import positions
from services.shared.database import Database
from services.shared.errors import InvalidInput, NotFound
from services.shared.positions import Position
from services.shared.rpc import users_pb2 as pb
from services.shared.topics import ALERTS
from services.users.tables import CHECKPOINTS, AlertRow, FiringRow
from tests.integration.users_house import House, fails, register, wish
from tests.unit.users.room import firings, migrated, until
from tests.unit.users.ticks import at, tick

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone


@pytest.fixture
async def database(house: House, users: UsersAsyncStub) -> AsyncIterator[Database]:
    async with migrated(house.settings()) as opened:
        yield opened


async def change(users: UsersAsyncStub, rule: pb.Alert, user_id: str, **fields: Any) -> pb.Alert:
    paused = fields.pop("paused", None)
    asked = pb.CreateAlertRequest(**fields)
    return await users.UpdateAlert(
        pb.UpdateAlertRequest(user_id=user_id, alert_id=rule.id, rule=asked, given=list(fields), paused=paused)
    )


async def worked(database: Database, seq: int) -> bool:
    async with database.reading() as session:
        through = await positions.worked_through(session, CHECKPOINTS, ALERTS.name)
    return through.get("AAPL") == Position("epoch-1", seq)


def line(threshold: float) -> list[pb.Condition]:
    return [pb.Condition(type="crossing_up", threshold=threshold)]


def other_line(number: int) -> dict[str, Any]:
    return {"conditions": line(150.0 + number % 2 / 2)}


def other_text(number: int) -> dict[str, Any]:
    return {"message": f"text {number}"}


@pytest.mark.parametrize(("changed", "anew"), [(other_line, True), (other_text, False)])
async def test_every_crossing_fires_once_whatever_is_changed(
    house: House,
    users: UsersAsyncStub,
    database: Database,
    changed: Callable[[int], dict[str, Any]],
    anew: bool,
) -> None:
    """Each second price crosses all lines that the rule ever has: one firing each, by the version then in force."""
    count = 3000
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada))
    ticks = [tick(seq, 149.0 if seq % 2 else 151.0) for seq in range(1, count + 1)]

    async def flow() -> None:
        for first in range(0, count, 500):  # else the reader may take all of them behind the last change
            await house.publish(*ticks[first : first + 500])
            await until(partial(worked, database, first + 500))

    flowing = asyncio.create_task(flow())
    changes = 0
    while not flowing.done():
        changes += 1
        found = await change(users, rule, ada, **changed(changes))
        assert found.status in ("active", "pending")
    await flowing
    await until(lambda: worked(database, count))
    async with database.reading() as session:
        fired = (await session.execute(select(FiringRow.seq, FiringRow.rule_version).order_by(FiringRow.seq))).all()
    assert changes > 3
    assert [seq for seq, _ in fired] == list(range(2, count + 1, 2))
    versions = [version for _, version in fired]
    assert versions == sorted(versions)
    assert (len(set(versions)) > 1) == anew
    assert found.version == (changes + 1 if anew else 1)


async def test_a_rule_that_fired_is_made_active_again(house: House, users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada, trigger="once"))
    await house.publish(tick(1, 149.0), tick(2, 151.0))
    await until(lambda: worked(database, 2))
    found = await change(users, rule, ada, message="other words")
    assert (found.status, found.version, found.message) == ("fired", 1, "other words")
    found = await change(users, rule, ada, paused=False)
    assert (found.status, found.version) == ("active", 2)
    await house.publish(tick(3, 149.0), tick(4, 151.0))
    await until(lambda: worked(database, 4))
    assert (await change(users, rule, ada, conditions=line(152.0))).status == "active"
    await house.publish(tick(5, 151.0), tick(6, 153.0))
    await until(lambda: worked(database, 6))
    assert await firings(database) == [(rule.id, "epoch-1", seq) for seq in (2, 4, 6)]


async def test_a_paused_rule_is_silent(house: House, users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada))
    assert (await change(users, rule, ada, paused=True)).status == "paused"
    await house.publish(tick(1, 149.0), tick(2, 151.0), tick(3, 149.0))
    await until(lambda: worked(database, 3))
    assert (await change(users, rule, ada, cooldown_s=5)).status == "paused"
    assert (await change(users, rule, ada, paused=False)).status == "active"
    await house.publish(tick(4, 151.0))
    await until(lambda: worked(database, 4))
    assert await firings(database) == [(rule.id, "epoch-1", 4)]


async def test_a_snooze_runs_on_tick_time(house: House, users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada))
    found = await change(users, rule, ada, snooze_s=5)  # the market's clock stands at 100
    assert (found.snoozed_until, found.version) == (at(105), 1)
    await house.publish(
        tick(1, 149.0, second=101), tick(2, 151.0, second=104), tick(3, 149.0, second=105), tick(4, 151.0, second=106)
    )
    await until(lambda: worked(database, 4))
    assert await firings(database) == [(rule.id, "epoch-1", 4)]
    found = await change(users, rule, ada, snoozed_until=None)
    assert not found.HasField("snoozed_until")


async def test_a_rule_goes_to_another_symbol(house: House, users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada))
    found = await change(users, rule, ada, symbol="IBM")
    assert (found.symbol, found.status) == ("IBM", "active")
    ticks = [(1, 149.0), (2, 151.0), (3, 149.0), (4, 151.0)]
    await house.publish(*(tick(seq, price, symbol="IBM") for seq, price in ticks))
    await house.publish(*(tick(seq, price) for seq, price in ticks))
    await until(lambda: worked(database, 4))
    await until(lambda: fired(database, 2))
    async with database.reading() as session:
        assert set(await session.scalars(select(FiringRow.symbol))) == {"IBM"}


async def fired(database: Database, count: int) -> bool:
    return len(await firings(database)) >= count


async def test_wrong_changes_change_nothing(users: UsersAsyncStub, database: Database) -> None:
    ada, bob = (await register(users)).user_id, (await register(users, "bob")).user_id
    rule = await users.CreateAlert(wish(ada))
    for fields, family in (
        ({"conditions": line(-1.0)}, InvalidInput),
        ({"conditions": []}, InvalidInput),
        ({"expires_at": at(100)}, InvalidInput),
        ({"channels": ["webhook:nothing"]}, InvalidInput),
        ({"message": "{moon}"}, InvalidInput),
        ({"symbol": "NOPE"}, NotFound),
    ):
        assert isinstance(await fails(change(users, rule, ada, **fields)), family)
    assert isinstance(await fails(change(users, rule, bob, paused=True)), NotFound)
    wrong = pb.UpdateAlertRequest(user_id=ada, alert_id=rule.id, given=["version"])
    assert isinstance(await fails(users.UpdateAlert(wrong)), InvalidInput)
    assert await users.GetAlert(pb.AlertRequest(user_id=ada, alert_id=rule.id)) == rule


async def test_two_at_once_both_count(users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    rule = await users.CreateAlert(wish(ada))
    await asyncio.gather(*(change(users, rule, ada, **other_line(number)) for number in (1, 2, 3)))
    async with database.reading() as session:
        row = (await session.execute(select(AlertRow.revision, AlertRow.taken))).one()
    assert (row.revision, row.taken) == (4, True)


async def test_rules_are_listed_by_symbol_and_status(users: UsersAsyncStub, database: Database) -> None:
    ada = (await register(users)).user_id
    apple, ibm = await users.CreateAlert(wish(ada)), await users.CreateAlert(wish(ada, symbol="IBM"))
    await change(users, ibm, ada, paused=True)
    for symbol, status, found in (
        ("AAPL", "", [apple.id]),
        ("", "active", [apple.id]),
        ("", "paused", [ibm.id]),
        ("AAPL", "paused", []),
        ("", "pending", []),
    ):
        page = await users.ListAlerts(pb.ListAlertsRequest(user_id=ada, symbol=symbol, status=status))
        assert [each.id for each in page.alerts] == found
    assert isinstance(await fails(users.ListAlerts(pb.ListAlertsRequest(user_id=ada, status="odd"))), InvalidInput)
