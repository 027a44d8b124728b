from datetime import date

import pytest

from services.stock_data.core import instants
from services.stock_data.core.start import Share, begin, parse_start


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2012-06-01", date(2012, 6, 1)), ("0%", Share(0.0)), (" 25% ", Share(0.25)), ("100%", Share(1.0))],
)
def test_what_can_be_written(written: str, meant: object) -> None:
    assert parse_start(written) == meant


@pytest.mark.parametrize("written", ["", "yesterday", "101%", "-1%", "%", "nan%", "2012-13-01", "50"])
def test_anything_else_is_refused_with_what_is_accepted(written: str) -> None:
    with pytest.raises(ValueError, match="accepts a date YYYY-MM-DD, or 0% to 100%"):
        parse_start(written)


def test_where_a_file_begins() -> None:
    assert begin(None, 100, 200) == 100
    assert begin(Share(0.25), 100, 200) == 125
    assert begin(Share(1.0), 100, 200) == 200
    assert begin(date(2012, 6, 1), 100, 200) == instants.midnight(date(2012, 6, 1))
