"""Firings, rule states and positions stored together: whatever crashes, each rule fires exactly as it should have."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from services.shared import positions
from services.shared.database import Database
from services.shared.events import AccountUpdated, AlertTriggered, Prediction, Record, Signal
from services.shared.positions import Checkpoint, Position, Step, Tracker
from services.shared.readers import Fresh
from services.shared.topics import ALERTS
from services.users import worker
from services.users.bell import Bell, Takings
from services.users.core.asked import Asked, AskedCondition
from services.users.core.bars import Past
from services.users.core.crossings import CrossingUp
from services.users.core.drafts import Draft, Outcome, checked
from services.users.store import alerts, watching
from services.users.tables import CHECKPOINTS, AlertRow
from services.users.worker import AlertWork
from tests.unit.users.room import CREATED, add_rule, add_user, draft, firings, migrated, outbox, settings_of
from tests.unit.users.ticks import at, split, tick


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    async with migrated(settings_of(tmp_path, database_url)) as opened:
        yield opened


class Owner:
    """Does with one partition what the reader does, one step at a time, so that a test can crash between any two."""

    def __init__(self, database: Database, log: Sequence[Record]) -> None:
        self.database, self.log = database, log
        self.outbox = Bell()
        self.work = AlertWork(database, 1, lambda: CREATED, self.outbox, Bell(), Takings())
        self.claim: Checkpoint
        self.tracker = Tracker()
        self.moved: set[str] = set()
        self.offset = 0

    async def open(self) -> "Owner":
        """A process begins: what was not checkpointed by the one before is read again."""
        async with self.database.transaction() as session:
            self.claim = await positions.load(session, CHECKPOINTS, ALERTS.name, 0, "log")
        self.offset = self.claim.next_offset or 0
        self.tracker = Tracker({s: Position(each.epoch, each.seq) for s, each in self.claim.symbols.items()})
        await self.work.open(0, self.claim.symbols)
        await self.checkpoint()
        return self

    async def read(self, count: int) -> None:
        """Works on records; of more effects than one transaction takes, only the last ones are left to be stored."""
        batch = self.log[self.offset : self.offset + count]
        steps = [Fresh(each, self.tracker.advance(each.symbol, each.epoch, each.seq)) for each in batch]
        fresh, done = [each for each in steps if each.step.fresh], 0
        while done < len(fresh):
            done += await self.work.work(0, fresh[done:])
            if done < len(fresh):
                await self.effects()
        self.moved.update(each.symbol for each in batch)
        self.offset += len(batch)

    async def effects(self, most: int = 1_000) -> None:
        """Stores them, in so many transactions at most."""
        while self.work.effects(0) and most > 0:
            async with self.database.transaction(brief=True) as session:
                await positions.hold(session, CHECKPOINTS, [self.claim])
                await self.work.store_effects(session, [0])
            self.work.effects_stored(0)
            most -= 1

    async def take_in(self) -> None:
        symbols = ["AAPL", "IBM"]
        async with self.database.reading() as session:
            news = await watching.news(session, symbols, 100)
        reached = {symbol: at for symbol in symbols if (at := self.tracker.position(symbol))}
        await self.work.take(0, news, reached)
        await self.checkpoint()

    async def checkpoint(self) -> None:
        await self.effects()
        async with self.database.transaction() as session:
            states = (await self.work.store(session, [0]))[0]
            changed = {
                symbol: positions.SymbolState(at.epoch, at.seq, states[symbol])
                for symbol in self.moved
                if (at := self.tracker.position(symbol))
            }
            await positions.save(session, CHECKPOINTS, self.claim, self.offset, changed)
        self.work.stored(0)
        self.moved = set()


def walk(seed: int, count: int) -> list[Record]:
    """Prices of two symbols that wander around 150 (before splits); now and then a split, once a new epoch."""
    rng = random.Random(seed)
    off, share, seqs = {"AAPL": 0.0, "IBM": 0.0}, {"AAPL": 1.0, "IBM": 1.0}, {"AAPL": 0, "IBM": 0}
    log: list[Record] = []
    for number in range(count):
        symbol = rng.choice(["AAPL", "IBM"])
        if number == count // 2:
            seqs = {"AAPL": 0, "IBM": 0}
        epoch = "epoch-1" if number < count // 2 else "epoch-2"
        seqs[symbol] += 1
        if rng.random() < 0.01:
            ratio = rng.choice([2.0, 0.5])
            share[symbol] /= ratio
            log.append(split(seqs[symbol], ratio, symbol=symbol, epoch=epoch))
            continue
        off[symbol] = max(-4.0, min(4.0, off[symbol] + rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0])))
        price = (150.0 + off[symbol]) * share[symbol]
        log.append(tick(seqs[symbol], price, second=number, symbol=symbol, epoch=epoch))
    return log


KINDS = ("greater_than", "less_than", "crossing", "crossing_up", "crossing_down")


def wishes(seed: int, count: int) -> list[Draft]:
    rng = random.Random(seed)
    return [
        draft(
            rng.choice(KINDS),
            rng.choice([148.0, 149.0, 150.0, 151.5]),
            every_time=rng.random() < 0.8,
            symbol=rng.choice(["AAPL", "IBM"]),
        )
        for _ in range(count)
    ]


async def run(database: Database, log: Sequence[Record], asked: Sequence[Draft], crashes: random.Random | None) -> None:
    """Reads the whole log in batches of 7; a third of the rules is there before, the rest is made every 70 records."""
    user = await add_user(database)
    waiting = list(asked)
    for _ in range(len(asked) // 3):
        await add_rule(database, user, waiting.pop())
    owner = await Owner(database, log).open()
    made_at = set[int]()
    while owner.offset < len(log):
        if owner.offset % 70 == 0 and owner.offset not in made_at and waiting:
            made_at.add(owner.offset)
            await add_rule(database, user, waiting.pop())
            await owner.take_in()
        await owner.read(7)
        if owner.work.effects(0) or owner.work.urgent(0) or owner.offset % 140 == 0:
            if crashes is not None and crashes.random() < 0.3:
                owner = await Owner(database, log).open()
                continue
            await owner.effects()
            if owner.work.urgent(0) or owner.offset % 35 == 0:
                await owner.checkpoint()
        elif crashes is not None and crashes.random() < 0.1:
            owner = await Owner(database, log).open()
    await owner.checkpoint()


async def told(database: Database) -> list[tuple[int, str, int]]:
    """(number of the rule in the order of making, epoch, seq) of all firings."""
    async with database.reading() as session:
        rows = await session.execute(select(AlertRow.id, AlertRow.number))
        numbers = {rule_id: number for rule_id, number in rows}
    return sorted((numbers[rule_id], epoch, seq) for rule_id, epoch, seq in await firings(database))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_firings_after_crashes_equal_those_without(tmp_path: Path, database: Database, seed: int) -> None:
    log, asked = walk(seed, 700), wishes(seed, 12)
    async with migrated(settings_of(tmp_path / "calm", None)) as calm:
        await run(calm, log, asked, None)
        expected = await told(calm)
    assert len(expected) > 20
    await run(database, log, asked, random.Random(seed))
    assert await told(database) == expected
    events = [each for each in await outbox(database) if isinstance(each, AlertTriggered)]
    assert sorted((each.alert_id, each.epoch, each.seq) for each in events) == await firings(database)


async def test_thousands_at_once_are_stored_in_pieces_and_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_IN_ONE_TRANSACTION", 10)
    user = await add_user(database)
    rules = [await add_rule(database, user, draft(every_time=False)) for _ in range(95)]
    log = [tick(1, 149.0), tick(2, 151.0), tick(3, 149.0), tick(4, 151.0)]
    crashed = await Owner(database, log).open()
    await crashed.read(2)
    await crashed.effects(most=3)
    assert len(await firings(database)) == 30  # ahead of the checkpoint
    owner = await Owner(database, log).open()  # ... which never came
    await owner.read(4)
    await owner.checkpoint()
    assert await firings(database) == sorted((rule_id, "epoch-1", 2) for rule_id in rules)
    assert len(await outbox(database)) == 95


async def test_a_rule_changed_between_a_crash_and_the_next_start_tells_of_no_record_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_IN_ONE_TRANSACTION", 2)
    user = await add_user(database)
    rules = [await add_rule(database, user) for _ in range(5)]
    log = [tick(1, 149.0), tick(2, 151.0), tick(3, 149.0), tick(4, 151.0)]
    crashed = await Owner(database, log).open()
    await crashed.read(2)
    await crashed.effects(most=1)
    changed, _, _ = (await firings(database))[0]  # stored ahead of a checkpoint that never came
    async with database.transaction() as session:
        await alerts.change_alert(session, changed, draft(threshold=150.5), Outcome("active", anew=True))
    owner = await Owner(database, log).open()
    await owner.read(4)
    await owner.checkpoint()
    assert await firings(database) == sorted((each, "epoch-1", seq) for each in rules for seq in (2, 4))
    told = [each for each in await outbox(database) if isinstance(each, AlertTriggered)]
    assert sorted((each.alert_id, each.epoch, each.seq) for each in told) == await firings(database)
    assert [each.rule_version for each in told if each.alert_id == changed] == [1, 2]


async def test_a_rule_counts_from_where_it_was_taken_in(database: Database) -> None:
    user = await add_user(database)
    log = [tick(1, 149.0), tick(2, 151.0), tick(3, 149.0), tick(4, 151.0)]
    owner = await Owner(database, log).open()
    await owner.read(3)
    rule_id = await add_rule(database, user)
    await owner.take_in()
    async with database.reading() as session:
        row = (await session.scalars(select(AlertRow))).one()
    assert (row.status, row.taken, row.active_from_epoch, row.active_from_seq) == ("active", True, "epoch-1", 3)
    await owner.read(1)  # the very next price crosses, seen from the side of the last one
    await owner.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 4)]


async def test_a_rule_made_while_nobody_was_there_counts_from_the_checkpoint(database: Database) -> None:
    user = await add_user(database)
    log = [tick(1, 149.0), tick(2, 151.0)]
    owner = await Owner(database, log).open()
    await owner.read(1)
    await owner.checkpoint()
    rule_id = await add_rule(database, user)
    again = await Owner(database, log).open()
    async with database.reading() as session:
        row = (await session.scalars(select(AlertRow))).one()
    assert (row.status, row.active_from_seq) == ("active", 1)
    await again.read(1)
    await again.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 2)]


async def test_a_rule_before_any_price_counts_from_the_first(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user, draft("greater_than"))
    crossing = await add_rule(database, user)
    owner = await Owner(database, [tick(1, 151.0), tick(2, 149.0), tick(3, 150.0)]).open()
    await owner.read(3)
    await owner.checkpoint()
    assert await firings(database) == sorted([(rule_id, "epoch-1", 1), (crossing, "epoch-1", 3)])


async def test_a_deleted_rule_fires_no_more_even_before_its_owner_knows(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user)
    owner = await Owner(database, [tick(1, 149.0), tick(2, 151.0), tick(3, 149.0), tick(4, 151.0)]).open()
    await owner.read(1)
    async with database.transaction() as session:
        assert await alerts.delete_alert(session, user, rule_id)
    await owner.read(1)
    await owner.checkpoint()
    await owner.take_in()
    await owner.read(2)
    await owner.checkpoint()
    assert await firings(database) == []
    assert await outbox(database) == []
    async with database.reading() as session:
        assert (await session.scalars(select(AlertRow))).all() == []


async def test_once_ends_a_rule_for_good(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user, draft(every_time=False))
    log = [tick(1, 149.0), tick(2, 151.0), tick(3, 149.0), tick(4, 151.0)]
    owner = await Owner(database, log).open()
    await owner.read(2)
    assert owner.work.effects(0)
    await owner.effects()  # no checkpoint follows
    again = await Owner(database, log).open()
    await again.read(2)
    await again.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 2)]
    async with database.reading() as session:
        found = await alerts.alert_of(session, user, rule_id)
    assert found is not None
    assert found.status == "fired"


async def test_a_split_is_told_of_by_a_rule_that_ended_right_after_it_and_a_crash(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user, draft("crossing_up", 600.0, every_time=False))
    log: list[Record] = [tick(1, 500.0), split(2, 4.0), tick(3, 125.0), tick(4, 151.0)]
    crashed = await Owner(database, log).open()
    await crashed.read(4)
    await crashed.effects()  # no checkpoint follows
    owner = await Owner(database, log).open()
    await owner.read(4)
    await owner.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 4)]
    assert sorted(type(each).__name__ for each in await outbox(database)) == ["AccountUpdated", "AlertTriggered"]
    async with database.reading() as session:
        found = await alerts.alert_of(session, user, rule_id)
    assert found is not None
    assert found.status == "fired"


async def test_a_split_is_stored_and_told(database: Database) -> None:
    user = await add_user(database)
    rule_id = await add_rule(database, user, draft("crossing_up", 600.0))
    log: list[Record] = [tick(1, 500.0), split(2, 4.0), tick(3, 125.0)]
    owner = await Owner(database, log).open()
    await owner.read(3)
    await owner.checkpoint()
    async with database.reading() as session:
        found = await alerts.alert_of(session, user, rule_id)
    assert found is not None
    assert found.rule.conditions == (CrossingUp(150.0),)
    [event] = await outbox(database)
    assert isinstance(event, AccountUpdated)
    assert (event.event, event.user_id) == ("alert_rescaled", user)
    again = await Owner(database, [*log, tick(4, 150.0)]).open()
    await again.read(1)
    await again.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 4)]


class Days:
    """stock_data as far as rules look back: two days, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, str]] = []

    async def past(self, symbol: str, timeframe: str, count: int, before: str) -> Sequence[Past]:
        self.asked.append((symbol, timeframe, count, before))
        return [Past(at(-200_000), 149.5, 140.0, 1.0), Past(at(-100_000), 150.0, 141.0, 1.0)]


