"""StatefulReader: nothing lost, nothing done twice, whoever owns the partition and whatever fails in between."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from sqlalchemy import Column, Integer, MetaData, String, Table, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import bulk, positions
from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import Fenced
from services.shared.events import Tick, encode
from services.shared.kafka import Kafka, connect
from services.shared.poison import Unreadable
from services.shared.positions import SymbolState
from services.shared.readers import Fresh, StatefulReader
from services.shared.topics import ALERTS, TICKS, partition_of
from tests.servers.kafka import KafkaServer

METADATA = MetaData()
CHECKPOINTS = positions.checkpoint_tables(METADATA)
SEEN, AHEAD = (
    Table(name, METADATA, Column("symbol", String, primary_key=True), Column("seq", Integer, primary_key=True))
    for name in ("seen", "ahead")
)


class Ledger:
    """Work that stores every record's position once: a second time would break the primary key.

    Every 89th is an effect: stored ahead, however often, two at most in a transaction; a batch ends behind the third.
    """

    def __init__(self) -> None:
        self.pending: dict[int, list[tuple[str, int]]] = {}
        self.ahead: dict[int, list[tuple[str, int]]] = {}
        self.storing: dict[int, int] = {}
        self.sums: dict[int, dict[str, int]] = {}
        self.fail_next: Exception | None = None

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        self.pending[partition] = []
        self.ahead[partition] = []
        self.sums[partition] = {symbol: int(state.state) for symbol, state in states.items()}

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error
        for number, each in enumerate(records, 1):
            self.pending[partition].append((each.record.symbol, each.record.seq))
            sums = self.sums[partition]
            sums[each.record.symbol] = sums.get(each.record.symbol, 0) + each.record.seq
            if each.record.seq % 89 == 0:
                self.ahead[partition].append((each.record.symbol, each.record.seq))
                if len(self.ahead[partition]) == 3:
                    return number
        return len(records)

    def effects(self, partition: int) -> bool:
        return bool(self.ahead[partition])

    async def store_effects(self, session: AsyncSession, partitions: Sequence[int]) -> None:
        for each in partitions:
            some = [{"symbol": symbol, "seq": seq} for symbol, seq in self.ahead[each][:2]]
            self.storing[each] = len(some)
            await bulk.insert_new(session, AHEAD, some)

    def effects_stored(self, partition: int) -> None:
        del self.ahead[partition][: self.storing[partition]]

    def urgent(self, partition: int) -> bool:
        return any(seq % 97 == 0 for _, seq in self.pending[partition])

    async def store(self, session: AsyncSession, partitions: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        seen = [{"symbol": symbol, "seq": seq} for each in partitions for symbol, seq in self.pending[each]]
        if seen:
            await session.execute(SEEN.insert(), seen)
        return {each: {symbol: str(total).encode() for symbol, total in self.sums[each].items()} for each in partitions}

    def stored(self, partition: int) -> None:
        self.pending[partition] = []

    def forget(self, partition: int) -> None:
        self.pending.pop(partition, None)
        self.ahead.pop(partition, None)
        self.sums.pop(partition, None)


@pytest.fixture
async def database(database_url: str | None, tmp_path: Path) -> AsyncIterator[Database]:
    settings = SharedSettings(data_dir=tmp_path, database_url=database_url and SecretStr(database_url))
    opened = open_database(settings, "ledger")
    async with opened.engine.begin() as connection:
        if not opened.sqlite:
            await connection.execute(text("CREATE SCHEMA ledger"))
        await connection.run_sync(METADATA.create_all)
    yield opened
    await opened.close()


def tick(symbol: str, seq: int, epoch: str = "e1") -> bytes:
    time = "2024-01-02T14:30:00.000000Z"
    return encode(Tick(symbol=symbol, price=1.0 + seq, timestamp=time[:19] + "Z", epoch=epoch, seq=seq, time=time))


async def publish(kafka: Kafka, symbols: Sequence[str], first: int, last: int) -> None:
    producer = await kafka.producer(bulk=True)
    try:
        sent = []
        for seq in range(first, last + 1):
            for symbol in symbols:
                where = partition_of(symbol, kafka.partitions(TICKS))
                sent.append(await producer.send(TICKS.name, tick(symbol, seq), key=symbol.encode(), partition=where))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def seen(database: Database) -> dict[str, list[int]]:
    """What is in a checkpoint; effects are stored at the latest with it."""
    async with database.reading() as session:
        found: dict[str, list[int]] = {}
        for symbol, seq in await session.execute(select(SEEN.c.symbol, SEEN.c.seq).order_by(SEEN.c.symbol, SEEN.c.seq)):
            found.setdefault(symbol, []).append(seq)
        ahead = {(symbol, seq) for symbol, seq in await session.execute(select(AHEAD.c.symbol, AHEAD.c.seq))}
    assert ahead >= {(symbol, seq) for symbol, seqs in found.items() for seq in seqs if seq % 89 == 0}
    return found


async def until_seen(database: Database, symbols: Sequence[str], last: int) -> None:
    async with asyncio.timeout(20):
        while True:
            found = await seen(database)
            if all(found.get(symbol, [0])[-1] >= last for symbol in symbols):
                return
            await asyncio.sleep(0.05)


async def until_lag_is_zero(kafka: Kafka) -> None:
    async with asyncio.timeout(10):
        while set((await kafka.lag(ALERTS)).values()) != {0}:  # noqa: ASYNC110 (Kafka tells nobody)
            await asyncio.sleep(0.02)


SYMBOLS = ("AAPL", "IBM", "MSFT", "GOOG", "FB")
on_sqlite_only = pytest.mark.parametrize("database_url", [None], ids=["sqlite"])


async def test_each_record_is_stored_once_over_failures_and_repeats(kafka_cluster: Kafka, database: Database) -> None:
    kafka = kafka_cluster
    ledger = Ledger()
    reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, ledger)
    await reader.start()
    await publish(kafka, SYMBOLS, 1, 300)
    await until_seen(database, SYMBOLS, 300)
    ledger.fail_next = OSError("the disk was away")
    await publish(kafka, SYMBOLS, 301, 400)
    await until_seen(database, SYMBOLS, 400)
    await publish(kafka, SYMBOLS, 395, 420)  # repeats, as after a crash of the writer
    await until_seen(database, SYMBOLS, 420)
    await reader.stop()
    assert await seen(database) == {symbol: list(range(1, 421)) for symbol in SYMBOLS}
    async with database.reading() as session:
        through = await positions.worked_through(session, CHECKPOINTS, ALERTS.name)
    assert {position.seq for position in through.values()} == {420}


async def test_lag_tells_readiness_and_progress(kafka_cluster: Kafka, database: Database) -> None:
    kafka = kafka_cluster
    assert set((await kafka.lag(ALERTS)).values()) == {None}
    reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Ledger())
    await reader.start()
    await until_lag_is_zero(kafka)
    await publish(kafka, SYMBOLS, 1, 50)
    assert sum(lag or 0 for lag in (await kafka.lag(ALERTS)).values()) > 0
    await until_lag_is_zero(kafka)
    assert await seen(database) == {symbol: list(range(1, 51)) for symbol in SYMBOLS}
    await reader.stop()


async def test_a_new_log_is_read_from_its_beginning_and_repeats_are_dropped(database: Database) -> None:
    for first, last in ((1, 120), (100, 250)):
        async with embedded_kafka(partitions=4) as kafka:  # a fresh broker: offsets restart
            reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Ledger())
            await reader.start()
            await publish(kafka, ("AAPL",), first, last)
            await until_seen(database, ("AAPL",), last)
            await reader.stop()
    assert await seen(database) == {"AAPL": list(range(1, 251))}


async def test_an_unreadable_record_is_parked_with_its_reason(kafka_cluster: Kafka, database: Database) -> None:
    kafka = kafka_cluster
    reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Ledger())
    await reader.start()
    producer = await kafka.producer()
    where = partition_of("AAPL", kafka.partitions(TICKS))
    for value in (tick("AAPL", 1), b'{"type":"stock_price_update"', b"\xff", tick("AAPL", 2)):
        await producer.send_and_wait(TICKS.name, value, partition=where)
    await producer.stop()
    await until_seen(database, ("AAPL",), 2)
    assert await seen(database) == {"AAPL": [1, 2]}
    dead = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    dead.assign([TopicPartition(TICKS.dead, 0)])
    await dead.start()
    letters = [await asyncio.wait_for(dead.getone(), 5) for _ in range(2)]
    await dead.stop()
    await reader.stop()
    assert [letter.value for letter in letters] == [b'{"type":"stock_price_update"', b"\xff"]
    assert all(dict(letter.headers)["reason"] for letter in letters)


async def test_a_topic_that_is_nearly_all_bad_ends_the_reader(database: Database) -> None:
    async with embedded_kafka(partitions=4) as kafka:
        reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Ledger())
        await reader.start()
        producer = await kafka.producer(bulk=True)
        for _ in range(400):
            await producer.send(TICKS.name, b"not JSON", partition=0)
        await producer.stop()
        with pytest.raises(Unreadable):
            await asyncio.wait_for(reader.failed, 10)
        await reader.stop()


@pytest.mark.apache_kafka
async def test_two_members_share_the_partitions_and_one_goes_on_alone(
    empty_apache_kafka: KafkaServer, database: Database
) -> None:
    kafka = await connect(empty_apache_kafka.bootstrap, 30)
    symbols = [f"S{number}" for number in range(40)]
    one, two = (StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Ledger()) for _ in range(2))
    await one.start()
    await two.start()
    async with asyncio.timeout(30):
        while not (one.owned and two.owned and len(one.owned | two.owned) == kafka.partitions(TICKS)):  # noqa: ASYNC110 (Kafka tells nobody)
            await asyncio.sleep(0.1)
    assert not one.owned & two.owned
    await publish(kafka, symbols, 1, 100)
    await until_seen(database, symbols, 100)
    await one.stop()
    await publish(kafka, symbols, 101, 150)
    await until_seen(database, symbols, 150)
    await two.stop()
    await kafka.close()
    assert await seen(database) == {symbol: list(range(1, 151)) for symbol in symbols}


class Slow(Ledger):
    """Takes `takes_s` to open partition 0, which has `begun`. inside: the partitions that are being opened just now."""

    def __init__(self, takes_s: float) -> None:
        super().__init__()
        self.takes_s = takes_s
        self.begun = asyncio.Event()
        self.inside: set[int] = set()

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        assert partition not in self.inside
        self.inside.add(partition)
        try:
            if partition == 0:
                self.begun.set()
                await asyncio.sleep(self.takes_s)
            await super().open(partition, states)
        finally:
            self.inside.remove(partition)


class Unopened(Ledger):
    """Can't open partition `closed`. refused: how often it was asked to."""

    def __init__(self, closed: int | None) -> None:
        super().__init__()
        self.closed = closed
        self.refused = 0

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        if partition == self.closed:
            self.refused += 1
            raise OSError("the disk was away")
        await super().open(partition, states)


