"""When a model is due follows from the data's time alone."""

import pytest

from services.prediction.core.schedule import is_due, month_start, months


def test_months_follow_one_another_over_the_year() -> None:
    assert list(months("2012-11", "2013-02")) == ["2012-12", "2013-01", "2013-02"]
    assert list(months("2012-11", "2012-11")) == []
    assert list(months("2012-11", "2011-01")) == []


def test_month_start() -> None:
    assert month_start("2012-06") == "2012-06-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("cut", "last", "sessions", "due"),
    [
        ("2012-06-01T00:00:00.000000Z", None, 0, True),  # none yet
        ("2012-06-01T00:00:00.000000Z", "2012-06-01T13:30:00.000000Z", 1, False),  # the one in effect is newer
        ("2012-06-01T00:00:00.000000Z", "2012-06-01T00:00:00.000000Z", 1, False),
        ("2012-07-01T00:00:00.000000Z", "2012-06-01T13:30:00.000000Z", 20, True),  # 20 sessions: 29 June
        ("2012-07-01T00:00:00.000000Z", "2012-06-01T13:30:00.000000Z", 21, False),  # 21: 2 July
    ],
)
def test_due(cut: str, last: str | None, sessions: int, due: bool) -> None:
    assert is_due(cut, last, sessions) is due
