"""What the model of `make run` is worth on the days that it then decides about: trained before them, scored on them.

`python -m tests.bench.bench_skill`. No server, no clock: the same bars, features and model as the prediction service.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from math import log

import numpy as np

from services.prediction.core.bars import PastBar
from services.prediction.core.features import fold
from services.prediction.core.fitting import train
from services.prediction.core.models import Forecaster
from services.prediction.core.scores import score
from services.shared.events import Skill
from services.stock_data.core import instants
from services.stock_data.core.adjust import adjust
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound
from services.stock_data.feeds.replay import read_bundled

START = "2012-06-01"
HORIZONS = {"1d": 1}


def histories() -> Mapping[str, Sequence[PastBar]]:
    """The bundled bars of each symbol, split-adjusted, oldest first."""
    bars: dict[str, list[FinalBar]] = {}
    splits: dict[str, list[SplitFound]] = {}
    for item in read_bundled(symbols=(), start=None).items():
        if isinstance(item, FinalBar):
            bars.setdefault(item.symbol, []).append(item)
        elif isinstance(item, SplitFound):
            splits.setdefault(item.symbol, []).append(item)
    end = instants.midnight(date(2100, 1, 1))
    return {
        symbol: [_past(bar) for bar in adjust(found, splits.get(symbol, ()), end)] for symbol, found in bars.items()
    }


def _past(bar: FinalBar) -> PastBar:
    return PastBar(bar.date, instants.text(bar.end), bar.open, bar.high, bar.low, bar.close, bar.volume)


def after_training(history: Mapping[str, Sequence[PastBar]], model: Forecaster, days: int) -> Skill:
    """Forecasts of every bar from START on whose horizon has passed, scored."""
    forecasts: list[float] = []
    moves: list[float] = []
    for bars in history.values():
        _, rows = fold(bars)
        for bar, row, later in zip(bars, rows, bars[days:], strict=False):
            if row is not None and bar.date >= START:
                forecasts.append(model.forecast([row])[0].log_return)
                moves.append(log(later.close / bar.close))
    return score(np.array(forecasts), np.array(moves), model.model.overall.train_samples).skill()


def main() -> None:
    history = histories()
    print(f"bundled daily bars of {', '.join(sorted(history))}; trained before {START}, the model of `make run`\n")
    print(f"{'':32} {'rows':>6} {'right':>7} {'95 % interval':>18} {'always up':>10} {'error':>9} {'no change':>10}")
    for horizon, days in HORIZONS.items():
        model = Forecaster(
            train(history, horizon=horizon, before=f"{START}T00:00:00.000000Z", progress=lambda _step: None)
        )
        _row(f"{horizon}, out of fold before it", model.model.overall.skill())
        _row(f"{horizon}, from {START} on", after_training(history, model, days))


def _row(name: str, skill: Skill) -> None:
    low, high = skill.hit_rate_interval
    print(
        f"{name:32} {skill.count:6} {skill.hit_rate:7.1%} {f'{low:.1%} to {high:.1%}':>18} "
        f"{skill.baseline_hit_rate:10.1%} {skill.mae:9.5f} {skill.baseline_mae:10.5f}"
    )


if __name__ == "__main__":
    main()
