"""Which model decides: by the data's time alone, after whatever restart; and no bar by a model that has seen it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from services.prediction.artifacts import Artifacts
from services.prediction.registry import Registry
from services.shared.database import Database
from services.shared.errors import Unavailable
from tests.unit.prediction.samples import NOW, REPLAYED, STARTED, FakeStock

BARS = REPLAYED
DAYS = BARS["AAA"]

Make = Callable[[FakeStock], Registry]


@pytest.fixture
def make(database: Database, tmp_path: Path) -> Make:
    """A new process each time, on the same database and files."""
    return lambda stock: Registry(stock, database, Artifacts(tmp_path), horizon="1d", clock=lambda: NOW)


async def test_trains_at_the_epochs_start_on_what_came_before(make: Make, stock: FakeStock) -> None:
    registry = make(stock)
    ready_before = registry.is_ready
    await registry.prepare()
    await registry.ready()
    assert (ready_before, registry.is_ready) == (False, True)
    assert (registry.warm_up.models_trained, registry.warm_up.models_loaded) == (1, 0)
    assert {before for _, before in stock.asked} == {STARTED}
    effective = registry.at(STARTED)
    assert effective is not None
    assert effective.cut == STARTED
    assert effective.training_s > 0
    assert registry.at(DAYS[199].time) is None  # it has seen that bar
    assert registry.current(DAYS[199].time) is effective  # but now is not before the start
    assert await registry.for_bar(DAYS[201].time) is effective


async def test_a_restart_loads_and_does_not_train(
    make: Make, stock: FakeStock, caplog: pytest.LogCaptureFixture
) -> None:
    first = make(stock)
    await first.prepare()
    stock.asked.clear()
    caplog.set_level(logging.INFO, "tickroom")
    again = make(stock)
    await again.prepare()
    assert stock.asked == []
    assert (again.warm_up.models_trained, again.warm_up.models_loaded) == (0, 1)
    trained, loaded = first.at(STARTED), again.at(STARTED)
    assert trained is not None
    assert loaded is not None
    assert loaded.model == trained.model
    assert loaded.training_s == trained.training_s
    assert caplog.messages == [f"model {loaded.model.version} loaded: it decides from {STARTED[:10]} on"]


@pytest.mark.parametrize("damage", ["damaged", "No such file"])
async def test_a_lost_file_is_trained_again(
    make: Make, stock: FakeStock, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = make(stock)
    await first.prepare()
    trained = first.at(STARTED)
    assert trained is not None
    path = Artifacts(tmp_path).path(trained.model.version)
    if damage == "damaged":
        path.write_bytes(b"{}")
    else:
        path.unlink()
    again = make(stock)
    await again.prepare()
    assert any(damage in message and "training it again" in message for message in caplog.messages)
    assert again.warm_up.errors == [f"model {trained.model.version} was lost"]
    assert again.warm_up.models_trained == 1
    found = again.at(STARTED)
    assert found is not None
    assert found.model == trained.model
    assert path.exists()


async def test_an_earlier_start_never_gets_a_later_model(make: Make, stock: FakeStock) -> None:
    await make(stock).prepare()
    stock.started = DAYS[150].time
    registry = make(stock)
    await registry.prepare()
    early, late = registry.at(DAYS[199].time), registry.at(DAYS[250].time)
    assert early is not None
    assert late is not None
    assert (early.cut, late.cut) == (DAYS[150].time, STARTED)
    assert early.model.version != late.model.version


async def test_another_files_models_are_not_used(make: Make, stock: FakeStock) -> None:
    await make(stock).prepare()
    other = FakeStock({"ZZZ": BARS["BBB"]}, started=DAYS[210].time)
    registry = make(other)
    await registry.prepare()
    found = registry.at(DAYS[220].time)
    assert found is not None
    assert set(found.model.tickers) == {"ZZZ"}


async def test_without_history_it_trains_at_the_first_month_with_enough(make: Make, stock: FakeStock) -> None:
    stock.started = DAYS[0].time
    registry = make(stock)
    await registry.prepare()
    await registry.ready()
    cuts = [found.cut if (found := await registry.for_bar(day.time)) else None for day in DAYS[:150]]
    first = next(place for place, cut in enumerate(cuts) if cut)
    # 51 bars to warm up and 60 labelled dates reach into June 2010; July is the first month that begins with them
    assert (DAYS[first].date, cuts[first]) == ("2010-07-01", "2010-07-01T00:00:00.000000Z")
    assert set(cuts[first:]) == {cuts[first]}

    # a crash, and the same bars again: the same model for each
    again = make(stock)
    await again.prepare()
    repeated = [found.cut if (found := await again.for_bar(day.time)) else None for day in DAYS[:150]]
    assert repeated == cuts


async def test_trains_anew_when_the_data_have_doubled(make: Make, stock: FakeStock) -> None:
    stock.started = DAYS[0].time
    registry = make(stock)
    await registry.prepare()
    cuts = {found.cut[:10] for day in DAYS if (found := await registry.for_bar(day.time))}
    # July's is trained on some 70 sessions, as many later it is October; November's on 140, and the data end sooner
    assert sorted(cuts) == ["2010-07-01", "2010-11-01"]


async def test_who_asks_first_makes_no_difference(make: Make, stock: FakeStock) -> None:
    """A symbol that was listed late has its first bar years in, and its partition may be read before the others."""
    stock.started = DAYS[0].time
    late = make(stock)
    await late.prepare()
    await late.for_bar(DAYS[-1].time)
    cuts = {found.cut[:10] for day in DAYS if (found := await late.for_bar(day.time))}
    assert sorted(cuts) == ["2010-07-01", "2010-11-01"]


async def test_waits_for_the_feed(make: Make, stock: FakeStock) -> None:
    stock.epoch = ""
    registry = make(stock)
    preparing = asyncio.create_task(registry.prepare())
    await asyncio.sleep(0.05)
    waiting = registry.is_ready
    stock.epoch, stock.away = "e1", True
    await asyncio.sleep(0.15)
    stock.away = False
    await preparing
    assert (waiting, registry.is_ready) == (False, True)
    assert registry.at(STARTED) is not None
    assert registry.warm_up.errors == []  # rooms that start together find one another in a moment


async def test_a_new_epoch_from_another_file(make: Make, stock: FakeStock) -> None:
    registry = make(stock)
    await registry.prepare()
    kept = registry.at(STARTED)
    stock.epoch = "e2"
    await registry.follow("e2")
    assert registry.at(STARTED) is kept  # the loop of the same file: nothing is loaded or trained
    stock.epoch, stock.bars = "e3", {"ZZZ": BARS["BBB"]}
    await registry.follow("e3")
    found = registry.at(STARTED)
    assert found is not None
    assert set(found.model.tickers) == {"ZZZ"}


async def test_stopping_ends_the_wait_and_the_training(make: Make, stock: FakeStock) -> None:
    registry = make(stock)
    registry.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await registry.ready()
    with pytest.raises(Unavailable, match="stopping"):
        await registry.prepare()
    assert not registry.is_ready
    assert registry.at(STARTED) is None


async def test_an_unreachable_stock_data_fails_a_later_training(make: Make, stock: FakeStock) -> None:
    stock.started = DAYS[0].time
    registry = make(stock)
    await registry.prepare()
    stock.away = True
    with pytest.raises(Unavailable):
        await registry.for_bar(DAYS[140].time)
    stock.away = False
    assert await registry.for_bar(DAYS[140].time) is not None  # the reader comes back to that bar
