"""The entrance whole: file to topic, through stops, crashes, takeovers and slow readers."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from services.shared.database import open_database
from services.shared.embedded_kafka import EmbeddedKafka, embedded_kafka
from services.shared.errors import StartFailed
from services.shared.events import Bar, Record, Tick
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.topics import READERS_WITH_STATE, TICKS, partition_of
from services.stock_data.app import build
from services.stock_data.core import sequence
from services.stock_data.store import Page, Store
from tests.integration.stock_data_house import Followers, expected, feed_of, running, settings_of, write_days

TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE")


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """40 days of five tickers: 605 records."""
    return write_days(tmp_path / "days.csv", TICKERS, 40)


@pytest.fixture
async def followers(kafka_cluster: Kafka) -> AsyncIterator[Followers]:
    async with Followers(kafka_cluster) as following:
        yield following


def by_symbol(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.symbol, []).append(record)
    return found


def without_repeats(records: Sequence[Record]) -> list[Record]:
    """What a reader makes of them: nothing at or below the last seq of a symbol, and no hole."""
    last: dict[str, int] = {}
    fresh: list[Record] = []
    for record in records:
        if record.seq > last.get(record.symbol, 0):
            assert record.seq == last.get(record.symbol, 0) + 1
            last[record.symbol] = record.seq
            fresh.append(record)
    return fresh


async def test_every_record_arrives_once_and_each_symbols_in_order(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(tmp_path, days)
    async with running(settings, kafka_cluster):
        arrived = await followers.until(605)
    wanted = expected(feed_of(settings), arrived[0].epoch)
    assert len(arrived) == len(wanted) == 605
    assert by_symbol(arrived) == by_symbol(wanted)


async def test_nothing_goes_out_before_every_reader_is_there(days: Path, tmp_path: Path, kafka_cluster: Kafka) -> None:
    async with running(settings_of(tmp_path, days), kafka_cluster):
        await asyncio.sleep(0.3)
        assert set((await kafka_cluster.ends(TICKS)).values()) == {0}
        async with Followers(kafka_cluster) as followers:
            await followers.until(605)


async def test_the_feed_waits_for_a_slow_reader(tmp_path: Path, kafka_cluster: Kafka, followers: Followers) -> None:
    settings = settings_of(tmp_path, write_days(tmp_path / "one.csv", ("AAA",), 400), reader_lag_limit=100)
    async with running(settings, kafka_cluster):
        await followers.until(100)
        followers.committing.clear()
        ends = await _until_still(kafka_cluster)
        behind = [
            ends[number] - (offset or 0)
            for number, offset in (await kafka_cluster.committed(READERS_WITH_STATE[0])).items()
        ]
        assert max(behind) == 100
        followers.committing.set()
        assert len(await followers.until(1_201)) == 1_201


async def _until_still(kafka: Kafka) -> dict[int, int]:
    """The ends of topic `ticks` once they don't move any more."""
    before = await kafka.ends(TICKS)
    while True:
        await asyncio.sleep(0.7)  # longer than the feed's pause between two looks at its readers
        if (now := await kafka.ends(TICKS)) == before:
            return now
        before = now


async def test_a_bar_is_stored_before_its_record_can_be_read(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(tmp_path, days, replay_rate="400")
    database = open_database(settings, "stock_data")
    async with running(settings, kafka_cluster):
        store, checked = Store(database, "replay", "looking on"), 0
        for count in range(50, 601, 50):
            newest = [record for record in await followers.until(count) if isinstance(record, Bar)][-5:]
            for record in newest:
                bar = sequence.final_bar(record)
                assert bar in await store.bars(
                    Page(bar.symbol, "1d", bar.end + 1, 1, newest=True, last_start=bar.start)
                )
                checked += 1
    await database.close()
    assert checked > 30


async def test_after_a_stop_it_goes_on_behind_the_last_record(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(tmp_path, days, replay_rate="400")
    for count in (1, 150, 300):
        async with running(settings, kafka_cluster):
            await followers.until(count)
    async with running(settings_of(tmp_path, days), kafka_cluster):
        arrived = await followers.until(605)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))  # not even a repeat


async def test_after_a_crash_nothing_is_missing_and_repeats_are_known(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(tmp_path, days, replay_rate="2000")
    for count in (1, 200, 400):
        crashing = asyncio.create_task(build(settings, kafka_cluster).run(asyncio.Event()))
        await followers.until(count)
        crashing.cancel()
        with suppress(asyncio.CancelledError):
            await crashing
    async with running(settings, kafka_cluster):
        while len(arrived := without_repeats(followers.records)) < 605:
            await followers.until(len(followers.records) + 1)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))


async def test_where_the_log_died_it_goes_on_behind_what_every_reader_has_worked_through(
    days: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, days)
    async with embedded_kafka() as kafka, Followers(kafka) as followers, running(settings, kafka):
        first = await followers.until(605)
    epoch = first[0].epoch
    wanted = expected(feed_of(settings), epoch)
    alerts = {symbol: Position(epoch, 70) for symbol in TICKERS} | {"BBB": Position(epoch, 12)}
    signals = {symbol: Position(epoch, 90) for symbol in TICKERS} | {"CCC": Position("an older one", 5)}

    async def worked_through() -> Sequence[Mapping[str, Position]]:
        return [alerts, signals]

    missing = next(n for n, record in enumerate(wanted) if record.symbol == "CCC")
    async with embedded_kafka() as kafka, Followers(kafka) as followers, running(settings, kafka, worked_through):
        again = await followers.until(605 - missing)
    assert by_symbol(again) == by_symbol(wanted[missing:])

    signals["CCC"] = Position(epoch, 80)
    missing = next(n for n, record in enumerate(wanted) if record.symbol == "BBB" and record.seq == 13)
    async with embedded_kafka() as kafka, Followers(kafka) as followers, running(settings, kafka, worked_through):
        again = await followers.until(605 - missing)
    assert by_symbol(again) == by_symbol(wanted[missing:])


