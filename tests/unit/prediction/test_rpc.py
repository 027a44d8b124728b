"""Predict, LatestSignals and ModelStatus answer as proto/prediction.proto says."""

import asyncio
from math import log
from pathlib import Path

import pytest

from services.prediction import store
from services.prediction.artifacts import Artifacts
from services.prediction.clients import Price
from services.prediction.core.features import WARM_UP
from services.prediction.registry import Registry
from services.prediction.rpc import Prediction
from services.prediction.store import Latest
from services.prediction.worker import Worker
from services.shared.database import Database
from services.shared.errors import InvalidInput, NotFound, Unavailable
from services.shared.rpc import prediction_pb2 as pb
from tests.unit.prediction.samples import NOW, REPLAYED, STARTED, FakeStock, Sent, fresh, records

BARS = REPLAYED


@pytest.fixture
def untrained(stock: FakeStock, database: Database, tmp_path: Path) -> Registry:
    """At the first start, before `prepare`."""
    return Registry(stock, database, Artifacts(tmp_path), horizon="1d", clock=lambda: NOW)


@pytest.fixture
def rpc(stock: FakeStock, registry: Registry, database: Database) -> Prediction:
    return Prediction(stock, registry, database)


def ask(ticker: str, horizon: str = "") -> pb.PredictRequest:
    return pb.PredictRequest(ticker=ticker, horizon=horizon)


async def test_predict_says_what_the_signal_says(rpc: Prediction, stock: FakeStock, registry: Registry) -> None:
    stock.clock = BARS["AAA"][230].time
    out = Sent()
    worker = Worker(stock, registry, out, bar="1d", policy="lean")
    await worker.open(0, {})
    await worker.work(0, fresh(records("AAA", BARS["AAA"][201:231])))
    await asyncio.sleep(0)  # lets the signals out
    close = BARS["AAA"][230].close
    stock.prices["AAA"] = Price(close, stock.clock, "e1", 7)
    reply = await rpc.Predict(ask("aaa", "1d"), None)
    said = out.signals[-1]
    assert (reply.ticker, reply.current_price, reply.time) == ("AAA", close, stock.clock)
    assert (reply.price_target, reply.confidence) == (said.price_target, said.confidence)
    assert (reply.direction, reply.model_version) == (said.direction, said.model_version)
    assert (reply.horizon, reply.model) == ("1d", "lightgbm")
    assert (reply.epoch, reply.seq, reply.bar_time) == ("e1", 7, stock.clock)


async def test_predict_starts_from_the_latest_price(rpc: Prediction, stock: FakeStock) -> None:
    stock.clock = BARS["AAA"][230].time
    replies = []
    for price in (100.0, 250.0):
        stock.prices["AAA"] = Price(price, stock.clock)
        replies.append(await rpc.Predict(ask("AAA"), None))
    assert [reply.current_price for reply in replies] == [100.0, 250.0]
    moves = [log(reply.price_target / reply.current_price) for reply in replies]
    assert moves[0] == pytest.approx(moves[1], abs=1e-6)


async def test_a_row_is_made_once_for_each_last_bar(rpc: Prediction, stock: FakeStock) -> None:
    replies = []
    for clock in (STARTED, STARTED, BARS["AAA"][201].time, BARS["AAA"][201].time):
        stock.clock = clock
        stock.bars_given.clear()
        replies.append(await rpc.Predict(ask("AAA"), None))
        replies[-1].time += f" {sum(stock.bars_given)}"
    assert [reply.time.split()[1] for reply in replies] == ["202", "1", "203", "1"]
    assert [reply.price_target for reply in replies[::2]] == [reply.price_target for reply in replies[1::2]]
    assert replies[0].price_target != replies[2].price_target


async def test_before_the_first_price_it_starts_from_the_last_close(rpc: Prediction) -> None:
    reply = await rpc.Predict(ask("AAA"), None)
    last = BARS["AAA"][200]
    assert (reply.current_price, reply.time) == (last.close, last.time)
    assert (reply.epoch, reply.seq, reply.bar_time) == ("", 0, last.time)
    assert 0.1 <= reply.confidence <= 1.0


