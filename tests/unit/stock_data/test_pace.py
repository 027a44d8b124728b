from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.stock_data.core.pace import UNLIMITED, Pace


def test_a_tick_at_once_and_then_one_each_tenth_of_a_second() -> None:
    pace = Pace(10.0, now=5.0)
    assert pace.due(5.0) == 1
    pace.took(1)
    assert pace.due(5.05) == 0
    assert pace.wait_s(5.05) == pytest.approx(0.05)
    assert pace.due(5.1001) == 1


def test_late_wake_ups_are_made_up_for() -> None:
    pace = Pace(100.0, now=0.0)
    assert pace.due(0.1001) == 11


def test_a_standstill_is_not_made_up_for() -> None:
    pace = Pace(100.0, now=0.0)
    pace.took(1)
    assert pace.due(60.0) == 1


def test_slow_rates_are_not_a_standstill() -> None:
    pace = Pace(0.1, now=0.0)
    pace.took(1)
    assert pace.due(9.9) == 0
    assert pace.due(10.0) == 1
    pace.took(1)
    assert pace.wait_s(10.0) == pytest.approx(10.0)


def test_what_is_due_within_a_moment_goes_together() -> None:
    pace = Pace(1000.0, now=0.0)
    pace.took(pace.due(0.0))
    assert pace.due(0.0055) == 0
    assert pace.wait_s(0.002) == pytest.approx(0.004)
    assert pace.due(0.0062) == 6


def test_no_limit() -> None:
    pace = Pace(inf, now=0.0)
    assert pace.due(0.0) == UNLIMITED
    pace.took(1000)
    assert pace.due(0.0) == UNLIMITED
    assert pace.wait_s(0.0) == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(rate, now=0.0)


@given(st.floats(1.0, 50_000.0), st.lists(st.floats(0.0001, 0.1), min_size=1, max_size=200))
@settings(deadline=None, max_examples=60)
def test_it_does_not_drift(rate: float, naps: list[float]) -> None:
    pace, now, sent = Pace(rate, now=0.0), 0.0, 0
    for nap in naps:
        due = pace.due(now)
        pace.took(due)
        sent += due
        now += max(nap, pace.wait_s(now))
    due_by_then = now * rate + 1
    assert sent <= due_by_then + 1e-6 * sent + 1
    assert sent >= due_by_then - 1 - max(rate * 0.1, 1) - 1
