"""Trust follows evidence: much of it where forecasts were right, little where rows are few or forecasts noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prediction.core.calibration import (
    LEAST_SHRINKAGE,
    Confidence,
    fit_confidence,
    residual_quantiles,
    shrinkage,
)


def made(count: int, skill: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts of size ~0.1, targets of size ~1 that follow them `skill`-fold, one date each."""
    random = np.random.default_rng(3)
    forecasts = random.normal(0, 0.1, count)
    return forecasts, skill * forecasts + random.normal(0, 1, count), np.arange(count).astype(str)


def test_good_forecasts_keep_their_size() -> None:
    assert shrinkage(*made(20_000, 1.0)) == pytest.approx(1.0, abs=0.15)


def test_timid_forecasts_are_not_blown_up() -> None:
    assert shrinkage(*made(20_000, 5.0)) == 1.0


@pytest.mark.parametrize("skill", [0.0, -1.0])
def test_worthless_forecasts_shrink_but_keep_their_sign(skill: float) -> None:
    assert 0 < LEAST_SHRINKAGE <= shrinkage(*made(20_000, skill)) < 0.15


def test_few_rows_are_believed_less_than_many() -> None:
    forecasts, targets, dates = made(20_000, 1.0)
    few = [shrinkage(forecasts[n : n + 50], targets[n : n + 50], dates[:50]) for n in range(0, 2000, 50)]
    assert np.mean(few) < 0.7 * shrinkage(forecasts, targets, dates)


def test_rows_of_one_date_count_as_one() -> None:
    forecasts, targets, dates = made(200, 1.0)
    copies = [np.repeat(each, 20) for each in (forecasts, targets, dates)]
    assert shrinkage(copies[0], copies[1], copies[2]) == pytest.approx(shrinkage(forecasts, targets, dates))


def test_forecasts_of_nothing() -> None:
    assert shrinkage(np.zeros(5), np.ones(5), np.arange(5).astype(str)) == LEAST_SHRINKAGE


def test_confidence_finds_the_true_chance() -> None:
    random = np.random.default_rng(4)
    sizes = random.exponential(0.1, 40_000)
    chance = 1 / (1 + np.exp(-3 * sizes))
    fitted = fit_confidence(sizes * random.choice([-1, 1], 40_000), random.random(40_000) < chance)
    for size in (0.0, 0.1, 0.3):
        assert fitted.of(size) == pytest.approx(1 / (1 + np.exp(-3 * size)), abs=0.02)
        assert fitted.of(size) == fitted.of(-size)


def test_without_evidence_it_is_a_coin() -> None:
    assert fit_confidence(np.array([0.1, -0.2]), np.array([True, False])).of(0.1) == pytest.approx(0.5, abs=0.02)
    assert fit_confidence(np.zeros(3), np.array([True, True, True])).of(0.0) == pytest.approx(0.5, abs=0.05)


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=60)
def test_a_larger_forecast_is_never_trusted_less(rows: list[tuple[float, bool]]) -> None:
    fitted = fit_confidence(np.array([size for size, _ in rows]), np.array([right for _, right in rows]))
    trust = [fitted.of(size) for size in (0.0, 0.01, 0.1, 0.5, 2.0, 100.0)]
    assert trust == sorted(trust)
    assert all(0.1 <= each <= 1.0 for each in trust)


def test_confidence_is_clamped() -> None:
    assert Confidence(base=-9.0, slope=0.0, unit=1.0).of(1.0) == 0.1
    assert Confidence(base=50.0, slope=0.0, unit=1.0).of(1.0) == 1.0


def test_residual_quantiles_hold_the_middle() -> None:
    low, high = residual_quantiles(np.arange(101, dtype=float))
    assert (low, high) == pytest.approx((10.0, 90.0))
