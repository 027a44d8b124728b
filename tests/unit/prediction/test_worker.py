"""Signals follow from the records and the model alone: not from batches, crashes, or what comes later."""

import asyncio
import gc
import random
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError

from services.prediction import store
from services.prediction.artifacts import Artifacts
from services.prediction.core.bars import PastBar
from services.prediction.core.models import Forecaster
from services.prediction.core.signals import Policy
from services.prediction.registry import Registry
from services.prediction.worker import Worker
from services.shared.database import Database
from services.shared.errors import Unavailable
from services.shared.events import Bar, Signal, Split, Tick, rfc3339
from services.shared.positions import Step, SymbolState
from services.shared.readers import Fresh
from tests.unit.prediction.samples import (
    NOW,
    REPLAYED,
    START,
    STARTED,
    FakeStock,
    Sent,
    final_bar,
    fresh,
    records,
    tick,
)

BARS = REPLAYED
PARTITION = 3

Make = Callable[..., Worker]


@pytest.fixture
def out() -> Sent:
    return Sent()


@pytest.fixture
def make(stock: FakeStock, registry: Registry, out: Sent) -> Make:
    def made(policy: Policy = "lean") -> Worker:
        return Worker(stock, registry, out, bar="1d", policy=policy)

    return made


def replayed(first: int = START + 1, last: int = 260, epoch: str = "e1") -> list[Tick | Bar]:
    """Both symbols' records of these bars by time, as the partition carries them."""
    both = [record for name, bars in BARS.items() for record in records(name, bars[first:last], epoch=epoch)]
    return sorted(both, key=lambda record: (record.time, record.symbol, record.seq))


async def checkpoint(worker: Worker, database: Database, states: dict[str, bytes]) -> None:
    async with database.transaction() as session:
        states.update((await worker.store(session, [PARTITION]))[PARTITION])
    worker.stored(PARTITION)


async def opened(worker: Worker, states: dict[str, bytes] | None = None) -> Worker:
    stored = {name: SymbolState("e1", 1, state) for name, state in (states or {}).items()}
    await worker.open(PARTITION, stored)
    return worker


async def take(worker: Worker, work: Sequence[Fresh]) -> None:
    """Works, and lets the signals out."""
    await worker.work(PARTITION, work)
    await asyncio.sleep(0)


async def uninterrupted(make: Make, out: Sent, work: Sequence[Fresh]) -> list[bytes]:
    await take(await opened(make()), work)
    events, out.events = out.events, []
    return events


async def test_each_final_bar_gets_its_signal(make: Make, out: Sent, registry: Registry) -> None:
    work = fresh(replayed())
    worker = await opened(make())
    await take(worker, work)
    finals = [each.record for each in work if isinstance(each.record, Bar)]
    assert [(said.symbol, said.epoch, said.seq, said.time) for said in out.signals] == [
        (bar.symbol, bar.epoch, bar.seq, bar.time) for bar in finals
    ]
    by_symbol = [said for said in out.signals if said.symbol == "AAA"]
    assert [said.prev_seq for said in by_symbol] == [0] + [said.seq for said in by_symbol[:-1]]
    model = registry.at(STARTED)
    assert model is not None
    assert {said.model_version for said in out.signals} == {model.model.version}
    assert {said.reason for said in out.signals} <= {None, "outside_domain"}
    assert {said.prediction for said in out.signals} == {"buy", "sell", "hold"}
    assert by_symbol[0].skill == model.forecaster.skills["AAA"]
    assert by_symbol[0].skill != model.forecaster.skills["BBB"]


