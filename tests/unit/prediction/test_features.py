"""One definition of the rows: the same live and over history, without scale, blind to what comes later."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prediction.core.bars import PastBar
from services.prediction.core.features import NAMES, WARM_UP, Features, Row, fold
from tests.unit.prediction.samples import final_bar, walk

Floats = npt.NDArray[np.float64]

PRICE = st.floats(0.01, 1e5, allow_subnormal=False)


@st.composite
def bar(draw: st.DrawFn) -> PastBar:
    prices = sorted(draw(st.tuples(PRICE, PRICE, PRICE, PRICE)))
    opened, closed = draw(st.permutations(prices[1:3]))
    volume = draw(st.one_of(st.just(0.0), st.floats(1, 1e9)))
    return PastBar("2010-01-04", "2010-01-04T21:00:00.000000Z", opened, prices[3], prices[0], closed, volume)


def replay(bars: Sequence[PastBar], cuts: set[int]) -> list[Row | None]:
    """Bar by bar, as live, going through bytes (a crash, a checkpoint) before each place in `cuts`."""
    features, rows = Features(), []
    for place, each in enumerate(bars):
        if place in cuts:
            features = Features.from_bytes(features.to_bytes())
        rows.append(features.update(each))
    return rows


@given(wild=st.lists(bar(), max_size=40), seed=st.integers(0, 1000), cuts=st.sets(st.integers(0, 130), max_size=5))
@settings(deadline=None, max_examples=20)
def test_live_rows_are_the_rows_of_history(wild: list[PastBar], seed: int, cuts: set[int]) -> None:
    bars = [*walk(60, seed=seed), *wild, *walk(25, seed=seed + 1)]
    assert replay(bars, cuts) == fold(bars)[1]


@given(wild=st.lists(bar(), min_size=60, max_size=80))
@settings(deadline=None, max_examples=8)
def test_rows_are_numbers_whatever_comes(wild: list[PastBar]) -> None:
    rows = [row for row in fold(wild)[1] if row is not None]
    assert rows
    assert np.isfinite([row.values for row in rows]).all()
    assert all(row.volatility > 0 for row in rows)


@given(end=st.integers(WARM_UP, 119))
@settings(deadline=None, max_examples=20)
def test_a_row_does_not_change_when_later_bars_exist(end: int) -> None:
    bars = walk(120, seed=3)
    assert fold(bars[:end])[1] == fold(bars)[1][:end]


def test_warms_up_for_so_many_bars() -> None:
    rows = fold(walk(WARM_UP + 1, seed=1))[1]
    assert [row is not None for row in rows] == [False] * (WARM_UP - 1) + [True, True]


def table(bars: Sequence[PastBar]) -> Floats:
    return np.array([row.values for row in fold(bars)[1] if row is not None])


def scaled(bars: Sequence[PastBar], prices: float, volumes: float) -> list[PastBar]:
    return [
        PastBar(
            each.date,
            each.time,
            each.open * prices,
            each.high * prices,
            each.low * prices,
            each.close * prices,
            each.volume * volumes,
        )
        for each in bars
    ]


@pytest.mark.parametrize("factor", [1 / 7, 0.5, 1000.0])
def test_rows_know_no_scale(factor: float) -> None:
    bars = walk(150, seed=5)
    np.testing.assert_allclose(table(scaled(bars, factor, 3 * factor)), table(bars), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ratio", [2.0, 7.0, 0.1])
def test_a_split_changes_nothing(ratio: float) -> None:
    """Raw bars with the split told at its place give the rows of split-adjusted history."""
    bars = walk(150, seed=6)
    features = Features()
    rows = [features.update(each) for each in bars[:80]]
    features.split(ratio)
    rows += [features.update(each) for each in scaled(bars[80:], 1 / ratio, ratio)]
    found = np.array([row.values for row in rows if row is not None])
    np.testing.assert_allclose(found, table(bars), rtol=1e-7, atol=1e-9)


def test_rows_by_another_way() -> None:
    """Every feature of the last bar, computed from whole arrays."""
    bars = walk(120, seed=7)
    row = fold(bars)[1][-1]
    assert row is not None
    opens, highs, lows, closes, volumes = (np.array([each[n] for each in bars]) for n in range(2, 7))
    moves = np.diff(np.log(closes))
    variance = float(np.mean(moves[:20] ** 2))
    for move in moves[20:]:
        variance = 0.94 * variance + 0.06 * move**2
    unit = np.sqrt(variance)
    close = closes[-1]
    expected = [np.log(close / closes[-1 - span]) / (unit * np.sqrt(span)) for span in (1, 2, 5, 10, 21)]
    spreads = np.log(highs / lows)
    expected += [np.log(opens[-1] / closes[-2]) / unit, spreads[-1] / unit, spreads[-1] / spreads[-20:].mean()]
    expected += [(close - lows[-1]) / (highs[-1] - lows[-1])]
    expected += [np.log(volumes[-1] / volumes[-2]), np.log(volumes[-1] / volumes[-20:].mean())]
    expected += [np.log(close / closes[-span:].mean()) / (unit * np.sqrt(span)) for span in (10, 20, 50)]
    expected += [np.log(ema(closes, 12) / ema(closes, 26)) / unit, rsi(closes, 14) / 100]
    for span in (20, 50):
        low, high = lows[-span:].min(), highs[-span:].max()
        expected.append((close - low) / (high - low))
    expected += [np.log(unit), np.log(moves[-10:].std() / unit)]
    assert dict(zip(NAMES, row.values, strict=True)) == pytest.approx(dict(zip(NAMES, expected, strict=True)), rel=1e-9)
    assert row.volatility == pytest.approx(unit)
    assert row.close == close


def ema(values: Floats, span: int) -> float:
    average = float(values[:span].mean())
    for value in values[span:]:
        average = average * (1 - 2 / (span + 1)) + value * 2 / (span + 1)
    return average


def rsi(values: Floats, span: int) -> float:
    moves = np.diff(values)
    gain, loss = (float(np.clip(sign * moves[:span], 0, None).mean()) for sign in (1, -1))
    for move in moves[span:]:
        gain, loss = ((last * (span - 1) + max(now, 0.0)) / span for last, now in ((gain, move), (loss, -move)))
    return 100 * gain / (gain + loss)


def test_prices_that_stand_still() -> None:
    still = PastBar("2010-01-04", "2010-01-04T21:00:00.000000Z", 5.0, 5.0, 5.0, 5.0, 0.0)
    row = fold([still] * 60)[1][-1]
    assert row is not None
    values = dict(zip(NAMES, row.values, strict=True))
    assert values["return_1"] == values["range"] == values["volume_ratio"] == 0.0
    assert values["rsi_14"] == values["place_20"] == values["close_place"] == 0.5


@pytest.mark.parametrize("bad", [b"", b"no state", msgspec.msgpack.encode({"closes": 1})])
def test_bytes_that_are_no_state(bad: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Features.from_bytes(bad)


def test_a_bar_of_the_wire_gives_the_same_row() -> None:
    bars = walk(60, seed=1)
    assert fold([final_bar("AAA", each) for each in bars])[1] == fold(bars)[1]