async def test_the_loop_begins_a_new_epoch_from_the_start(
    tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(
        tmp_path, write_days(tmp_path / "few.csv", ("AAA",), 5), replay_loop=True, replay_start=date(2001, 1, 4)
    )
    feed = feed_of(settings)
    async with running(settings, kafka_cluster):
        arrived = await followers.until(18)
    epochs = sorted({record.epoch for record in arrived})
    assert arrived[:18] == [record for epoch in epochs[:3] for record in expected(feed, epoch)]


@pytest.mark.parametrize("change", ["start", "symbols", "file"])
async def test_another_file_or_start_is_a_new_epoch_without_a_trace_of_later_bars(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers, change: str
) -> None:
    async with running(settings_of(tmp_path, days), kafka_cluster):
        first = await followers.until(605)
    changes: dict[str, dict[str, object]] = {
        "start": {"replay_start": date(2001, 1, 3)},
        "symbols": {"symbols": "AAA,BBB"},
        "file": {},
    }
    if change == "file":
        write_days(days, TICKERS, 30)
    settings = settings_of(tmp_path, days, replay_rate="0.001", **changes[change])
    database = open_database(settings, "stock_data")
    async with running(settings, kafka_cluster):
        arrived = await followers.until(606)
        kept = await Store(database, "replay", "looking on").bars(Page("AAA", "1d", 1 << 60, 100))
    await database.close()
    assert arrived[605].epoch > first[0].epoch
    assert arrived[605].seq == 1
    assert [bar.date for bar in kept] == (["2001-01-01", "2001-01-02"] if change == "start" else [])


async def test_who_is_taken_over_stops_with_one_line(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    settings = settings_of(tmp_path, days, replay_rate="50")
    old = asyncio.create_task(build(settings, kafka_cluster).run(asyncio.Event()))
    await followers.until(1)
    async with running(settings_of(tmp_path, days, grpc_listen=f"unix:{tmp_path}/other"), kafka_cluster):
        with pytest.raises(StartFailed, match="another stock_data has taken the feed over; this one stops"):
            await old
        while len(arrived := without_repeats(followers.records)) < 605:
            await followers.until(len(followers.records) + 1)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))


async def test_an_outage_of_kafka_holds_the_feed_up_and_loses_nothing(days: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, days, replay_rate="1000")
    broker = EmbeddedKafka()
    try:
        async with Followers(broker.kafka) as followers, running(settings, broker.kafka):
            await followers.until(100)
            broker.set_up(False)
            await asyncio.sleep(0.5)
            broker.set_up(True)
            while len(arrived := without_repeats(followers.records)) < 605:
                await followers.until(len(followers.records) + 1)
    finally:
        await broker.kafka.close()
        await asyncio.to_thread(broker.close)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))


async def test_an_outage_of_the_database_holds_the_feed_up_and_loses_nothing(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, failures = Store.advance, iter([True, False, True, True] + [False] * 1_000)

    async def advance(store: Store, *args: Any) -> None:
        if next(failures):
            raise OperationalError("UPDATE feed", {}, sqlite3.OperationalError("database is locked"))
        await works(store, *args)

    monkeypatch.setattr(Store, "advance", advance)
    settings = settings_of(tmp_path, days, replay_rate="400")
    async with running(settings, kafka_cluster):
        arrived = await followers.until(605)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))
    assert not next(failures)


async def test_it_stops_during_an_outage(days: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, days, replay_rate="1000")
    broker = EmbeddedKafka()
    try:
        async with Followers(broker.kafka) as followers:
            async with asyncio.timeout(20), running(settings, broker.kafka):
                await followers.until(100)
                broker.set_up(False)
            broker.set_up(True)
            async with running(settings, broker.kafka):
                while len(arrived := without_repeats(followers.records)) < 605:
                    await followers.until(len(followers.records) + 1)
    finally:
        await broker.kafka.close()
        await asyncio.to_thread(broker.close)
    assert by_symbol(arrived) == by_symbol(expected(feed_of(settings), arrived[0].epoch))


async def test_records_lie_where_their_readers_look(
    days: Path, tmp_path: Path, kafka_cluster: Kafka, followers: Followers
) -> None:
    async with running(settings_of(tmp_path, days), kafka_cluster):
        await followers.until(605)
    ends = await kafka_cluster.ends(TICKS)
    wanted = dict.fromkeys(ends, 0)
    for symbol in TICKERS:
        wanted[partition_of(symbol, len(ends))] += 121
    assert ends == wanted


async def test_ticks_become_minute_and_daily_bars(tmp_path: Path, kafka_cluster: Kafka, followers: Followers) -> None:
    path = tmp_path / "ticks.csv"
    rows = [f"2024-07-02T14:{minute:02d}:30Z,AAA,{10 + minute}" for minute in range(3)]
    path.write_text("\n".join(["timestamp,symbol,price", *rows]) + "\n")
    async with running(settings_of(tmp_path, path), kafka_cluster):
        arrived = await followers.until(7)
    kinds = [record.timeframe if isinstance(record, Bar) else type(record).__name__ for record in arrived]
    assert kinds == ["Tick", "1m", "Tick", "1m", "Tick", "1m", "1d"]
    assert [record.price for record in arrived if isinstance(record, Tick)] == [10.0, 11.0, 12.0]
    assert [record.seq for record in arrived] == [1, 2, 3, 4, 5, 6, 7]
