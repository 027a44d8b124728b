"""The sorted arrays against a plain list of pairs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.users.core.thresholds import Thresholds

prices = st.integers(1, 12).map(float)
steps = st.lists(st.tuples(st.booleans(), st.frozensets(prices, min_size=1, max_size=3)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(steps=steps, low=prices, high=prices, at_once=st.integers(1, 40))
def test_finds_what_a_plain_list_finds(
    steps: list[tuple[bool, frozenset[float]]], low: float, high: float, at_once: int
) -> None:
    tested, plain = Thresholds(), dict[int, frozenset[float]]()
    for slot, (add, lines) in enumerate(steps):
        if add:
            tested.add(slot, lines)
            plain[slot] = lines
        else:
            gone = [(each, plain.pop(each)) for each in list(plain)[:at_once]]
            tested.remove(gone)
    expected = sorted(slot for slot, lines in plain.items() for line in lines if low <= line <= high)
    assert sorted(tested.between(low, high)) == expected
    assert len(tested) == sum(len(lines) for lines in plain.values())
    again = Thresholds()
    again.replace(plain.items())
    assert sorted(again.between(low, high)) == expected


def test_an_empty_range_is_empty() -> None:
    tested = Thresholds()
    tested.add(7, [150.0])
    assert list(tested.between(150.0, 150.0)) == [7]
    assert list(tested.between(150.01, 200.0)) == []
    assert list(tested.between(100.0, 149.99)) == []
