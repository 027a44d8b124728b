"""What the model learns: the log return over the horizon, in units of the volatility known when the bar closed.

A label is known only when its horizon has passed, so the last bars of a history have none, and a fold's training rows
end where their labels would reach into the rows it is tested on (the purge).
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from services.prediction.core.bars import PastBar
from services.prediction.core.features import NAMES, fold

if TYPE_CHECKING:
    import pandas as pd

LIMIT: Final = 4.0
"""Targets beyond so many volatilities count as that many: single crashes must not steer the fit."""

Mask = npt.NDArray[np.bool_]


def rows(bars: Sequence[PastBar], horizon: int) -> Iterator[tuple[str, str, float, float, tuple[float, ...]]]:
    """(date, date on which the label was known, volatility, log return over `horizon` bars, features) of each bar that
    has both features and a label."""
    _, featured = fold(bars)
    for bar, row, later in zip(bars, featured, bars[horizon:], strict=False):
        if row is not None:
            yield bar.date, later.date, row.volatility, log(later.close / bar.close), row.values


def frame(histories: Mapping[str, Sequence[PastBar]], *, horizon: int, before: str) -> "pd.DataFrame":
    """The training rows of all symbols by date and ticker, from bars final before the instant `before` alone.

    Columns: ticker, date, until (date on which the label was known), volatility, move (log return), target, features.
    """
    import pandas as pd

    parts: list[tuple[object, ...]] = []
    for ticker in sorted(histories):
        known = [bar for bar in histories[ticker] if bar.time < before]
        parts.extend((ticker, *row[:4], *row[4]) for row in rows(known, horizon))
    table = pd.DataFrame(parts, columns=["ticker", "date", "until", "volatility", "move", *NAMES])
    table["target"] = (table["move"] / table["volatility"]).clip(-LIMIT, LIMIT)
    return table.sort_values(["date", "ticker"], kind="stable", ignore_index=True)


def folds(dates: npt.NDArray[np.str_], until: npt.NDArray[np.str_], count: int) -> Iterator[tuple[Mask, Mask]]:
    """Chronological expanding folds as (training rows, test rows): each is tested on the block of dates after it.

    The dates are cut into `count` + 1 blocks of equal length; the first only ever trains. Training rows whose label
    was not known before the test block's first date are left out.
    """
    days = np.unique(dates)
    edges = [days[len(days) * block // (count + 1)] for block in range(1, count + 1)]
    for number, first in enumerate(edges):
        tested = dates >= first
        if number + 1 < count:
            tested &= dates < edges[number + 1]
        yield until < first, tested
