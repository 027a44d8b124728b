from datetime import date, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.stock_data.core import instants, splits
from services.stock_data.core.csv_import import DayRow
from services.stock_data.core.splits import AdjustedDay, SplitFound
from services.stock_data.feeds.files import open_csv
from services.stock_data.feeds.replay import bundled_file

FIRST = date(2020, 1, 1)


def days(*prices: tuple[float, float, float]) -> list[AdjustedDay]:
    """(open, close, adjusted close) of consecutive days."""
    return [AdjustedDay(FIRST + timedelta(days=n), *each) for n, each in enumerate(prices)]


def test_a_four_for_one_split() -> None:
    found = splits.find("A", days((400.0, 400.0, 100.0), (101.0, 102.0, 102.0), (102.0, 103.0, 103.0)))
    day = FIRST + timedelta(days=1)
    assert found == [SplitFound("A", 4.0, "2020-01-02", instants.midnight(day))]


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 4 / 3, 1.25, 7.0, 20.0, 0.5, 0.1, 2 / 3, 0.05])
def test_ratios_forward_and_reverse(ratio: float) -> None:
    found = splits.find("A", days((100.0, 100.0, 100.0 / ratio), (101.0 / ratio, 102.0 / ratio, 102.0 / ratio)))
    assert [split.ratio for split in found] == [pytest.approx(ratio, rel=1e-12)]


def test_dividends_are_no_splits() -> None:
    ordinary = days((100.0, 100.0, 98.0), (98.5, 99.0, 99.0))
    special = days((30.0, 29.97, 26.94), (27.3, 27.39, 27.39))  # 3 a share of 30
    assert splits.find("A", ordinary) == splits.find("A", special) == []


def test_a_dividend_on_the_day_of_a_split_does_not_hide_it() -> None:
    found = splits.find("A", days((100.0, 100.0, 49.6), (50.0, 50.5, 50.5)))
    assert [split.ratio for split in found] == [2.0]


def test_an_adjusted_close_that_is_wrong_on_its_own_is_no_split() -> None:
    assert splits.find("A", days((100.0, 100.0, 50.0), (100.0, 101.0, 101.0))) == []


def test_the_bundled_bars_have_three() -> None:
    with open_csv(bundled_file()) as file:
        rows: dict[str, list[DayRow]] = {}
        for row in file.days():
            rows.setdefault(row.ticker, []).append(row)
    found = {
        (split.symbol, split.effective, split.ratio)
        for symbol, own in rows.items()
        for split in splits.find(
            symbol, (AdjustedDay(row.date, row.open, row.close, row.adj_close or 0.0) for row in own)
        )
    }
    # not Microsoft's dividend of 3 dollars on 2004-11-15
    assert found == {("AAPL", "2000-06-21", 2.0), ("AAPL", "2005-02-28", 2.0), ("MSFT", "2003-02-18", 2.0)}


@given(st.floats(0.8, 1.25))
@settings(deadline=None, max_examples=60)
def test_what_is_near_to_one_is_no_ratio(fall: float) -> None:
    assert splits.simple_ratio(fall) in {None, 1.25, 0.8}


@given(st.integers(1, 4), st.integers(1, 50), st.floats(-0.002, 0.002))
@settings(deadline=None, max_examples=120)
def test_simple_ratios_are_found_and_turn_with_the_fall(m: int, n: int, error: float) -> None:
    assume((n / m >= 1.25 and n <= 4 * m) or (m == 1 and n > 1))
    fall = n / m * (1 + error)
    assert splits.simple_ratio(fall) == n / m
    assert splits.simple_ratio(1 / fall) == pytest.approx(m / n, rel=1e-12)
