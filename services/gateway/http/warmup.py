"""How the models were made ready: what prediction tells of its start."""

from dataclasses import dataclass
from typing import ClassVar

import msgspec
from starlette.routing import Route

from services.gateway.backends import Prediction
from services.gateway.http.routing import endpoint, resource


class WarmUpShown(msgspec.Struct, frozen=True):
    """UNIX seconds; completed_at and duration_seconds are null until it is known which model decides."""

    example: ClassVar[str] = (
        '{"started_at":1692622800.5,"completed_at":1692622807.2,"duration_seconds":6.7,'
        '"models_loaded":8,"models_trained":2,"errors":[]}'
    )

    started_at: float
    completed_at: float | None
    duration_seconds: float | None
    models_loaded: int
    models_trained: int
    errors: list[str]


@dataclass(frozen=True, slots=True)
class Warmup:
    prediction: Prediction

    def routes(self) -> list[Route]:
        return [resource("/warmup/status", GET=self.status)]

    @endpoint("How prediction warmed up")
    async def status(self) -> WarmUpShown:
        found = await self.prediction.warm_up()
        return WarmUpShown(
            started_at=_to_ms(found.started_at),
            completed_at=None if found.completed_at is None else _to_ms(found.completed_at),
            duration_seconds=None if found.duration_s is None else _to_ms(found.duration_s),
            models_loaded=found.models_loaded,
            models_trained=found.models_trained,
            errors=list(found.errors),
        )


def _to_ms(time_s: float) -> float:
    return round(time_s, 3)
