"""Each indicator against a plain formula over the whole series, and what all of them promise."""

from collections.abc import Callable
from math import isnan

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prediction.core.indicators import Ema, Highest, Rsi, Sma, Std, Volatility, Window

Indicator = Sma | Std | Ema | Rsi | Volatility | Highest

VALUES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=120)
MAKERS: dict[str, Callable[[], Indicator]] = {
    "sma": lambda: Sma(5),
    "std": lambda: Std(5),
    "ema": lambda: Ema(5),
    "rsi": lambda: Rsi(5),
    "volatility": lambda: Volatility(decay=0.9, seed=5),
    "highest": lambda: Highest(5),
}
each_indicator = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def run(indicator: Indicator, values: list[float]) -> list[float]:
    return [indicator.update(value) for value in values]


@given(VALUES)
@settings(deadline=None, max_examples=60)
def test_sma_is_the_mean_of_the_window(values: list[float]) -> None:
    for end, found in enumerate(run(Sma(7), values), 1):
        expected = np.mean(values[end - 7 : end]) if end >= 7 else np.nan
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=120))
@settings(deadline=None, max_examples=60)
def test_std_is_the_population_deviation_of_the_window(values: list[float]) -> None:
    for end, found in enumerate(run(Std(7), values), 1):
        expected = np.std(values[end - 7 : end]) if end >= 7 else np.nan
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)


@given(VALUES)
@settings(deadline=None, max_examples=60)
def test_highest_is_the_maximum_of_the_window(values: list[float]) -> None:
    for end, found in enumerate(run(Highest(7), values), 1):
        if end < 7:
            assert isnan(found)
        else:
            assert found == max(values[end - 7 : end])


def test_highest_holds_no_more_than_two_windows() -> None:
    falling = Highest(10)
    run(falling, [1000.0 - n for n in range(500)])
    assert len(falling.values) <= 22


def test_ema_is_seeded_by_a_mean_and_then_decays() -> None:
    # seed (1 + 2 + 3) / 3 = 2, weight 2 / 4: (4 - 2) / 2 + 2 = 3, (10 - 3) / 2 + 3 = 6.5
    assert run(Ema(3), [1.0, 2.0, 3.0, 4.0, 10.0])[2:] == [2.0, 3.0, 6.5]


def test_rsi_of_wilder_by_hand() -> None:
    # span 2, changes +1, -1 | +3: gains 0.5 -> (0.5 + 3) / 2 = 1.75, losses 0.5 -> 0.25
    found = run(Rsi(2), [10.0, 11.0, 10.0, 13.0])
    assert isnan(found[0])
    assert isnan(found[1])
    assert found[2] == 50.0
    assert found[3] == pytest.approx(100 * 1.75 / 2.0)


@pytest.mark.parametrize(("values", "expected"), [([1, 2, 3, 4], 100.0), ([4, 3, 2, 1], 0.0), ([2, 2, 2, 2], 50.0)])
def test_rsi_at_its_ends(values: list[float], expected: float) -> None:
    assert run(Rsi(3), values)[-1] == expected


def test_rsi_on_published_prices() -> None:
    # the worked example of Wilder's method that StockCharts publishes (ChartSchool, "RSI"), its first value 70.53
    closes = [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245]
    closes += [45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028]
    found = run(Rsi(14), closes)
    assert round(found[14], 2) == 70.53
    assert round(found[15], 2) == 66.32


def test_volatility_is_seeded_and_then_decays() -> None:
    found = run(Volatility(decay=0.9, seed=2), [0.01, -0.03, 0.02])
    assert isnan(found[0])
    assert found[1] == pytest.approx(np.sqrt((0.01**2 + 0.03**2) / 2))
    assert found[2] == pytest.approx(np.sqrt(0.9 * 5e-4 + 0.1 * 4e-4))


def test_window_looks_back() -> None:
    window = Window(3)
    assert isnan(window.back(0))
    assert [window.update(value) for value in (1.0, 2.0, 3.0)] == pytest.approx([np.nan] * 3, nan_ok=True)
    assert [window.update(value) for value in (4.0, 5.0)] == [1.0, 2.0]
    assert [window.back(steps) for steps in range(3)] == [5.0, 4.0, 3.0]
    assert isnan(window.back(3))


@each_indicator
@given(values=VALUES, later=VALUES)
@settings(deadline=None, max_examples=25)
def test_state_survives_bytes_exactly(make: Callable[[], Indicator], values: list[float], later: list[float]) -> None:
    original = make()
    run(original, values)
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(original), type=type(original))
    assert restored == original
    np.testing.assert_array_equal(run(restored, later), run(original, later))


@pytest.mark.parametrize("make", [lambda: Sma(5), lambda: Ema(5), lambda: Rsi(5), lambda: Highest(5)])
@given(values=VALUES, later=VALUES, factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(deadline=None, max_examples=25)
def test_scaled_state_is_that_of_scaled_values(
    make: Callable[[], Sma | Ema | Rsi | Highest], values: list[float], later: list[float], factor: float
) -> None:
    scaled, other = make(), make()
    run(scaled, values)
    scaled.scale(factor)
    run(other, [value * factor for value in values])
    np.testing.assert_allclose(run(scaled, later), run(other, later), rtol=1e-9)


def test_rounding_does_not_pile_up() -> None:
    random = np.random.default_rng(1)
    values = random.uniform(1e5, 1e6, 5_000).tolist() + random.uniform(1e-3, 1e-2, 60).tolist()
    average = Sma(20)
    assert run(average, values)[-1] == pytest.approx(np.mean(values[-20:]), rel=1e-12)
