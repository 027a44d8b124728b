"""Each condition against its truth table, then whole series of hand-made prices with the exact ticks that fire."""

import pytest

from services.users.core.conditions import KINDS
from tests.unit.users.ticks import fired_at, moment, rule

LINE = 150.0


@pytest.mark.parametrize(
    ("kind", "before", "price", "holds"),
    [
        ("greater_than", 151.0, 149.0, False),
        ("greater_than", 149.0, 150.0, False),
        ("greater_than", 149.0, 151.0, True),
        ("greater_than", None, 151.0, True),
        ("less_than", 149.0, 151.0, False),
        ("less_than", 151.0, 150.0, False),
        ("less_than", 151.0, 149.0, True),
        ("less_than", None, 149.0, True),
        ("crossing_up", None, 151.0, False),
        ("crossing_up", 149.0, 150.0, True),
        ("crossing_up", 149.0, 151.0, True),
        ("crossing_up", 150.0, 151.0, False),
        ("crossing_up", 151.0, 152.0, False),
        ("crossing_up", 151.0, 149.0, False),
        ("crossing_up", 149.0, 149.5, False),
        ("crossing_down", None, 149.0, False),
        ("crossing_down", 151.0, 150.0, True),
        ("crossing_down", 151.0, 149.0, True),
        ("crossing_down", 150.0, 149.0, False),
        ("crossing_down", 149.0, 148.0, False),
        ("crossing_down", 149.0, 151.0, False),
        ("crossing", None, 151.0, False),
        ("crossing", None, 150.0, False),
        ("crossing", 149.0, 150.0, True),
        ("crossing", 149.0, 151.0, True),
        ("crossing", 151.0, 150.0, True),
        ("crossing", 151.0, 149.0, True),
        ("crossing", 150.0, 151.0, False),
        ("crossing", 150.0, 149.0, False),
        ("crossing", 150.0, 150.0, False),
    ],
)
def test_truth_table(kind: str, before: float | None, price: float, holds: bool) -> None:
    assert KINDS[kind](LINE).holds(moment(before, price)) is holds


@pytest.mark.parametrize(
    ("kind", "made_at", "prices", "fires"),
    [
        # a level that is already there when the rule is made fires at the next tick, also an equal one
        ("greater_than", 151.0, [151.0, 152.0, 151.0], [1]),
        ("less_than", 149.0, [149.0, 148.0], [1]),
        # ... and before any price at all
        ("greater_than", None, [151.0, 152.0], [1]),
        # equality is not above; the latch holds until the condition has been false
        ("greater_than", 149.0, [150.0, 150.01, 151.0, 150.0, 150.01], [2, 5]),
        ("less_than", 151.0, [150.0, 149.99, 149.0, 150.0, 149.99], [2, 5]),
        # over a gap
        ("greater_than", 100.0, [200.0, 100.0, 200.0], [1, 3]),
        ("crossing_up", 100.0, [200.0, 100.0, 200.0], [1, 3]),
        ("crossing_down", 200.0, [100.0, 200.0, 100.0], [1, 3]),
        # the first price ever sets the side
        ("crossing", None, [151.0, 149.0, 151.0], [2, 3]),
        ("crossing_up", None, [151.0, 149.0, 150.0], [3]),
        # ... but a rule made after a price knows its side from the very next tick
        ("crossing_up", 149.0, [151.0], [1]),
        ("crossing_up", 151.0, [151.0, 152.0], []),
        # standing on the line: reaching it is crossing it, leaving it is not
        ("crossing_up", 149.0, [150.0, 151.0, 150.0, 149.0, 150.0], [1, 5]),
        ("crossing_up", 150.0, [151.0, 150.0, 149.9, 150.0], [4]),
        ("crossing_down", 151.0, [150.0, 149.0, 150.0, 151.0, 150.0], [1, 5]),
        ("crossing", 149.0, [150.0, 149.0, 150.0, 151.0, 150.0, 150.0], [1, 3, 5]),
        # oscillation: events fire at each occurrence
        ("crossing", 149.0, [151.0, 149.0, 151.0, 149.0], [1, 2, 3, 4]),
        ("crossing_up", 149.0, [151.0, 149.0, 151.0, 149.0], [1, 3]),
        ("crossing_down", 149.0, [151.0, 149.0, 151.0, 149.0], [2, 4]),
        ("greater_than", 149.0, [151.0, 149.0, 151.0, 149.0], [1, 3]),
    ],
)
def test_series(kind: str, made_at: float | None, prices: list[float], fires: list[int]) -> None:
    assert fired_at(rule((kind, LINE)), prices, before=made_at) == fires


