from datetime import date
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from services.stock_data.core import instants
from services.stock_data.core.bars import Aggregator, FinalBar

DAY = date(2024, 7, 2)
OPEN, CLOSE = instants.open_of(DAY), instants.close_of(DAY)
MINUTE, SECOND = instants.MINUTE, instants.SECOND


def feed(ticks: list[tuple[str, float, float | None, int]]) -> list[FinalBar]:
    bars = Aggregator()
    out: list[FinalBar] = []
    for symbol, price, volume, time in ticks:
        out += bars.until(time)
        bars.add(symbol, price, volume, time)
    return out + bars.rest()


def test_a_minute_is_half_open_and_final_when_time_has_passed() -> None:
    bars = Aggregator()
    bars.add("A", 10.0, 1.0, OPEN)
    bars.add("A", 12.0, 2.0, OPEN + 30 * SECOND)
    bars.add("A", 9.0, None, OPEN + MINUTE - 1)
    assert bars.until(OPEN + MINUTE - 1) == []
    assert bars.until(OPEN + MINUTE) == [
        FinalBar("A", "1m", OPEN, OPEN + MINUTE, "2024-07-02", 10.0, 12.0, 9.0, 9.0, 3.0)
    ]
    assert bars.until(OPEN + MINUTE) == []


def test_time_passes_for_every_symbol() -> None:
    bars = Aggregator()
    bars.add("B", 1.0, None, OPEN)
    bars.add("A", 2.0, None, OPEN)
    assert [bar.symbol for bar in bars.until(OPEN + MINUTE)] == ["A", "B"]


def test_a_day_is_the_session_only() -> None:
    before, within, at_close = OPEN - 1, OPEN + SECOND, CLOSE
    out = feed([("A", 1.0, 5.0, before), ("A", 2.0, 7.0, within), ("A", 3.0, 9.0, at_close)])
    days = [bar for bar in out if bar.timeframe == "1d"]
    assert days == [FinalBar("A", "1d", OPEN, CLOSE, "2024-07-02", 2.0, 2.0, 2.0, 2.0, 7.0)]
    assert sum(bar.volume for bar in out if bar.timeframe == "1m") == 21.0


def test_the_last_minute_comes_before_its_day() -> None:
    out = feed([("A", 1.0, None, CLOSE - 1), ("A", 1.0, None, CLOSE + MINUTE)])
    assert [(bar.timeframe, bar.end) for bar in out[:2]] == [("1m", CLOSE), ("1d", CLOSE)]


def test_a_half_day_ends_at_one() -> None:
    half = date(2024, 7, 3)
    out = feed([("A", 1.0, None, instants.open_of(half))])
    assert out[-1].end == instants.close_of(half) == out[-1].start + 210 * MINUTE


TICKS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.floats(0.01, 1e6),
        st.none() | st.integers(0, 1000).map(float),
        st.integers(0, 3 * 24 * 3600).map(lambda second: OPEN - 3600 * SECOND + second * SECOND),
    ),
    max_size=60,
).map(lambda ticks: sorted(ticks, key=lambda tick: tick[3]))


@given(TICKS)
@settings(deadline=None, max_examples=60)
def test_minute_bars_are_what_a_plain_grouping_gives(ticks: list[tuple[str, float, float | None, int]]) -> None:
    out = feed(ticks)
    expected: list[tuple[object, ...]] = []
    for symbol in ("A", "B"):
        own = [tick for tick in ticks if tick[0] == symbol]
        for minute, group in groupby(own, key=lambda tick: tick[3] // MINUTE):
            rows = list(group)
            prices = [row[1] for row in rows]
            volume = sum(row[2] or 0.0 for row in rows)
            expected.append((symbol, minute * MINUTE, prices[0], max(prices), min(prices), prices[-1], volume))
    found = [
        (bar.symbol, bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for bar in out
        if bar.timeframe == "1m"
    ]
    assert sorted(found) == sorted(expected)
    assert [bar.end for bar in out] == sorted(bar.end for bar in out)


@given(TICKS)
@settings(deadline=None, max_examples=60)
def test_a_day_is_made_of_its_minutes(ticks: list[tuple[str, float, float | None, int]]) -> None:
    out = feed(ticks)
    for day in (bar for bar in out if bar.timeframe == "1d"):
        minutes = [
            bar
            for bar in out
            if bar.timeframe == "1m" and bar.symbol == day.symbol and day.start <= bar.start < day.end
        ]
        assert (day.open, day.close) == (minutes[0].open, minutes[-1].close)
        assert day.high == max(bar.high for bar in minutes)
        assert day.low == min(bar.low for bar in minutes)
        assert day.volume == sum(bar.volume for bar in minutes)
