"""Forecasts, and the models they come from."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway.backends import ModelMetrics, ModelSkill, Prediction
from services.gateway.http.bodies import Query
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Listing, Ticker, Who, endpoint, listing, resource
from services.gateway.symbols import Symbols
from services.shared.errors import FieldError, InvalidInput
from services.shared.events import seconds


class ForecastQuery(Query):
    horizon: str | None = Field(None, max_length=8, description="1d, 5d, 10d or 21d: trading days", examples=["10d"])
    model: Literal["linear", "random_forest", "lightgbm", "lstm"] | None = Field(None, description="the kind of model")


class ModelsQuery(Query):
    ticker: str | None = Field(None, max_length=64, description="this one alone", examples=["AAPL"])


class Target(msgspec.Struct, frozen=True):
    """confidence: the probability that `direction` is right, 0.1 to 1.0 (0.5 = no evidence)."""

    price_target: float
    confidence: float
    direction: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["bullish", "bearish"]})]


class ForecastShown(msgspec.Struct, frozen=True):
    """The close at the horizon's end. `horizon` and `model` are there where one of them was asked for."""

    example: ClassVar[str] = (
        '{"ticker":"AAPL","current_price":226.01,"prediction":{"price_target":224.15,"confidence":0.88,'
        '"direction":"bearish"},"timestamp":"2025-08-21T13:08:46Z"}'
    )

    ticker: str
    current_price: float
    prediction: Target
    timestamp: str
    horizon: str | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET


class ModelShown(msgspec.Struct, frozen=True):
    """skill: what its directions were worth on unseen rows, beside what doing nothing would have scored there."""

    ticker: str
    model_type: str
    version: str
    promoted: bool
    skill: ModelSkill | None


class ModelStatusShown(msgspec.Struct, frozen=True):
    """metrics: on rows that it was not trained on; null where no model is loaded."""

    example: ClassVar[str] = (
        '{"ticker":"AAPL","model_loaded":true,"service_ready":true,"model_type":"random_forest","metrics":'
        '{"val_mae":0.0119,"val_rmse":0.0162,"training_time":0.19,"train_samples":185,"val_samples":47}}'
    )

    ticker: str
    model_loaded: bool
    service_ready: bool
    model_type: str
    metrics: ModelMetrics | None


@dataclass(frozen=True, slots=True)
class Predictions:
    prediction: Prediction
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource("/predict/{ticker}", self.callers, GET=self.predict),
            resource("/model/status/{ticker}", self.callers, GET=self.status),
            resource("/api/v1/models", self.callers, GET=self.models),
        ]

    @endpoint("The next trading day's close", who=Who.READER, errors={404: "unknown_symbol"})
    async def predict(self, ticker: Ticker, wish: ForecastQuery) -> ForecastShown:
        """By the promoted model."""
        found = await self.prediction.predict(await self.symbols.resolve(ticker), wish.horizon or "")
        if wish.model not in (None, found.model):
            error = FieldError("model", f"{wish.model} is not trained here; {found.model} is")
            raise InvalidInput(error.msg, code="model_not_trained", errors=(error,))
        named = wish.horizon is not None or wish.model is not None
        return ForecastShown(
            ticker=found.ticker,
            current_price=found.current_price,
            prediction=Target(found.price_target, found.confidence, found.direction),
            timestamp=seconds(found.time),
            horizon=found.horizon if named else msgspec.UNSET,
            model=found.model if named else msgspec.UNSET,
        )

    @endpoint("The promoted model of each ticker", who=Who.READER, errors={404: "unknown_symbol"})
    async def models(self, wish: ModelsQuery) -> Listing[ModelShown]:
        """With its skill beside the baselines; `?ticker=` for one."""
        tickers = [await self.symbols.resolve(wish.ticker)] if wish.ticker else sorted(await self.symbols.all())
        found = [status for ticker in tickers if (status := await self.prediction.model_status(ticker)).model_loaded]
        return listing(ModelShown(each.ticker, each.model_type, each.model_version, True, each.skill) for each in found)

    @endpoint("Is there a model, and how good was it?", who=Who.READER, errors={404: "unknown_symbol"})
    async def status(self, ticker: Ticker) -> ModelStatusShown:
        found = await self.prediction.model_status(await self.symbols.resolve(ticker))
        return ModelStatusShown(found.ticker, found.model_loaded, found.service_ready, found.model_type, found.metrics)
