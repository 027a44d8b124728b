"""The gRPC side of prediction (proto/prediction.proto)."""

from typing import Any

import grpc

from services.prediction import store
from services.prediction.clients import StockData
from services.prediction.core import signals
from services.prediction.core.bars import PastBar
from services.prediction.core.features import WARM_UP, Row, fold
from services.prediction.core.models import HORIZONS, KIND
from services.prediction.core.scores import Score
from services.prediction.registry import Effective, Registry
from services.prediction.worker import HISTORY_BARS
from services.shared.database import Database
from services.shared.errors import FieldError, InvalidInput, Unavailable
from services.shared.rpc import prediction_pb2 as pb
from services.shared.rpc.prediction_pb2_grpc import PredictionServicer, add_PredictionServicer_to_server
from services.shared.symbols import normalise


class Prediction(PredictionServicer):
    """Answers from stock_data's history, the promoted model and the stored signals.

    Keeps nothing but the last row of each symbol, until another bar is the last one: it takes hundreds of bars to make.
    """

    def __init__(self, stock: StockData, registry: Registry, database: Database) -> None:
        self._stock, self._registry, self._database = stock, registry, database
        self._rows: dict[str, tuple[PastBar, Row]] = {}

    def register(self, server: grpc.aio.Server) -> None:
        add_PredictionServicer_to_server(self, server)

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictReply:
        horizon = request.horizon or "1d"
        if horizon not in HORIZONS:
            known = ", ".join(HORIZONS)
            raise InvalidInput(f"horizon is one of {known}", errors=(FieldError("horizon", f"one of {known}"),))
        last = await self._stock.latest(request.ticker)  # first: then the bars before that price are there too
        symbol, bar, row = await self._newest(request.ticker)
        price, time = (bar.close, bar.time) if last is None else (last.price, last.time)
        effective = self._registry.current(time) if self._registry.is_ready else None
        if effective is None:
            raise Unavailable("no model is trained yet", code="no_model", retry_after_s=5.0)
        (forecast,) = effective.forecaster.forecast([row])
        return pb.PredictReply(
            ticker=symbol,
            current_price=price,
            price_target=signals.price_target(price, forecast),
            confidence=signals.confidence(forecast),
            direction=signals.direction(forecast),
            time=time,
            horizon=horizon,
            model=KIND,
            model_version=effective.model.version,
            epoch="" if last is None else last.epoch,
            seq=0 if last is None else last.seq,
            bar_time=bar.time,
        )

    async def _newest(self, ticker: str) -> tuple[str, PastBar, Row]:
        """The symbol of `ticker`, its last completed bar and the features of that. Raises NotFound, Unavailable."""
        newest = await self._stock.history(ticker, latest=1)
        held = self._rows.get(newest.symbol)
        if held is not None and held[0] in newest.bars:
            return newest.symbol, *held
        bars = (await self._stock.history(newest.symbol, latest=HISTORY_BARS)).bars
        row = fold(bars)[1][-1] if bars else None
        if row is None:
            raise Unavailable(
                f"{newest.symbol} has {len(bars)} completed bars, a forecast needs {WARM_UP}", code="too_few_bars"
            )
        self._rows[newest.symbol] = (bars[-1], row)
        return newest.symbol, bars[-1], row

    async def LatestSignals(self, request: pb.LatestSignalsRequest, context: Any) -> pb.LatestSignalsReply:
        symbols = [normalise(symbol) for symbol in request.symbols]
        async with self._database.reading() as session:
            found = await store.latest_signals(session, symbols)
        return pb.LatestSignalsReply(signals=[pb.LatestSignal(**each._asdict()) for each in found])

    async def ModelStatus(self, request: pb.ModelStatusRequest, context: Any) -> pb.ModelStatusReply:
        history = await self._stock.history(request.ticker, latest=1)
        feed = await self._stock.feed()
        effective = self._registry.current(feed.clock) if self._registry.is_ready else None
        return pb.ModelStatusReply(
            ticker=history.symbol,
            model_loaded=effective is not None,
            service_ready=self._registry.is_ready,
            model_type=KIND,
            metrics=None if effective is None else _metrics(effective, history.symbol),
            model_version="" if effective is None else effective.model.version,
        )

    async def WarmupStatus(self, request: pb.WarmupStatusRequest, context: Any) -> pb.WarmupStatusReply:
        warm_up = self._registry.warm_up
        return pb.WarmupStatusReply(
            started_at=warm_up.started_at,
            completed_at=warm_up.completed_at,
            duration_s=warm_up.duration_s,
            models_loaded=warm_up.models_loaded,
            models_trained=warm_up.models_trained,
            errors=warm_up.errors,
        )


def _metrics(effective: Effective, ticker: str) -> pb.ModelMetrics:
    """Of the ticker where it was in training, else of all tickers together."""
    model = effective.model
    scored: Score = model.tickers.get(ticker, model.overall)
    skill = scored.skill()
    return pb.ModelMetrics(
        val_mae=skill.mae,
        val_rmse=round(scored.rmse, 6),
        training_time=round(effective.training_s, 3),
        train_samples=scored.train_samples,
        val_samples=skill.count,
        baseline_mae=skill.baseline_mae,
        hit_rate=skill.hit_rate,
        baseline_hit_rate=skill.baseline_hit_rate,
        hit_rate_low=skill.hit_rate_interval[0],
        hit_rate_high=skill.hit_rate_interval[1],
    )
