from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.events import rfc3339
from services.stock_data.core import instants

INSTANTS = st.integers(instants.EARLIEST, instants.LATEST - 1)


@given(INSTANTS)
@settings(deadline=None, max_examples=120)
def test_text_is_the_events_own_form_and_reads_back(instant: int) -> None:
    written = instants.text(instant)
    assert written == rfc3339(instants.to_datetime(instant))
    assert instants.parse(written) == instant


@pytest.mark.parametrize(
    "written",
    [
        "2014-09-17T13:30:00.531656Z",
        "2014-09-17 13:30:00.531656",
        "2014-09-17T15:30:00.531656+02:00",
        "2014-09-17T13:30:00.531656789Z",
        "1410960600531656",
        "1410960600531656789",
    ],
)
def test_the_same_instant_in_many_forms(written: str) -> None:
    assert instants.parse(written) == instants.of(datetime(2014, 9, 17, 13, 30, 0, 531656, UTC))


@pytest.mark.parametrize(("written", "second"), [("1410960600", 0), ("1410960600250", 250_000)])
def test_unix_seconds_and_milliseconds(written: str, second: int) -> None:
    assert instants.parse(written) == instants.of(datetime(2014, 9, 17, 13, 30, 0, second, UTC))


@pytest.mark.parametrize(
    "written",
    ["", "soon", "2014-09-17", "20140917T133000Z", "2014-02-30T00:00:00Z", "1234567", "0999-01-01T00:00:00Z", "٢" * 10],
)
def test_what_is_no_instant(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instants.parse(written)


@pytest.mark.parametrize(
    "written", ["2023-02-30", "20230102", "2023-W01-1", "1899-12-31", "2200-01-01", "01/03/2017", ""]
)
def test_what_is_no_date(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instants.parse_date(written)


def test_days_are_new_yorks() -> None:
    day = date(2024, 7, 3)
    assert instants.new_york_date(instants.midnight(day)) == day
    assert instants.new_york_date(instants.midnight(day) - 1) == date(2024, 7, 2)
    assert instants.close_of(day) - instants.open_of(day) == 3.5 * 3600 * instants.SECOND
