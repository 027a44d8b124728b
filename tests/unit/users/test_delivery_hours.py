"""Quiet hours by the clock on the wall, also when clocks change."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.users.core.delivery_hours import QuietHours, of_preferences, quiet_hours


def hours(begins: str, ends: str, zone: str = "Europe/Berlin") -> QuietHours:
    found = quiet_hours({"from": begins, "to": ends, "timezone": zone})
    assert isinstance(found, QuietHours)
    return found


@pytest.mark.parametrize(
    ("begins", "ends", "now", "until"),
    [
        ("22:00", "07:00", "2024-09-21T19:59:59", None),
        ("22:00", "07:00", "2024-09-21T20:00:00", "2024-09-22T05:00:00"),
        ("22:00", "07:00", "2024-09-21T23:30:00", "2024-09-22T05:00:00"),
        ("22:00", "07:00", "2024-09-22T04:59:59", "2024-09-22T05:00:00"),
        ("22:00", "07:00", "2024-09-22T05:00:00", None),
        ("09:00", "17:30", "2024-01-10T08:00:00", "2024-01-10T16:30:00"),
        ("09:00", "17:30", "2024-01-10T16:30:00", None),
        ("09:00", "17:30", "2024-01-10T07:59:00", None),
        ("22:00", "07:00", "2024-03-30T22:00:00", "2024-03-31T05:00:00"),  # clocks go forward in that night
        ("22:00", "07:00", "2024-10-26T22:00:00", "2024-10-27T06:00:00"),  # and back in that one
        ("22:00", "02:30", "2024-03-30T22:00:00", "2024-03-31T01:30:00"),  # an end that the clocks skip
        ("22:00", "02:30", "2024-10-26T23:00:00", "2024-10-27T00:30:00"),  # an end that comes twice
    ],
)
def test_the_end_of_quiet_hours(begins: str, ends: str, now: str, until: str | None) -> None:
    found = hours(begins, ends).until(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == (None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "value",
    [
        "22:00-07:00",
        [],
        {},
        {"from": "22:00", "to": "07:00"},
        {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin", "days": []},
        {"from": "22:00", "to": "22:00", "timezone": "Europe/Berlin"},
        {"from": "24:00", "to": "07:00", "timezone": "Europe/Berlin"},
        {"from": "9:00", "to": "07:00", "timezone": "Europe/Berlin"},
        {"from": "\u0662\u0662:\u0660\u0660", "to": "07:00", "timezone": "Europe/Berlin"},
        {"from": 22, "to": 7, "timezone": "Europe/Berlin"},
        {"from": "22:00", "to": "07:00", "timezone": "Mars/Olympus"},
        {"from": "22:00", "to": "07:00", "timezone": "../../etc/passwd"},
        {"from": "22:00", "to": "07:00", "timezone": "Europe"},
        {"from": "22:00", "to": "07:00", "timezone": ""},
        {"from": "22:00", "to": "07:00", "timezone": 1},
        {"from": "22:00", "to": "07:00", "timezone": None},
    ],
)
def test_what_are_no_quiet_hours(value: Any) -> None:
    assert isinstance(quiet_hours(value), str)
    assert of_preferences(json.dumps({"quiet_hours": value})) is None


@pytest.mark.parametrize("preferences", ["{}", '{"quiet_hours":null}', "[]", "nonsense", ""])
def test_nobody_has_to_have_quiet_hours(preferences: str) -> None:
    assert of_preferences(preferences) is None
    assert quiet_hours(None) is None


@given(
    st.integers(1_577_836_800, 1_893_456_000).map(lambda each: datetime.fromtimestamp(each, UTC)),
    st.times().map(lambda each: f"{each:%H:%M}"),
    st.times().map(lambda each: f"{each:%H:%M}"),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_they_end_after_now_and_within_a_day_or_so(now: datetime, begins: str, ends: str, zone: str) -> None:
    if begins == ends:
        return
    until = hours(begins, ends, zone).until(now)
    if until is None:
        assert f"{now.astimezone(ZoneInfo(zone)):%H:%M}" != begins
    else:
        assert 0 < (until - now).total_seconds() <= 26 * 3600