async def test_a_rule_is_given_the_days_that_it_looks_back_at(database: Database) -> None:
    user = await add_user(database)
    wish = checked(
        Asked(symbol="AAPL", conditions=(AskedCondition("new_high", days=2),), trigger="every_time"),
    )
    rule_id = await add_rule(database, user, wish)
    owner = Owner(database, [tick(1, 149.0), tick(2, 150.0), tick(3, 150.5)])
    days = Days()
    owner.work = AlertWork(database, 1, lambda: CREATED, owner.outbox, Bell(), Takings(), days)
    await owner.open()
    await owner.read(2)
    await owner.checkpoint()
    owner.work = AlertWork(database, 1, lambda: CREATED, owner.outbox, Bell(), Takings(), days)
    await owner.open()  # a process after it asks again, for what was final by then
    await owner.read(1)
    await owner.checkpoint()
    assert await firings(database) == [(rule_id, "epoch-1", 3)]
    assert [each[:3] for each in days.asked] == [("AAPL", "1d", 3)] * 3
    assert days.asked[-1][3] == at(2)


async def test_a_rule_on_signals_tells_the_last_price(database: Database) -> None:
    user = await add_user(database)
    wish = checked(
        Asked(symbol="AAPL", conditions=(AskedCondition("prediction_changed", to="buy"),), trigger="every_time")
    )
    rule_id = await add_rule(database, user, wish)
    prices = await Owner(database, [tick(1, 149.0)]).open()
    await prices.read(1)
    await prices.checkpoint()
    work = AlertWork(database, 1, lambda: CREATED, Bell(), Bell(), Takings(), source="signals")
    await work.open(0, {})
    says: tuple[Prediction, ...] = ("hold", "buy")
    told = [Fresh(prediction(seq, each), Step(True, 0, seq == 1)) for seq, each in enumerate(says, 1)]
    await work.work(0, told)
    async with database.transaction(brief=True) as session:
        await work.store_effects(session, [0])
    work.effects_stored(0)
    assert await firings(database) == [(rule_id, "epoch-1", 2)]
    [event] = await outbox(database)
    assert isinstance(event, AlertTriggered)
    assert (event.condition, event.threshold, event.price) == ("prediction_changed", None, 149.0)


def prediction(seq: int, said: Prediction) -> Signal:
    return Signal(
        symbol="AAPL", prediction=said, timestamp=at(seq), epoch="epoch-1", seq=seq, prev_seq=0, time=at(seq),
        confidence=0.5, horizon="1d", price_target=155.0, direction="bullish", interval=None, model_version="1",
        skill=None, valid_until=at(seq), reason=None,
    )  # fmt: skip
