"""From histories to a model.

Training is deterministic (one thread, fixed seed), and the version is a digest of rows and parameters: the same data
give the same model under the same name. Every number about quality comes from chronological, purged folds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.prediction.core import calibration, labels
from services.prediction.core.bars import PastBar
from services.prediction.core.features import DEFINITION, NAMES
from services.prediction.core.models import HORIZONS, KIND, Model
from services.prediction.core.scores import Score, score
from services.shared.errors import TickroomError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

FOLDS: Final = 5
ROUNDS: Final = 60
LEAST_ROWS: Final = 120
LEAST_DATES: Final = 60
PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "regression",
    "num_leaves": 7,
    "learning_rate": 0.03,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_LEAF_SHARE: Final = 50  # no leaf below 1/50 of the rows,
_LEAF_ROWS: Final = (10, 200)  # nor below 10, and 200 are always enough


class TooFewRows(TickroomError):
    """There is not enough history to train on."""

    code = "too_few_rows"


def train(
    histories: Mapping[str, Sequence[PastBar]],
    *,
    horizon: str,
    before: str,
    progress: Callable[[str], None],
) -> Model:
    """A model of daily bars from those final before the instant `before`. Raises TooFewRows.

    progress: told about each step; may raise to give up.
    """
    table = labels.frame(histories, horizon=HORIZONS[horizon], before=before)
    sessions = int(table["date"].nunique())
    if len(table) < LEAST_ROWS or sessions < LEAST_DATES:
        raise TooFewRows(
            f"{len(table)} usable rows on {sessions} dates before {before[:10]}, "
            f"training needs {LEAST_ROWS} on {LEAST_DATES}"
        )
    progress(f"{len(table)} rows of {table['ticker'].nunique()} tickers on {sessions} dates")
    unseen = _out_of_fold(table, progress)
    progress("all rows")
    booster = _fit(table)
    residuals = unseen["move"] / unseen["volatility"] - unseen["shrunk"]
    shrinkage = calibration.shrinkage(*_columns(unseen, "lean", "target"), _texts(unseen, "date"))
    right = (unseen["lean"] >= 0) == (unseen["move"] > 0)
    values = table[list(NAMES)].to_numpy()
    return Model(
        version=f"{KIND}-1d-{horizon}-{_digest(table)}",
        definition=DEFINITION,
        bar="1d",
        horizon=horizon,
        booster=booster.model_to_string(),
        shrinkage=shrinkage,
        confidence=calibration.fit_confidence(unseen["lean"].to_numpy(), (right & (unseen["move"] != 0)).to_numpy()),
        residuals=calibration.residual_quantiles(residuals.to_numpy()),
        domain=list(zip(values.min(axis=0).tolist(), values.max(axis=0).tolist(), strict=True)),
        overall=_scored(unseen, len(table)),
        tickers=dict(_by_ticker(unseen, table)),
        sessions=sessions,
    )


def _out_of_fold(table: "pd.DataFrame", progress: Callable[[str], None]) -> "pd.DataFrame":
    """The tested rows with `lean` (raw forecast) and `shrunk`, both made without any later row."""
    import pandas as pd

    parts: list[pd.DataFrame] = []
    for number, (trained, tested) in enumerate(labels.folds(_texts(table, "date"), _texts(table, "until"), FOLDS), 1):
        progress(f"fold {number} of {FOLDS}")
        booster = _fit(table[trained])
        part = table[tested].copy()
        part["lean"] = booster.predict(part[list(NAMES)].to_numpy(), num_threads=1)
        part["shrunk"] = part["lean"] * _shrinkage_so_far(parts)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _shrinkage_so_far(parts: "list[pd.DataFrame]") -> float:
    """What the folds before say about shrinkage: a fold must not score itself with its own outcome."""
    if not parts:
        return calibration.LEAST_SHRINKAGE
    import pandas as pd

    before = pd.concat(parts)
    return calibration.shrinkage(*_columns(before, "lean", "target"), _texts(before, "date"))


def _fit(table: "pd.DataFrame") -> Any:
    import lightgbm

    least, enough = _LEAF_ROWS
    parameters = {**PARAMETERS, "min_data_in_leaf": min(max(len(table) // _LEAF_SHARE, least), enough)}
    data = lightgbm.Dataset(table[list(NAMES)].to_numpy(), table["target"].to_numpy(), feature_name=list(NAMES))
    return lightgbm.train(parameters, data, ROUNDS)


def _scored(unseen: "pd.DataFrame", train_samples: int) -> Score:
    forecasts = (unseen["shrunk"] * unseen["volatility"]).to_numpy()
    return score(forecasts, unseen["move"].to_numpy(), train_samples)


def _by_ticker(unseen: "pd.DataFrame", table: "pd.DataFrame") -> Iterator[tuple[str, Score]]:
    samples = table["ticker"].value_counts()
    for ticker, rows in unseen.groupby("ticker", sort=True):
        yield str(ticker), _scored(rows, int(samples[ticker]))


def _digest(table: "pd.DataFrame") -> str:
    """12 hexadecimal digits that name the training rows and all that turns them into a model."""
    import lightgbm

    fit = [dict(PARAMETERS), ROUNDS, FOLDS, _LEAF_SHARE, _LEAF_ROWS, labels.LIMIT, lightgbm.__version__]
    digest = sha256(msgspec.json.encode([DEFINITION, NAMES, fit]))
    for name in ("ticker", "date", "until"):
        digest.update("\n".join(table[name]).encode())
    digest.update(np.ascontiguousarray(table[["volatility", "move", *NAMES]].to_numpy()).tobytes())
    return digest.hexdigest()[:12]


def _columns(table: "pd.DataFrame", first: str, second: str) -> tuple[Floats, Floats]:
    return table[first].to_numpy(), table[second].to_numpy()


def _texts(table: "pd.DataFrame", name: str) -> npt.NDArray[np.str_]:
    return table[name].to_numpy(dtype=np.str_)
