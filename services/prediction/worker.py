"""Final bars in, signals out: the Work of the reader of topic `ticks`.

Decision points are set by the data (a final bar), so neither Kafka's batches nor crashes show in the signals: all bars
that became final within a batch go through the model in one call, then each is decided in order. Signals are published
and acknowledged before the checkpoint; after a crash the same ones come again and are dropped by their cause.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.prediction import metrics, store
from services.prediction.clients import StockData
from services.prediction.core import signals
from services.prediction.core.features import DEFINITION, Features, Row, fold
from services.prediction.core.models import Forecast
from services.prediction.core.signals import Policy, Reason
from services.prediction.registry import Effective, Registry
from services.prediction.store import Latest
from services.shared.errors import NotFound
from services.shared.events import Bar, Prediction, Signal, Split, encode
from services.shared.positions import SymbolState
from services.shared.readers import Fresh

HISTORY_BARS: Final = 400
"""Bars from which a state is made anew: what came before has lost all weight (below 1e-9) in every average."""


class Signals(Protocol):
    """Where signals go, (symbol, event) each: publisher.py."""

    async def publish(self, signals: Sequence[tuple[str, bytes]]) -> None: ...


class Symbol(msgspec.Struct):
    """What is remembered of a symbol. prediction, prev_seq: of its last signal in this epoch (0: none yet)."""

    features: Features
    prediction: Prediction = "hold"
    prev_seq: int = 0
    definition: str = DEFINITION


@dataclass(slots=True)
class _Partition:
    symbols: dict[str, Symbol]
    changed: set[str] = field(default_factory=set)
    latest: dict[str, Latest] = field(default_factory=dict)
    publishing: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Decided:
    """A final bar with all that its decision needs; row is None while the symbol warms up."""

    symbol: Symbol
    bar: Bar
    row: Row | None
    model: Effective | None


class Worker:
    """Work of shared/readers.py. bar: the timeframe at whose final bars signals are decided."""

    def __init__(self, stock: StockData, registry: Registry, out: Signals, *, bar: str, policy: Policy) -> None:
        self._stock, self._registry, self._out, self._bar, self._policy = stock, registry, out, bar, policy
        self._partitions: dict[int, _Partition] = {}

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        symbols = {}
        for name, stored in states.items():
            if (symbol := _restored(stored.state)) is not None:
                symbols[name] = symbol
        self._partitions[partition] = _Partition(symbols)

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        """Leaves this batch's signals on their way while the next is decided; `store` waits for them.

        Raises Unavailable and KafkaError: the reader then goes back to its checkpoint.
        """
        await self._registry.ready()
        held = self._partitions[partition]
        decided = await self._take_in(held, records)
        if decided:
            forecasts = self._forecast(decided)
            made = [self._decide(held, each, said) for each, said in zip(decided, forecasts, strict=True)]
            for (prediction, reason), count in Counter(
                (signal.prediction, signal.reason) for signal, _ in made
            ).items():
                metrics.SIGNALS.labels(prediction, reason or "").inc(count)
            events = [(signal.symbol, event) for signal, event in made]
            await self._published(held)  # in order: nothing overtakes what may have to be sent again
            held.publishing = asyncio.create_task(self._out.publish(events))
        return len(records)

    def effects(self, partition: int) -> bool:
        return False

    async def store_effects(self, session: AsyncSession, partitions: Sequence[int]) -> None:
        """Signals are published, not stored."""

    def effects_stored(self, partition: int) -> None: ...

    def urgent(self, partition: int) -> bool:
        return False

    async def store(self, session: AsyncSession, partitions: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        held = {each: self._partitions[each] for each in partitions}
        for each in held.values():
            await self._published(each)
        latest = {name: signal for each in held.values() for name, signal in each.latest.items()}
        await store.save_latest(session, [latest[name] for name in sorted(latest)])
        return {
            partition: {name: _encode(each.symbols[name]) for name in each.changed} for partition, each in held.items()
        }

    def stored(self, partition: int) -> None:
        held = self._partitions[partition]
        held.changed.clear()
        held.latest.clear()

    def forget(self, partition: int) -> None:
        held = self._partitions.pop(partition, None)
        if held is not None and held.publishing is not None:
            held.publishing.add_done_callback(_noted)

    async def _published(self, held: _Partition) -> None:
        """Returns when the broker has all signals so far."""
        if held.publishing is not None:
            await held.publishing
            held.publishing = None

    async def _take_in(self, held: _Partition, records: Sequence[Fresh]) -> list[_Decided]:
        """Brings the states forward, in order; answers the bars that are to be decided."""
        decided = []
        for record, step in ((each.record, each.step) for each in records):
            name = record.symbol
            symbol = held.symbols.get(name)
            if step.new_epoch:
                await self._registry.follow(record.epoch)
            if symbol is None or step.new_epoch:
                why = "new_epoch" if step.new_epoch else "no_state"
                symbol = held.symbols[name] = Symbol(await self._from_history(name, record.time, why))
                held.changed.add(name)
            elif step.missed:
                # the symbol stays: bars of this batch before the gap are still to be decided, one after the other
                symbol.features = await self._from_history(name, record.time, "gap")
                held.changed.add(name)
            if type(record) is Bar and record.final and record.timeframe == self._bar:
                model = await self._registry.for_bar(record.time)
                decided.append(_Decided(symbol, record, symbol.features.update(record), model))
                held.changed.add(name)
            elif type(record) is Split:
                symbol.features.split(record.ratio)
                held.changed.add(name)
        return decided

    async def _from_history(self, name: str, before: str, why: str) -> Features:
        """The state as of the instant `before`."""
        metrics.FOLDS.labels(why).inc()
        try:
            history = await self._stock.history(name, before=before, latest=HISTORY_BARS)
        except NotFound:
            return Features()
        return fold(history.bars)[0]

    def _forecast(self, decided: Sequence[_Decided]) -> list[Forecast | None]:
        """One call for each model in effect among these bars (nearly always one)."""
        forecasts: list[Forecast | None] = [None] * len(decided)
        by_model: dict[str, list[int]] = {}
        for place, each in enumerate(decided):
            if each.model is not None and each.row is not None:
                by_model.setdefault(each.model.model.version, []).append(place)
        for places in by_model.values():
            model = decided[places[0]].model
            assert model is not None
            with metrics.MODEL_SECONDS.time():
                found = model.forecaster.forecast([row for place in places if (row := decided[place].row) is not None])
            for place, forecast in zip(places, found, strict=True):
                forecasts[place] = forecast
        return forecasts

    def _decide(self, held: _Partition, each: _Decided, forecast: Forecast | None) -> tuple[Signal, bytes]:
        """The signal and its event, remembered as its symbol's last."""
        signal = self._signal(each, forecast)
        event = encode(signal)
        each.symbol.prediction, each.symbol.prev_seq = signal.prediction, signal.seq
        held.latest[signal.symbol] = Latest(signal.symbol, signal.epoch, signal.seq, event)
        return signal, event

    def _signal(self, each: _Decided, forecast: Forecast | None) -> Signal:
        model = each.model
        skill = model.forecaster.skills.get(each.bar.symbol) if model else None
        prediction: Prediction = "hold"
        reason: Reason | None = "no_model" if model is None else "warming_up"
        if forecast is not None:
            prediction, reason = signals.decide(forecast, each.symbol.prediction, self._policy, skill)
        return signals.signal(
            each.bar,
            prev_seq=each.symbol.prev_seq,
            prediction=prediction,
            reason=reason,
            forecast=forecast,
            horizon=self._registry.horizon,
            model_version=model.model.version if model else "",
            skill=skill,
        )


def _noted(publishing: asyncio.Task[None]) -> None:
    """Nobody waits for it any more: what was not stored is decided and published again."""
    if not publishing.cancelled():
        publishing.exception()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Symbol).decode


def _restored(state: bytes) -> Symbol | None:
    """None where it is no state, or one of an older definition: it is then made anew from history."""
    try:
        symbol = _decode(state)
    except msgspec.DecodeError:
        return None
    return symbol if symbol.definition == DEFINITION else None
