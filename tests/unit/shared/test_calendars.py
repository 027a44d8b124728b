import warnings
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared import calendars

DAYS = st.dates(date(1999, 1, 1), date(2060, 12, 31))


def test_sessions_and_closes_are_those_of_the_reference_calendar() -> None:
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own use of pandas
        reference = exchange_calendars.get_calendar("XNYS", start="1999-01-01", end="2026-12-31")
        labels = [label.date() for label in reference.sessions]
        closes = dict(zip(labels, reference.closes.dt.to_pydatetime(), strict=True))
        opens = dict(zip(labels, reference.opens.dt.to_pydatetime(), strict=True))

    days = [date(1999, 1, 1) + timedelta(days=n) for n in range((date(2026, 12, 31) - date(1999, 1, 1)).days + 1)]
    sessions = [day for day in days if calendars.is_session(day)]

    assert sessions == sorted(closes)
    assert {day: calendars.close_time(day) for day in sessions} == closes
    assert {day: calendars.open_time(day) for day in sessions} == opens


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (date(2001, 9, 12), "attacks"),
        (date(2012, 10, 30), "hurricane"),
        (date(2021, 12, 24), "Christmas on a Saturday"),
        (date(2023, 1, 2), "New Year on a Sunday"),
        (date(2022, 6, 20), "Juneteenth on a Sunday"),
        (date(2024, 3, 29), "Good Friday"),
        (date(2024, 1, 6), "Saturday"),
    ],
)
def test_no_session(day: date, why: str) -> None:
    assert not calendars.is_session(day), why


def test_new_year_on_a_saturday_is_not_kept_on_the_friday_before() -> None:
    assert calendars.is_session(date(2021, 12, 31))


def test_times_follow_summer_time_and_half_days() -> None:
    assert calendars.open_time(date(2024, 1, 2)) == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    assert calendars.open_time(date(2024, 7, 2)) == datetime(2024, 7, 2, 13, 30, tzinfo=UTC)
    assert calendars.close_time(date(2024, 7, 2)) == datetime(2024, 7, 2, 20, 0, tzinfo=UTC)
    assert calendars.close_time(date(2024, 7, 3)) == datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
    assert calendars.midnight(date(2024, 7, 3)) == datetime(2024, 7, 3, 4, 0, tzinfo=UTC)


def test_a_date_without_a_session_still_has_the_usual_times() -> None:
    sunday = date(2023, 1, 1)
    assert calendars.open_time(sunday) == datetime(2023, 1, 1, 14, 30, tzinfo=UTC)
    assert calendars.close_time(sunday) == datetime(2023, 1, 1, 21, 0, tzinfo=UTC)


def test_is_open_takes_the_open_in_and_leaves_the_close_out() -> None:
    day = date(2024, 7, 3)
    second = timedelta(seconds=1)
    assert not calendars.is_open(calendars.open_time(day) - second)
    assert calendars.is_open(calendars.open_time(day))
    assert calendars.is_open(calendars.close_time(day) - second)
    assert not calendars.is_open(calendars.close_time(day))
    assert not calendars.is_open(datetime(2024, 7, 4, 15, 0, tzinfo=UTC))


@given(DAYS, st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_sessions_after_counts_sessions(day: date, n: int) -> None:
    end = calendars.sessions_after(day, n)
    between = [day + timedelta(days=k) for k in range(1, (end - day).days + 1)]
    assert calendars.is_session(end)
    assert sum(map(calendars.is_session, between)) == n


@given(DAYS)
@settings(deadline=None, max_examples=60)
def test_next_session_is_the_first_session_after(day: date) -> None:
    following = calendars.next_session(day)
    assert following == calendars.sessions_after(day, 1)
    assert 1 <= (following - day).days <= 7


def test_sessions_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        calendars.sessions_after(date(2024, 1, 1), 0)
