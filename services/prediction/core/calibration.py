"""How far to trust a forecast: its size, its direction, its spread, all learnt from out-of-fold forecasts.

Forecasts and targets are in units of volatility. Everything leans to "no evidence" where rows are few.
"""

from math import exp
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_SHRINKAGE: Final = 0.02
"""A forecast without any skill keeps so much of its size: never nothing, so that its sign stays."""
COVERAGE: Final = 0.8
"""Share of outcomes that the interval is to hold."""
CONFIDENCE_RANGE: Final = (0.1, 1.0)

_PRIOR: Final = 25.0  # strength of "no evidence" in the confidence: as much as 100 rows say
_STEPS: Final = 25


def shrinkage(forecasts: Floats, targets: Floats, dates: npt.NDArray[np.str_]) -> float:
    """The factor by which forecasts are worth believing, in [LEAST_SHRINKAGE, 1].

    The slope of targets on forecasts through the origin, times its reliability t^2 / (1 + t^2). The slope's standard
    error takes the rows of one date as one: symbols move together.
    """
    weight = float(forecasts @ forecasts)
    if weight == 0.0:
        return LEAST_SHRINKAGE
    slope = float(forecasts @ targets) / weight
    _, day = np.unique(dates, return_inverse=True)
    pulls = np.bincount(day, forecasts * (targets - slope * forecasts))
    noise = float(pulls @ pulls) / weight**2
    signal = slope * slope
    reliability = signal / (signal + noise) if signal > 0.0 else 0.0
    return float(min(max(slope * reliability, LEAST_SHRINKAGE), 1.0))


class Confidence(msgspec.Struct, frozen=True):
    """Probability that the direction of a forecast of size |f| is right: logistic(base + slope x |f| / unit).

    slope >= 0, so a larger forecast is never trusted less; base = slope = 0 is "no evidence", 0.5.
    """

    base: float
    slope: float
    unit: float

    def of(self, forecast: float) -> float:
        """Within CONFIDENCE_RANGE."""
        low, high = CONFIDENCE_RANGE
        return min(max(1.0 / (1.0 + exp(-(self.base + self.slope * abs(forecast) / self.unit))), low), high)


def fit_confidence(forecasts: Floats, right: npt.NDArray[np.bool_]) -> Confidence:
    """Logistic regression of "the direction was right" on the forecast's size, ridge towards 0.5 (Newton's method)."""
    size = np.abs(forecasts)
    unit = float(size.mean()) or 1.0
    both = np.column_stack([np.ones_like(size), size / unit])
    for columns in (both, both[:, :1]):  # where a larger forecast was right less often: without the size
        weights = _logistic_ridge(columns, right.astype(np.float64))
        if len(weights) == 1 or weights[1] >= 0.0:
            break
    return Confidence(float(weights[0]), float(weights[1]) if len(weights) > 1 else 0.0, unit)


def _logistic_ridge(columns: Floats, outcomes: Floats) -> Floats:
    weights = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-columns @ weights))
        gradient = columns.T @ (outcomes - chance) - _PRIOR * weights
        curvature = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + _PRIOR * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return weights


def residual_quantiles(residuals: Floats) -> tuple[float, float]:
    """(low, high) between which the middle COVERAGE of the residuals lies."""
    tail = (1.0 - COVERAGE) / 2
    low, high = np.quantile(residuals, [tail, 1.0 - tail])
    return float(low), float(high)
