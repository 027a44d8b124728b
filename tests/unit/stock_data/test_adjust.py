from hypothesis import given, settings
from hypothesis import strategies as st

from services.stock_data.core.adjust import adjust
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound


def bar(start: int, price: float = 100.0, volume: float = 10.0) -> FinalBar:
    return FinalBar("A", "1d", start, start + 5, f"day {start}", price, price + 1, price - 1, price, volume)


def split(time: int, ratio: float) -> SplitFound:
    return SplitFound("A", ratio, f"day {time}", time)


def test_older_bars_are_in_the_shares_of_the_asked_instant() -> None:
    bars = [bar(10), bar(20), bar(30)]
    adjusted = adjust(bars, [split(15, 2.0), split(25, 4.0)], before=100)
    assert [each.close for each in adjusted] == [12.5, 25.0, 100.0]
    assert [each.high for each in adjusted] == [101 / 8, 101 / 4, 101.0]
    assert [each.volume for each in adjusted] == [80.0, 40.0, 10.0]


def test_a_split_is_not_known_before_it_happens() -> None:
    assert adjust([bar(10)], [split(15, 2.0)], before=15) == [bar(10)]
    assert adjust([bar(10)], [split(15, 2.0)], before=16) != [bar(10)]


def test_a_reverse_split_makes_the_past_dearer() -> None:
    assert adjust([bar(10, 1.5)], [split(15, 0.1)], before=99)[0].close == 15.0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from([2.0, 4.0, 0.5])), max_size=5),
    st.lists(st.integers(0, 50), max_size=10),
    st.integers(0, 60),
)
@settings(deadline=None, max_examples=60)
def test_turnover_stays_and_later_splits_change_nothing(
    when: list[tuple[int, float]], starts: list[int], before: int
) -> None:
    splits = [split(*each) for each in when]
    bars = [bar(start) for start in starts]
    adjusted = adjust(bars, splits, before)
    assert [each.close * each.volume for each in adjusted] == [each.close * each.volume for each in bars]
    assert adjusted == adjust(bars, [each for each in splits if each.time < before], before=1000)
