"""Rows of models and of latest signals, on SQLite."""

from datetime import UTC, datetime

from services.prediction import store
from services.prediction.core.models import Model
from services.prediction.store import Latest
from services.shared.database import Database

NOW = datetime(2024, 1, 2, tzinfo=UTC)


async def promote(database: Database, model: Model, cut: str, *, feed: str = "replay", sha256: str = "s") -> None:
    async with database.transaction() as session:
        await store.promote(session, model, feed=feed, cut=cut, sha256=sha256, training_s=0.5, now=NOW)


async def test_promoted_models_by_cut(database: Database, model: Model) -> None:
    for cut, feed in (("2012-02", "replay"), ("2012-01", "replay"), ("2012-01", "csv")):
        await promote(database, model, cut, feed=feed)
    async with database.reading() as session:
        rows = await store.promoted_models(session, "replay", "1d", "1d")
        assert await store.promoted_models(session, "replay", "1d", "5d") == []
    assert [row.cut for row in rows] == ["2012-01", "2012-02"]
    assert (rows[0].version, rows[0].sessions, rows[0].training_s) == (model.version, model.sessions, 0.5)
    assert rows[0].metrics["AAA"]["train_samples"] == model.tickers["AAA"].train_samples


async def test_a_second_promotion_at_a_cut_replaces_the_first(database: Database, model: Model) -> None:
    await promote(database, model, "2012-01", sha256="first")
    await promote(database, model, "2012-01", sha256="second")
    async with database.reading() as session:
        rows = await store.promoted_models(session, "replay", "1d", "1d")
    assert [row.sha256 for row in rows] == ["second"]


async def test_latest_signals(database: Database) -> None:
    first = [Latest("AAA", "e1", 3, b"a3"), Latest("BBB", "e1", 3, b"b3")]
    for signals in (first, [], [Latest("AAA", "e1", 6, b"a6"), Latest("CCC", "e1", 3, b"c3")]):
        async with database.transaction() as session:
            await store.save_latest(session, signals)
    async with database.reading() as session:
        found = await store.latest_signals(session, [])
        assert found == [Latest("AAA", "e1", 6, b"a6"), first[1], Latest("CCC", "e1", 3, b"c3")]
        assert await store.latest_signals(session, ["CCC", "AAA", "ZZZ"]) == [found[0], found[2]]