@pytest.mark.parametrize(
    ("kind", "made_at", "prices", "fires"),
    [
        # 2 % of 150: back at 147 (153)
        ("greater_than", 149.0, [151.0, 149.0, 151.0, 147.01, 151.0, 147.0, 151.0], [1, 7]),
        ("less_than", 151.0, [149.0, 151.0, 149.0, 152.99, 149.0, 153.0, 149.0], [1, 7]),
        ("crossing_up", 149.0, [151.0, 149.0, 151.0, 147.01, 151.0, 147.0, 151.0], [1, 7]),
        ("crossing_down", 151.0, [149.0, 151.0, 149.0, 152.99, 149.0, 153.0, 149.0], [1, 7]),
        # crossing: back below after it went up, back above after it went down; in one step it crosses as well
        ("crossing", 149.0, [151.0, 149.0, 151.0, 147.0, 153.0, 149.0], [1, 4, 5]),
        ("crossing", 149.0, [151.0, 148.0, 147.0, 148.0, 150.0], [1, 5]),
        # a rule that is new has nothing to go back from
        ("greater_than", 150.5, [151.0], [1]),
        ("crossing_up", 149.9, [150.0], [1]),
    ],
)
def test_hysteresis(kind: str, made_at: float, prices: list[float], fires: list[int]) -> None:
    assert fired_at(rule((kind, LINE), hysteresis_pct=2.0), prices, before=made_at) == fires


def test_hysteresis_is_counted_in_decimals() -> None:
    # 0.35 * (100 - 10) / 100 is 0.315 for people, 0.31499999999999995 for binary fractions
    assert fired_at(rule(("greater_than", 0.35), hysteresis_pct=10), [0.36, 0.315, 0.36], before=0.3) == [1, 3]


def test_two_levels_are_one_band() -> None:
    band = rule(("greater_than", 100.0), ("less_than", 110.0))
    assert fired_at(band, [105.0, 109.0, 110.0, 109.0, 100.0, 120.0, 101.0], before=90.0) == [1, 4, 7]


def test_a_band_with_hysteresis_waits_until_one_side_was_left() -> None:
    band = rule(("greater_than", 100.0), ("less_than", 110.0), hysteresis_pct=5.0)
    assert fired_at(band, [105.0, 111.0, 105.0, 115.5, 105.0, 96.0, 105.0, 95.0, 105.0], before=90.0) == [1, 5, 9]


def test_a_level_beside_an_event_is_a_guard_without_a_latch() -> None:
    guarded = rule(("crossing_up", 105.0), ("greater_than", 100.0), ("less_than", 110.0))
    assert fired_at(guarded, [106.0, 104.0, 106.0, 104.0, 111.0, 104.0, 106.0], before=104.0) == [1, 3, 7]


def test_a_guard_that_fails_does_not_use_the_event_up() -> None:
    guarded = rule(("crossing_up", 105.0), ("less_than", 110.0), hysteresis_pct=5.0)
    assert fired_at(guarded, [111.0, 104.9, 106.0], before=104.0) == [3]


def test_once_is_once() -> None:
    assert fired_at(rule(("crossing", LINE), every_time=False), [151.0, 149.0, 151.0], before=149.0) == [1]
