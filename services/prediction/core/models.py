"""The model of one bar size and horizon, pooled over symbols: what its file holds, and forecasts from it."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.prediction.core.calibration import Confidence
from services.prediction.core.features import Row
from services.prediction.core.scores import Score
from services.shared.errors import TickroomError

Floats = npt.NDArray[np.float64]

KIND: Final = "lightgbm"
HORIZONS: Final[Mapping[str, int]] = {"1d": 1}
"""Horizons of daily bars, in sessions."""
_MARGIN: Final = 0.1  # of a feature's range in training, on either side: what is beyond is outside the domain


class BrokenModel(TickroomError):
    """A model file is not what it should be."""

    code = "broken_model"


class Model(msgspec.Struct, frozen=True):
    """All that is needed to forecast, as it stands in the model's file.

    booster: LightGBM's text. shrinkage, confidence, residuals: see calibration.py. domain: lowest and highest value of
    each feature in training. overall and tickers: out-of-fold scores. sessions: distinct dates of the training rows.
    """

    version: str
    definition: str
    bar: str
    horizon: str
    booster: str
    shrinkage: float
    confidence: Confidence
    residuals: tuple[float, float]
    domain: list[tuple[float, float]]
    overall: Score
    tickers: dict[str, Score]
    sessions: int

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Model":
        """Raises BrokenModel."""
        try:
            return msgspec.json.decode(content, type=Model)
        except msgspec.DecodeError as error:
            raise BrokenModel(f"not a model: {error}") from None


class Forecast(NamedTuple):
    """What the model says about one bar. log_return: over the horizon, shrunk, never 0; low, high: where it will lie
    with probability COVERAGE; confidence: that its sign is right; inside: are the features such as training saw?"""

    log_return: float
    low: float
    high: float
    confidence: float
    inside: bool


class Forecaster:
    """A model ready to use. Raises BrokenModel when made from one that LightGBM can't read."""

    def __init__(self, model: Model) -> None:
        import lightgbm

        self.model = model
        self.skills = {ticker: scored.skill() for ticker, scored in model.tickers.items()}
        """Out-of-fold skill of each ticker in training."""
        self._low, self._high = _widened(model.domain)
        try:
            self._booster = lightgbm.Booster(model_str=model.booster)
        except lightgbm.basic.LightGBMError as error:
            raise BrokenModel(f"LightGBM can't read model {model.version}: {error}") from None

    def forecast(self, rows: Sequence[Row]) -> list[Forecast]:
        """One call of the model for all `rows`; each answer depends on its own row alone."""
        values = np.array([row.values for row in rows])
        inside: npt.NDArray[np.bool_] = np.all((values >= self._low) & (values <= self._high), axis=1)
        raw: Floats = self._booster.predict(values, num_threads=1)  # type: ignore[assignment]
        model, (below, above) = self.model, self.model.residuals
        out = []
        for row, lean, known in zip(rows, raw.tolist(), inside.tolist(), strict=True):
            units = model.shrinkage * (lean or 1e-9)
            scale = row.volatility
            confidence = model.confidence.of(lean)
            out.append(Forecast(units * scale, (units + below) * scale, (units + above) * scale, confidence, known))
        return out


def _widened(domain: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    low, high = np.array(domain).T
    margin = _MARGIN * (high - low)
    return low - margin, high + margin
