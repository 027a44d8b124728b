"""How many messages a client may send."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.pace import Pace


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 20), st.lists(st.floats(0, 3), max_size=60))
def test_any_stretch_of_time_lets_its_share_and_one_burst_through(per_second: int, waits: list[float]) -> None:
    pace, now, allowed = Pace(per_second, 0.0), 0.0, []
    for wait in waits:
        now += wait
        if pace.allows(now):
            allowed.append(now)
    for first, begin in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= per_second * (1 + allowed[last] - begin) + 1e-6


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    pace = Pace(10, 0.0)
    assert [pace.allows(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not pace.allows(0.05)
    assert pace.allows(0.2)


def test_zero_means_no_limit() -> None:
    pace = Pace(0, 0.0)
    assert all(pace.allows(0.0) for _ in range(1000))
