"""Forecasts, and the models they come from."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.backends import Prediction
from services.gateway.http.bodies import Query, query
from services.gateway.http.callers import Callers
from services.gateway.http.routing import listing, reply, resource
from services.gateway.symbols import Symbols
from services.shared.errors import FieldError, InvalidInput
from services.shared.events import seconds


class ForecastQuery(Query):
    horizon: str | None = Field(None, max_length=8)
    model: Literal["linear", "random_forest", "lightgbm", "lstm"] | None = None


class ModelsQuery(Query):
    ticker: str | None = Field(None, max_length=64)


@dataclass(frozen=True, slots=True)
class Predictions:
    prediction: Prediction
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource("/predict/{ticker}", GET=self.predict),
            resource("/model/status/{ticker}", GET=self.status),
            resource("/api/v1/models", GET=self.models),
        ]

    async def predict(self, request: Request) -> Response:
        await self.callers.reader(request)
        wish = query(request, ForecastQuery)
        ticker = await self.symbols.resolve(request.path_params["ticker"])
        found = await self.prediction.predict(ticker, wish.horizon or "")
        if wish.model not in (None, found.model):
            error = FieldError("model", f"{wish.model} is not trained here; {found.model} is")
            raise InvalidInput(error.msg, code="model_not_trained", errors=(error,))
        body: dict[str, Any] = {
            "ticker": found.ticker,
            "current_price": found.current_price,
            "prediction": {
                "price_target": found.price_target,
                "confidence": found.confidence,
                "direction": found.direction,
            },
            "timestamp": seconds(found.time),
        }
        if wish.horizon is not None or wish.model is not None:
            body |= {"horizon": found.horizon, "model": found.model}
        return reply(body)

    async def models(self, request: Request) -> Response:
        """The promoted model of each ticker (`?ticker=` for one) with its skill beside the baselines."""
        await self.callers.reader(request)
        wish = query(request, ModelsQuery)
        tickers = [await self.symbols.resolve(wish.ticker)] if wish.ticker else sorted(await self.symbols.all())
        found = [status for ticker in tickers if (status := await self.prediction.model_status(ticker)).model_loaded]
        return listing(
            {
                "ticker": each.ticker,
                "model_type": each.model_type,
                "version": each.model_version,
                "promoted": True,
                "skill": None if each.skill is None else asdict(each.skill),
            }
            for each in found
        )

    async def status(self, request: Request) -> Response:
        await self.callers.reader(request)
        found = await self.prediction.model_status(await self.symbols.resolve(request.path_params["ticker"]))
        return reply(
            {
                "ticker": found.ticker,
                "model_loaded": found.model_loaded,
                "service_ready": found.service_ready,
                "model_type": found.model_type,
                "metrics": None if found.metrics is None else asdict(found.metrics),
            }
        )
