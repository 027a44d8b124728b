"""The entrance's store, the same on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from services.shared.errors import Fenced
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound
from services.stock_data.feeds.catalogue import open_feed
from services.stock_data.store import Beginning, Coverage, Page, Progress, Store

DAY = 86_400_000_000
STARTED = 100 * DAY


def bar(symbol: str, day: int, price: float = 10.0) -> FinalBar:
    return FinalBar(symbol, "1d", day * DAY, day * DAY + 5, f"day {day:03d}", price, price + 1, price - 1, price, 7.0)


def split(symbol: str, day: int) -> SplitFound:
    return SplitFound(symbol, 2.0, f"day {day:03d}", day * DAY)


HISTORY = ([bar("A", day) for day in range(90, 100)] + [bar("B", 99)], [split("A", 95)])
START = Beginning("file", "epoch1", STARTED, "log", {"A": "Tech", "B": ""}, HISTORY)


@pytest.fixture
async def database(database_url: str | None, tmp_path: Path) -> AsyncIterator[Database]:
    url = None if database_url is None else SecretStr(database_url)
    opened = open_database(SharedSettings(data_dir=tmp_path, database_url=url), "stock_data")
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> Store:
    """Begun, and ours."""
    store = Store(database, "replay", "me")
    assert await store.take_over("log") is None
    await store.begin(START)
    return store


def page(symbol: str = "A", *, limit: int = 100, **more: object) -> Page:
    return replace(Page(symbol, "1d", 1_000 * DAY, limit), **more)  # type: ignore[arg-type]


async def days(store: Store, **asked: object) -> list[int]:
    return [each.start // DAY for each in await store.bars(page(**asked))]  # type: ignore[arg-type]


async def test_history_comes_back_as_it_was_stored(store: Store) -> None:
    assert await store.bars(page()) == HISTORY[0][:10]
    assert await store.splits("A") == HISTORY[1]
    assert await store.splits("B") == []
    assert await store.sectors() == {"A": "Tech", "B": ""}


async def test_pages(store: Store) -> None:
    assert await days(store, limit=3) == [90, 91, 92]
    assert await days(store, limit=3, newest=True) == [97, 98, 99]
    assert await days(store, first_start=94 * DAY, last_start=96 * DAY) == [94, 95, 96]
    assert await days(store, before=92 * DAY + 5) == [90, 91]  # a bar is seen once its end is past
    assert await days(store, before=92 * DAY + 6) == [90, 91, 92]
    assert await days(store, symbol="C") == []
    assert await days(store, timeframe="1m") == []


async def test_coverage_is_that_of_the_asked_instant(store: Store) -> None:
    assert await store.coverage(before=92 * DAY) == {"A": Coverage(2, "day 090", "day 091")}
    assert (await store.coverage(before=STARTED))["B"] == Coverage(1, "day 099", "day 099")


async def test_bars_are_there_with_the_progress_and_coming_by_again_changes_nothing(store: Store) -> None:
    for _ in range(2):
        await store.advance(6, [bar("A", 100)], [split("B", 100)])
    await store.advance(6, [bar("A", 100, price=99.0)])
    assert await store.bars(page(first_start=STARTED)) == [bar("A", 100)]
    assert await store.splits("B") == [split("B", 100)]
    assert await store.take_over("log") == Progress("file", "epoch1", 6, "log")


async def test_who_takes_over_stops_the_one_before(store: Store, database: Database) -> None:
    other = Store(database, "replay", "other")
    assert await other.take_over("another log") == Progress("file", "epoch1", 0, "log")
    with pytest.raises(Fenced, match="another stock_data has taken the feed over"):
        await store.advance(1, [bar("A", 100)])
    with pytest.raises(Fenced):
        await store.begin(replace(START, epoch="epoch2"))
    await other.advance(2)
    assert await days(other, first_start=STARTED) == []  # nothing of the fenced one was stored
    assert await store.take_over("log") == Progress("file", "epoch1", 2, "another log")


async def test_two_that_begin_at_once_are_told_apart(database: Database) -> None:
    one, two = Store(database, "replay", "one"), Store(database, "replay", "two")
    assert await one.take_over("log") is None
    assert await two.take_over("log") is None
    await one.begin(START)
    with pytest.raises(Fenced):
        await two.begin(replace(START, epoch="epoch2"))


async def test_the_same_feed_again_keeps_its_history_and_forgets_the_rest(store: Store) -> None:
    await store.advance(6, [bar("A", 100), bar("A", 101)], [split("A", 100)])
    await store.begin(replace(START, epoch="epoch2", history=None))
    assert await days(store) == list(range(90, 100))
    assert await store.splits("A") == HISTORY[1]
    assert await store.take_over("log") == Progress("file", "epoch2", 0, "log")


async def test_another_feed_leaves_nothing_of_the_one_before(store: Store, database: Database) -> None:
    await store.advance(6, [bar("A", 100)])
    await store.begin(Beginning("other", "epoch2", STARTED, "log", {"C": ""}, ([bar("C", 99)], [])))
    assert await store.sectors() == {"C": ""}
    assert await days(store) == []
    assert await days(store, symbol="C") == [99]


async def test_another_source_is_left_alone(store: Store, database: Database) -> None:
    other = Store(database, "upload", "me")
    await other.take_over("log")
    await other.begin(replace(START, history=([bar("A", 42)], [])))
    await store.begin(replace(START, epoch="epoch2", history=([], [])))
    assert await days(other) == [42]
    assert await days(store) == []


async def test_the_bundled_history_is_stored_whole(store: Store) -> None:
    feed = open_feed("replay", symbols=(), start=None)
    bars = [item for item in feed.items() if isinstance(item, FinalBar) and item.end <= feed.started]
    await store.begin(replace(START, started=feed.started, history=(bars, [])))
    assert await store.bars(page("IBM", limit=10_000, before=feed.started)) == [
        each for each in bars if each.symbol == "IBM"
    ]
    assert sum(covered.rows for covered in (await store.coverage(feed.started)).values()) == len(bars) > 10_000
