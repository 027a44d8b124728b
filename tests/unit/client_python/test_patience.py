from tickroom_client import Patience


def test_the_wait_is_anything_up_to_twice_as_long_each_time() -> None:
    patience = Patience(first_s=0.5, longest_s=30.0)
    widest = [patience.pause_s(failures, draw=lambda: 1.0) for failures in range(1, 10)]
    assert widest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert patience.pause_s(10_000, draw=lambda: 0.5) == 15.0
    assert patience.pause_s(3, draw=lambda: 0.0) == 0.0


def test_nobody_comes_back_sooner_than_told_nor_all_at_once() -> None:
    patience = Patience(first_s=0.5)
    assert patience.pause_s(1, 2.0, draw=lambda: 0.0) == 2.0
    assert patience.pause_s(1, 2.0, draw=lambda: 1.0) == 2.5


def test_chance_decides_where_nothing_else_does() -> None:
    patience = Patience(first_s=1.0)
    pauses = {patience.pause_s(1) for _ in range(20)}
    assert len(pauses) > 1
    assert all(0 <= pause < 1 for pause in pauses)