class Counting(StatefulReader):
    """Counts the partitions that the group gave it."""

    got = 0

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.got += len(partitions)
        await super().assigned(partitions)


@on_sqlite_only
@pytest.mark.apache_kafka
async def test_a_load_that_takes_longer_than_the_session_loses_no_member(
    empty_apache_kafka: KafkaServer, database: Database, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    session_ms, takes_s = (6_000, 8.0) if full else (1_000, 2.0)
    shorter = {"session_timeout_ms": session_ms, "heartbeat_interval_ms": session_ms // 4}
    batches = Kafka.batches
    monkeypatch.setattr(Kafka, "batches", lambda kafka, prompt: batches(kafka, prompt=prompt) | shorter)
    kafka = await connect(empty_apache_kafka.bootstrap, 30)
    symbols = [f"S{number}" for number in range(40)]
    works = Slow(takes_s), Slow(takes_s)
    one, two = (Counting(kafka, ALERTS, database, CHECKPOINTS, work) for work in works)
    await one.start()
    await works[0].begun.wait()
    await two.start()  # in the middle of a load
    async with asyncio.timeout(30):
        while len(one.owned | two.owned) < kafka.partitions(TICKS):  # noqa: ASYNC110 (Kafka tells nobody)
            await asyncio.sleep(0.1)
    assert not one.owned & two.owned
    await publish(kafka, symbols, 1, 50)
    await until_seen(database, symbols, 50)
    # all, and then some of these; who had been expelled would have got others, and what stayed is not given again
    assert (one.got, two.got) == (kafka.partitions(TICKS), len(two.owned))
    await one.stop()
    await two.stop()
    await kafka.close()
    assert await seen(database) == {symbol: list(range(1, 51)) for symbol in symbols}


@on_sqlite_only
async def test_what_is_taken_away_while_it_loads_is_not_worked_on(database: Database) -> None:
    async with embedded_kafka(partitions=4) as kafka:
        work = Slow(60.0)
        reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, work)
        await reader.start()
        await work.begun.wait()
        everything = range(kafka.partitions(TICKS))
        await reader.revoked(everything)
        assert reader.owned == frozenset()
        assert work.inside == set()
        assert work.pending == {}
        work.takes_s = 0.0
        await reader.assigned(everything)
        await publish(kafka, SYMBOLS, 1, 50)
        await until_seen(database, SYMBOLS, 50)
        await reader.stop()
        assert await seen(database) == {symbol: list(range(1, 51)) for symbol in SYMBOLS}


@on_sqlite_only
async def test_who_loses_the_claim_while_loading_stores_nothing_and_loads_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with embedded_kafka(partitions=4) as kafka:
        symbol = next(f"S{each}" for each in range(999) if partition_of(f"S{each}", kafka.partitions(TICKS)) == 0)
        work = Slow(0.5)
        reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, work)
        await reader.start()
        await work.begun.wait()
        async with database.transaction() as session:  # another's claim, which comes to nothing
            await positions.load(session, CHECKPOINTS, ALERTS.name, 0, kafka.log_id)
        await publish(kafka, [symbol], 1, 50)
        await until_seen(database, [symbol], 50)
        await reader.stop()
    assert "back to the checkpoint: partition 0 of users-alerts has another owner now" in caplog.text
    assert await seen(database) == {symbol: list(range(1, 51))}


