"""Labels reach over the horizon and no further; folds are chronological and purged."""

from math import log

import numpy as np
import pytest

from services.prediction.core.features import NAMES, WARM_UP, fold
from services.prediction.core.labels import LIMIT, folds, frame
from tests.unit.prediction.samples import market, walk

AFTER_ALL = "2030-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_label_is_the_scaled_return_over_the_horizon(horizon: int) -> None:
    bars = walk(100, seed=1)
    table = frame({"AAA": bars}, horizon=horizon, before=AFTER_ALL)
    assert len(table) == 100 - (WARM_UP - 1) - horizon  # the last bars have no outcome yet
    first = table.iloc[0]
    place = WARM_UP - 1
    row = fold(bars)[1][place]
    assert row is not None
    assert first["date"] == bars[place].date
    assert first["until"] == bars[place + horizon].date
    assert first["move"] == log(bars[place + horizon].close / bars[place].close)
    assert first["target"] == pytest.approx(first["move"] / row.volatility)
    assert tuple(first[list(NAMES)]) == row.values


def test_a_crash_counts_as_the_limit() -> None:
    bars = list(walk(80, seed=1))
    bars[-1] = bars[-1]._replace(low=1.0, close=1.0)
    assert frame({"AAA": bars}, horizon=1, before=AFTER_ALL)["target"].iloc[-1] == -LIMIT


def test_nothing_after_the_instant_is_seen() -> None:
    histories = market(120)
    cut = histories["AAA"][90].time
    seen = frame(histories, horizon=1, before=cut)
    prefix = frame({ticker: bars[:90] for ticker, bars in histories.items()}, horizon=1, before=AFTER_ALL)
    assert seen.equals(prefix)
    assert seen["until"].max() == histories["AAA"][89].date


def test_rows_are_sorted_by_date_then_ticker() -> None:
    table = frame(market(60), horizon=1, before=AFTER_ALL)
    assert list(table["ticker"][:4]) == ["AAA", "BBB", "CCC", "AAA"]
    assert table["date"].is_monotonic_increasing


def test_folds_expand_are_purged_and_test_each_later_date_once() -> None:
    days = np.array([f"2010-01-{day:02d}" for day in range(1, 31)])
    dates, until = np.repeat(days[:27], 2), np.repeat(days[3:], 2)  # two symbols, labels known three days later
    tested_rows = np.zeros(len(dates), dtype=int)
    trained_before = 0
    for trained, tested in folds(dates, until, 5):
        assert max(until[trained]) < min(dates[tested])
        assert max(dates[trained]) < min(dates[tested])
        assert trained.sum() > trained_before
        trained_before = trained.sum()
        tested_rows += tested
    assert set(tested_rows[dates < days[4]]) == {0}  # the first block only trains
    assert set(tested_rows[dates >= days[4]]) == {1}


def test_without_history_there_are_no_rows() -> None:
    assert frame({}, horizon=1, before=AFTER_ALL).empty
    assert frame({"AAA": walk(20, seed=1)}, horizon=1, before=AFTER_ALL).empty
