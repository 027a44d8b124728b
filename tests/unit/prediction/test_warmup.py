"""What the start tells of itself."""

from datetime import UTC, datetime, timedelta

from services.prediction.warmup import WarmUp

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


def test_it_has_no_end_before_it_is_over() -> None:
    warm_up = WarmUp(Clock())
    assert warm_up.started_at == BEGIN.timestamp()
    assert (warm_up.completed_at, warm_up.duration_s) == (None, None)


def test_what_comes_behind_the_end_is_not_counted() -> None:
    clock = Clock()
    warm_up = WarmUp(clock)
    warm_up.loaded()
    warm_up.trained()
    warm_up.trained()
    warm_up.failed("model a was lost")
    clock.now += timedelta(seconds=6.5)
    warm_up.completed()
    clock.now += timedelta(days=1)
    warm_up.loaded()
    warm_up.trained()
    warm_up.failed("later")
    warm_up.completed()
    assert (warm_up.models_loaded, warm_up.models_trained, warm_up.errors) == (1, 2, ["model a was lost"])
    assert warm_up.completed_at == (BEGIN + timedelta(seconds=6.5)).timestamp()
    assert warm_up.duration_s == 6.5


def test_an_error_is_told_once_and_not_for_ever() -> None:
    warm_up = WarmUp(Clock())
    for number in range(100):
        warm_up.failed("stock_data does not answer")
        warm_up.failed(f"error {number}")
    assert len(warm_up.errors) == 20
    assert warm_up.errors[:2] == ["stock_data does not answer", "error 0"]
