"""What predictions were worth, always beside what doing nothing would have been worth on the same rows."""

from math import sqrt
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.shared.events import Skill

Floats = npt.NDArray[np.float64]

_Z: Final = 1.959963984540054  # 97.5 % quantile of the normal distribution: a 95 % interval
_DIGITS: Final = 6


class Score(msgspec.Struct, frozen=True):
    """Out-of-fold predictions of log returns, scored.

    count: rows; hits: right directions (a return of exactly 0 is right for nobody); ups: rises, which is what
    `always up` gets right; mae, rmse: errors of the log return; baseline_mae: of `no change`; train_samples: rows of
    the final fit.
    """

    count: int
    hits: int
    ups: int
    mae: float
    rmse: float
    baseline_mae: float
    train_samples: int

    def skill(self) -> Skill:
        """The public form, rounded."""
        low, high = wilson(self.hits, self.count)
        return Skill(
            count=self.count,
            hit_rate=round(self.hits / self.count, _DIGITS),
            hit_rate_interval=(round(low, _DIGITS), round(high, _DIGITS)),
            baseline_hit_rate=round(self.ups / self.count, _DIGITS),
            mae=round(self.mae, _DIGITS),
            baseline_mae=round(self.baseline_mae, _DIGITS),
        )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927); (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, weight = hits / count, _Z * _Z / count
    middle = (share + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * sqrt(share * (1 - share) / count + weight / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def score(forecasts: Floats, moves: Floats, train_samples: int) -> Score:
    """Forecast log returns against those that came. At least one row."""
    errors = moves - forecasts
    return Score(
        count=len(moves),
        hits=int(np.count_nonzero(np.where(forecasts >= 0, moves > 0, moves < 0))),
        ups=int(np.count_nonzero(moves > 0)),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        baseline_mae=float(np.abs(moves).mean()),
        train_samples=train_samples,
    )


def edge_is_real(skill: Skill | None) -> bool:
    """Does even the low end of the hit rate's interval beat both a coin and `always up`?"""
    return skill is not None and skill.hit_rate_interval[0] > max(0.5, skill.baseline_hit_rate)