@on_sqlite_only
async def test_a_partition_that_cannot_be_loaded_holds_up_no_other_and_is_told_of_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickroom.reader")
    async with embedded_kafka(partitions=4) as kafka:
        ledger = Unopened(0)
        reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, ledger)
        await reader.start()
        everything = frozenset(range(kafka.partitions(TICKS)))
        async with asyncio.timeout(10):
            while reader.owned != everything - {0} or ledger.refused < 3:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        ledger.closed = None
        async with asyncio.timeout(10):
            while "works again" not in caplog.text:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert reader.owned == everything
        await reader.stop()
    said = [each.getMessage() for each in caplog.records if each.name == "tickroom.reader"]
    assert said == [
        "users-alerts: back to the checkpoint: the disk was away",
        f"users-alerts: {len(everything)} partitions of topic ticks are ours",
        f"users-alerts: works again on all of its {len(everything)} partitions",
    ]


async def store_under(database: Database, claim: positions.Checkpoint) -> None:
    async with database.transaction() as session:
        await session.execute(SEEN.insert().values(symbol="A", seq=1))
        await positions.save(session, CHECKPOINTS, claim, 10, {})


async def test_an_old_claim_cannot_save(database: Database) -> None:
    async with database.transaction() as session:
        old = await positions.load(session, CHECKPOINTS, "r", 0, "log")
    async with database.transaction() as session:
        new = await positions.load(session, CHECKPOINTS, "r", 0, "log")
    with pytest.raises(Fenced):
        await store_under(database, old)
    with pytest.raises(Fenced):
        async with database.transaction(brief=True) as session:
            await positions.hold(session, CHECKPOINTS, [old])
    assert await seen(database) == {}
    async with database.transaction() as session:
        await positions.save(session, CHECKPOINTS, new, 10, {"A": SymbolState("e", 1, b"x")})
    async with database.transaction() as session:
        loaded = await positions.load(session, CHECKPOINTS, "r", 0, "log")
    assert loaded.next_offset == 10
    assert loaded.symbols == {"A": SymbolState("e", 1, b"x")}