async def test_targets_are_the_models_answer_to_the_rows_of_training(make: Make, out: Sent, registry: Registry) -> None:
    from services.prediction.core.features import fold

    await uninterrupted(make, out, work := fresh(replayed()))
    await take(await opened(make()), work)
    model = registry.at(STARTED)
    assert model is not None
    rows = dict(zip((bar.time for bar in BARS["AAA"]), fold(BARS["AAA"])[1], strict=True))
    for said in (said for said in out.signals if said.symbol == "AAA"):
        row = rows[said.time]
        assert row is not None
        (forecast,) = model.forecaster.forecast([row])
        assert log(said.price_target / row.close) == pytest.approx(forecast.log_return, abs=1e-6)
        assert said.confidence == pytest.approx(forecast.confidence, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
async def test_neither_batches_nor_crashes_show(make: Make, out: Sent, database: Database, seed: int) -> None:
    work = fresh(replayed())
    expected = await uninterrupted(make, out, work)
    dice, states, done, at = random.Random(seed), dict[str, bytes](), 0, 0
    worker = await opened(make())
    while at < len(work):
        size = dice.choice([1, 2, 3, 7, 50])
        await take(worker, work[at : at + size])
        at += size
        chance = dice.random()
        if chance < 0.2:
            await checkpoint(worker, database, states)
            done = at
        elif chance < 0.3:  # a crash: everything since the checkpoint comes again
            worker.forget(PARTITION)
            worker, at = await opened(make(), states), done
    kept = list(dict.fromkeys(out.events))  # readers drop what they have seen; what comes again is the same to the byte
    assert sorted(kept) == sorted(expected)
    assert len({(said.symbol, said.seq) for said in out.signals}) == len(kept)


async def test_an_answer_does_not_change_when_later_rows_exist(make: Make, out: Sent, stock: FakeStock) -> None:
    expected = await uninterrupted(make, out, fresh(replayed()))
    stock.bars = {name: bars[: START + 30] for name, bars in BARS.items()}
    prefix = await uninterrupted(make, out, fresh(replayed(last=START + 30)))
    assert prefix == expected[: len(prefix)]


async def test_a_new_epoch_says_the_same_again(make: Make, out: Sent, stock: FakeStock) -> None:
    worker = await opened(make())
    await take(worker, fresh(replayed()))
    first, out.events = out.events, []
    stock.epoch = "e2"
    await take(worker, fresh(replayed(epoch="e2")))
    assert [event.replace(b'"epoch":"e2"', b'"epoch":"e1"') for event in out.events] == first


async def test_after_a_gap_the_state_comes_from_history(make: Make, out: Sent, stock: FakeStock) -> None:
    work = [each for each in fresh(replayed()) if each.record.symbol == "AAA"]
    expected = await uninterrupted(make, out, work)
    stock.asked.clear()
    worker = await opened(make())
    lost = work[31]  # the open after a final bar is missing
    after = Fresh(work[32].record, Step(fresh=True, missed=1, new_epoch=False))
    await take(worker, [*work[:31], after, *work[33:]])
    assert stock.asked == [("AAA", work[0].record.time), ("AAA", after.record.time)]
    assert isinstance(lost.record, Tick)
    assert out.events == expected

    out.events.clear()
    worker = await opened(make())
    after = Fresh(work[36].record, Step(fresh=True, missed=6, new_epoch=False))
    await take(worker, [*work[:30], after, *work[37:]])  # two final bars are missing
    found = {said.seq: said for said in out.signals}
    assert found[39].prev_seq == 30  # the signals of 33 and 36 were never made
    assert msgspec.structs.replace(found[39], prev_seq=36, prediction="hold") == msgspec.structs.replace(
        decoded(expected)[39], prediction="hold"
    )


def decoded(events: Sequence[bytes]) -> dict[int, Signal]:
    sent = Sent()
    sent.events = list(events)
    return {said.seq: said for said in sent.signals}


async def test_a_split_on_the_way(make: Make, out: Sent) -> None:
    """Raw bars with a split told between them give the signals of adjusted bars, targets in the new shares."""
    bars, seq = BARS["AAA"][START + 1 : START + 21], 30
    expected = decoded(await uninterrupted(make, out, fresh([r for r in replayed() if r.symbol == "AAA"])))
    split = Split(
        symbol="AAA", ratio=4.0, effective=bars[10].date, epoch="e1", seq=seq + 1, time=records("AAA", bars)[30].time
    )
    after = records("AAA", [quartered(bar) for bar in bars[10:]], seq=seq + 1)
    before = fresh(records("AAA", bars[:10]))
    await take(await opened(make()), [*before, Fresh(split, before[1].step), *fresh(after, first=False)])
    for said in out.signals:
        ratio, shift = (4.0, 1) if said.seq > seq else (1.0, 0)
        same = expected[said.seq - shift]
        assert said.price_target == pytest.approx(same.price_target / ratio, rel=1e-6)
        assert (said.prediction, said.confidence, said.time) == (same.prediction, same.confidence, same.time)
    assert out.signals[-1].price_target < 0.5 * expected[30].price_target


def quartered(bar: PastBar) -> PastBar:
    return bar._replace(
        open=bar.open / 4, high=bar.high / 4, low=bar.low / 4, close=bar.close / 4, volume=bar.volume * 4
    )


async def test_a_young_symbol_warms_up(make: Make, out: Sent, stock: FakeStock) -> None:
    stock.bars = {**BARS, "NEW": ()}
    bars = BARS["AAA"][START + 1 : START + 61]
    await take(await opened(make()), fresh(records("NEW", bars)))
    reasons = [said.reason for said in out.signals]
    assert reasons[:50] == ["warming_up"] * 50
    assert "warming_up" not in reasons[50:]
    assert {said.prediction for said in out.signals[:50]} == {"hold"}
    assert out.signals[-1].skill is None  # never scored on this symbol


async def test_a_symbol_that_stock_data_does_not_know_starts_empty(make: Make, out: Sent) -> None:
    await take(await opened(make()), fresh(records("ZZZ", BARS["AAA"][START + 1 : START + 3])))
    assert [said.reason for said in out.signals] == ["warming_up"] * 2


async def test_without_a_model_it_holds(stock: FakeStock, out: Sent, database: Database, tmp_path: Path) -> None:
    stock.bars = {name: bars[START - 60 :] for name, bars in BARS.items()}
    registry = Registry(stock, database, Artifacts(tmp_path), horizon="1d", clock=lambda: NOW)
    await registry.prepare()
    worker = await opened(Worker(stock, registry, out, bar="1d", policy="lean"))
    await take(worker, fresh(replayed(last=START + 4)))
    assert {(said.prediction, said.reason, said.model_version) for said in out.signals} == {("hold", "no_model", "")}


async def test_policy_edge_holds_where_there_is_none(make: Make, out: Sent, registry: Registry) -> None:
    model = registry.at(STARTED)
    assert model is not None
    skills = model.forecaster.skills
    skills["BBB"] = msgspec.structs.replace(skills["BBB"], hit_rate_interval=(0.4, 0.6))
    await take(await opened(make("edge")), fresh(replayed()))
    assert {said.reason for said in out.signals if said.symbol == "BBB"} <= {"no_edge", "outside_domain"}
    assert None in {said.reason for said in out.signals if said.symbol == "AAA"}


async def test_only_final_bars_of_its_timeframe_count(make: Make, out: Sent) -> None:
    bar = final_bar("AAA", BARS["AAA"][START + 1])
    for other in (msgspec.structs.replace(bar, final=False), msgspec.structs.replace(bar, timeframe="1m")):
        await take(await opened(make()), fresh([other]))
    assert out.events == []


async def test_the_checkpoint_keeps_states_and_latest_signals(make: Make, out: Sent, database: Database) -> None:
    states: dict[str, bytes] = {}
    worker = await opened(make())
    await take(worker, fresh(replayed(last=START + 3)))
    assert not worker.urgent(PARTITION)
    await checkpoint(worker, database, states)
    async with database.reading() as session:
        latest = await store.latest_signals(session, [])
    assert [(each.symbol, each.epoch, each.seq) for each in latest] == [("AAA", "e1", 6), ("BBB", "e1", 6)]
    assert [each.event for each in latest] == out.events[-2:]
    async with database.transaction() as session:
        assert await worker.store(session, [PARTITION]) == {PARTITION: {}}  # nothing new
    at = rfc3339(NOW)
    await take(worker, fresh([tick("AAA", 1.0, at, seq=7)], first=False))
    async with database.transaction() as session:
        assert await worker.store(session, [PARTITION]) == {PARTITION: {}}  # a tick changes no state


@pytest.mark.parametrize("bad", [b"", b"rubbish"])
async def test_a_state_that_cannot_be_read_is_made_anew(make: Make, out: Sent, bad: bytes) -> None:
    work = fresh(replayed())
    expected = await uninterrupted(make, out, work)
    same = [Fresh(each.record, Step(fresh=True, missed=0, new_epoch=False)) for each in work]
    await take(await opened(make(), {"AAA": bad, "BBB": bad}), same)
    assert out.events == expected


async def test_failures_reach_the_reader(make: Make, out: Sent, stock: FakeStock) -> None:
    worker = await opened(make())
    stock.away = True
    with pytest.raises(Unavailable):
        await take(worker, fresh(replayed()))
    assert out.events == []


async def test_no_checkpoint_before_the_broker_has_the_signals(make: Make, out: Sent, database: Database) -> None:
    out.fail_with = KafkaTimeoutError()
    worker, states = await opened(make()), dict[str, bytes]()
    await take(worker, fresh(replayed(last=START + 2)))
    with pytest.raises(KafkaTimeoutError):
        await checkpoint(worker, database, states)
    async with database.reading() as session:
        assert await store.latest_signals(session, []) == []
    worker.forget(PARTITION)  # the reader goes back, and the same records come again
    out.fail_with = None
    await worker.open(PARTITION, {})
    await take(worker, fresh(replayed(last=START + 2)))
    await checkpoint(worker, database, states)
    assert set(states) == {"AAA", "BBB"}


async def test_failures_of_forgotten_signals_trouble_nobody(make: Make, out: Sent) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    out.fail_with = KafkaTimeoutError()
    worker = await opened(make())
    await take(worker, fresh(replayed(last=START + 2)))
    worker.forget(PARTITION)
    await asyncio.sleep(0)
    gc.collect()  # asyncio tells of an exception that nobody looked at when its task goes
    assert problems == []


async def test_nothing_overtakes_what_must_be_sent_again(make: Make, out: Sent) -> None:
    work = fresh(replayed())
    expected = await uninterrupted(make, out, work)
    worker = await opened(make())
    await take(worker, work[:12])
    out.fail_with = KafkaTimeoutError()
    await take(worker, work[12:24])
    out.fail_with = None
    with pytest.raises(KafkaTimeoutError):
        await take(worker, work[24:36])
    assert out.events == expected[:4]
    worker.forget(PARTITION)
    await worker.open(PARTITION, {})
    await take(worker, work)
    assert out.events == expected[:4] + expected


async def test_the_model_is_asked_once_for_a_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    forecast = Forecaster.forecast

    def counted(self: Forecaster, rows: Sequence[object]) -> object:
        asked.append(len(rows))
        return forecast(self, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(Forecaster, "forecast", counted)
    await take(await opened(make()), fresh(replayed()))
    assert asked == [2 * (260 - START - 1)]