@pytest.mark.parametrize("horizon", ["2d", "1D", "x"])
async def test_unknown_horizons(rpc: Prediction, horizon: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await rpc.Predict(ask("AAA", horizon), None)
    assert [error.loc for error in caught.value.errors] == ["horizon"]


async def test_unknown_tickers(rpc: Prediction) -> None:
    with pytest.raises(NotFound):
        await rpc.Predict(ask("NOPE"), None)
    with pytest.raises(NotFound):
        await rpc.ModelStatus(pb.ModelStatusRequest(ticker="NOPE"), None)


async def test_too_few_bars_and_no_model(stock: FakeStock, untrained: Registry, database: Database) -> None:
    rpc = Prediction(stock, untrained, database)
    with pytest.raises(Unavailable) as caught:
        await rpc.Predict(ask("AAA"), None)
    assert caught.value.code == "no_model"
    stock.bars = {**BARS, "NEW": BARS["AAA"][: WARM_UP - 1], "NONE": ()}
    await untrained.prepare()
    for ticker in ("NEW", "NONE"):
        with pytest.raises(Unavailable) as caught:
            await rpc.Predict(ask(ticker), None)
        assert caught.value.code == "too_few_bars"


async def test_model_status(rpc: Prediction, registry: Registry) -> None:
    reply = await rpc.ModelStatus(pb.ModelStatusRequest(ticker="aaa"), None)
    effective = registry.at(STARTED)
    assert effective is not None
    scored = effective.model.tickers["AAA"]
    assert (reply.ticker, reply.model_loaded, reply.service_ready, reply.model_type) == ("AAA", True, True, "lightgbm")
    assert reply.model_version == effective.model.version
    found = reply.metrics
    assert (found.train_samples, found.val_samples) == (scored.train_samples, scored.count)
    assert found.val_mae == pytest.approx(scored.mae, abs=1e-6)
    assert found.val_rmse == pytest.approx(scored.rmse, abs=1e-6)
    assert found.baseline_mae == pytest.approx(scored.baseline_mae, abs=1e-6)
    assert found.hit_rate_low < found.hit_rate < found.hit_rate_high
    assert found.baseline_hit_rate == pytest.approx(scored.ups / scored.count, abs=1e-6)
    assert found.training_time > 0


async def test_model_status_of_a_ticker_outside_training(rpc: Prediction, stock: FakeStock, registry: Registry) -> None:
    stock.bars = {**BARS, "NEW": ()}
    reply = await rpc.ModelStatus(pb.ModelStatusRequest(ticker="NEW"), None)
    effective = registry.at(STARTED)
    assert effective is not None
    assert reply.model_loaded
    assert reply.metrics.val_samples == effective.model.overall.count


async def test_model_status_without_a_model(stock: FakeStock, untrained: Registry, database: Database) -> None:
    rpc = Prediction(stock, untrained, database)
    before = await rpc.ModelStatus(pb.ModelStatusRequest(ticker="AAA"), None)
    assert (before.model_loaded, before.service_ready, before.HasField("metrics")) == (False, False, False)
    stock.started = BARS["AAA"][10].time
    await untrained.prepare()
    after = await rpc.ModelStatus(pb.ModelStatusRequest(ticker="AAA"), None)
    assert (after.model_loaded, after.service_ready, after.HasField("metrics")) == (False, True, False)
    assert (after.model_type, after.model_version) == ("lightgbm", "")


async def test_latest_signals(rpc: Prediction, database: Database) -> None:
    async with database.transaction() as session:
        await store.save_latest(session, [Latest("AAA", "e1", 3, b"a"), Latest("BBB", "e1", 6, b"b")])
    everything = await rpc.LatestSignals(pb.LatestSignalsRequest(), None)
    assert [(each.symbol, each.epoch, each.seq, each.event) for each in everything.signals] == [
        ("AAA", "e1", 3, b"a"),
        ("BBB", "e1", 6, b"b"),
    ]
    some = await rpc.LatestSignals(pb.LatestSignalsRequest(symbols=["bbb", "ZZZ"]), None)
    assert [each.symbol for each in some.signals] == ["BBB"]
    with pytest.raises(InvalidInput):
        await rpc.LatestSignals(pb.LatestSignalsRequest(symbols=["?"]), None)


async def test_warm_up(stock: FakeStock, untrained: Registry, registry: Registry, database: Database) -> None:
    before = await Prediction(stock, untrained, database).WarmupStatus(pb.WarmupStatusRequest(), None)
    assert before.started_at == NOW.timestamp()
    assert not before.HasField("completed_at")
    assert not before.HasField("duration_s")
    assert (before.models_loaded, before.models_trained, list(before.errors)) == (0, 0, [])
    after = await Prediction(stock, registry, database).WarmupStatus(pb.WarmupStatusRequest(), None)
    assert (after.completed_at, after.duration_s) == (NOW.timestamp(), 0.0)
    assert (after.models_loaded, after.models_trained, list(after.errors)) == (1, 0, [])
