"""Forecasts, remembered for as long as nothing has come that could change them.

A forecast is made from a symbol's last price, its completed bars and the model in effect. Prices and bars are records
of topic `ticks`; a model takes effect at a final bar, whose signal follows. So the positions of the symbol's newest
record and newest signal say whether an answer still holds, and they are known here: the rooms are fed by them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from services.gateway.backends import Forecast, LatestEvent, ModelStatus, Prediction, WarmUp
from services.gateway.core.performance import Performance
from services.gateway.core.tape import Tape

_FORECASTS = Counter("gateway_forecasts", "Forecasts answered: remembered, or made by prediction", ["how"])
_REMEMBERED, _MADE = _FORECASTS.labels("remembered"), _FORECASTS.labels("made")

_MOST: Final = 4096
_LONGEST_S: Final = 10.0  # should this gateway be cut off from Kafka, it must not go on telling the same for ever

Position = tuple[bytes, int, bytes, int]
"""Epoch and seq of the newest record, epoch and seq (of the cause) of the newest signal."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    position: Position
    until_s: float
    forecast: Forecast


class RememberedForecasts:
    """`backends.Prediction` with a memory for forecasts. tape: what this gateway has read of a symbol."""

    def __init__(
        self,
        prediction: Prediction,
        tape: Callable[[str], Tape],
        performance: Performance,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prediction = prediction
        self._tape = tape
        self._performance = performance
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str], _Remembered] = {}

    async def predict(self, ticker: str, horizon: str) -> Forecast:
        """As `Prediction.predict`; what was found and how long it took is noted."""
        begun_s, key = self._monotonic(), (ticker, horizon)
        position = _position(self._tape(ticker))
        kept = self._kept.get(key)
        if kept is not None and kept.position == position and begun_s < kept.until_s:
            self._performance.hits += 1
            _REMEMBERED.inc()
            forecast = kept.forecast
        else:
            self._performance.misses += 1
            _MADE.inc()
            forecast = await self._prediction.predict(ticker, horizon)
            if _knows_all(forecast, self._tape(ticker)):
                self._keep(key, _Remembered(position, begun_s + _LONGEST_S, forecast))
        now_s = self._monotonic()
        self._performance.predicted(now_s, now_s - begun_s)
        return forecast

    async def latest_signals(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        return await self._prediction.latest_signals(symbols)

    async def model_status(self, ticker: str) -> ModelStatus:
        return await self._prediction.model_status(ticker)

    async def warm_up(self) -> WarmUp:
        return await self._prediction.warm_up()

    async def healthy(self) -> bool:
        return await self._prediction.healthy()

    def _keep(self, key: tuple[str, str], made: _Remembered) -> None:
        self._kept.pop(key, None)
        self._kept[key] = made
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]


def _position(tape: Tape) -> Position:
    signal = tape.prediction
    return (tape.epoch, tape.seq, *((b"", 0) if signal is None else (signal.epoch, signal.seq)))


def _knows_all(forecast: Forecast, tape: Tape) -> bool:
    """Was it made from everything that this gateway has read?

    stock_data publishes a record a moment before it answers with it: a forecast made in that moment is a step behind.
    """
    price = tape.price
    if price is not None and (forecast.epoch.encode(), forecast.seq) < (price.epoch, price.seq):
        return False
    behind = (each for each in tape.snapshot() if each.kind not in ("price", "prediction"))
    return all(each.kind == "bar" and each.time <= forecast.bar_time for each in behind)
