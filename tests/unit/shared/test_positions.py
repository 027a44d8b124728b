from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.shared.positions import Position, Tracker, new_epoch

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive)


@given(INSTANTS, st.integers(-(10**6), 10**6))
def test_epochs_sort_by_age_even_when_the_clock_goes_back(when: datetime, seconds: int) -> None:
    first = new_epoch(when)
    second = new_epoch(when + timedelta(seconds=seconds), after=first)
    assert second > first
    assert len(second) == len(first)


def test_a_tracker_drops_repeats_and_older_epochs_and_counts_gaps() -> None:
    tracker = Tracker({"A": Position("e1", 5)})
    steps = [
        tracker.advance("A", epoch, seq) for epoch, seq in (("e1", 5), ("e1", 6), ("e1", 9), ("e0", 99), ("e2", 3))
    ]
    assert [(step.fresh, step.missed, step.new_epoch) for step in steps] == [
        (False, 0, False),
        (True, 0, False),
        (True, 2, False),
        (False, 0, False),
        (True, 2, True),
    ]
    assert tracker.position("A") == Position("e2", 3)
    assert tracker.position("B") is None


@given(st.lists(st.integers(1, 40), max_size=80))
def test_what_a_tracker_lets_through_rises_and_gaps_add_up(seqs: list[int]) -> None:
    tracker = Tracker({"A": Position("e", 0)})
    through, missed = [], 0
    for seq in seqs:
        step = tracker.advance("A", "e", seq)
        if step.fresh:
            through.append(seq)
            missed += step.missed
    assert through == sorted(set(through))
    assert len(through) + missed == max(seqs, default=0)