async def test_nobody_loads_a_partition_while_effects_are_stored_under_a_claim(database: Database) -> None:
    order = []

    async def load() -> None:
        async with database.transaction() as session:
            await positions.load(session, CHECKPOINTS, "r", 0, "log")
        order.append("loaded")

    async with database.transaction() as session:
        claim = await positions.load(session, CHECKPOINTS, "r", 0, "log")
    async with database.transaction(brief=True) as session:
        await positions.hold(session, CHECKPOINTS, [claim])
        loading = asyncio.create_task(load())
        await asyncio.sleep(0.2)
        order.append("stored")
    await loading
    assert order == ["stored", "loaded"]


async def test_another_number_of_partitions_keeps_every_state(database: Database) -> None:
    states = {symbol: SymbolState("e", 1, symbol.encode()) for symbol in SYMBOLS}
    async with database.transaction() as session:
        loaded = await positions.load(session, CHECKPOINTS, "r", 0, "log")
        await positions.save(session, CHECKPOINTS, loaded, 1, states)
        await positions.repartition(session, CHECKPOINTS, "r", 4)
    found: dict[str, SymbolState] = {}
    for partition in range(4):
        async with database.transaction() as session:
            loaded = await positions.load(session, CHECKPOINTS, "r", partition, "log")
        assert all(partition_of(symbol, 4) == partition for symbol in loaded.symbols)
        found |= loaded.symbols
    assert found == states
