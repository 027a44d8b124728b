"""When a refresh token may be used, and what is kept of a client's description."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.shared.events import rfc3339
from services.users.core.sessions import GRACE, MOST_DEVICE, Family, Verdict, device, judge

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
STEP = timedelta(microseconds=1)
FRESH = Family(b"new", None, None, rfc3339(NOW + timedelta(days=1)), None)
ROTATED = replace(FRESH, before=b"old", rotated_at=rfc3339(NOW))


@pytest.mark.parametrize(
    ("family", "shown", "after", "verdict"),
    [
        (FRESH, b"new", timedelta(), Verdict.NEWEST),
        (FRESH, b"older", timedelta(), Verdict.USED_UP),
        (FRESH, b"new", timedelta(days=1) - STEP, Verdict.NEWEST),
        (FRESH, b"new", timedelta(days=1), Verdict.ENDED),
        (FRESH, b"older", timedelta(days=1), Verdict.ENDED),
        (ROTATED, b"new", GRACE, Verdict.NEWEST),
        (ROTATED, b"old", timedelta(), Verdict.REPEATED),
        (ROTATED, b"old", GRACE - STEP, Verdict.REPEATED),
        (ROTATED, b"old", GRACE, Verdict.USED_UP),
        (ROTATED, b"older", timedelta(), Verdict.USED_UP),
        (replace(ROTATED, revoked_at=rfc3339(NOW)), b"new", timedelta(), Verdict.ENDED),
        (replace(ROTATED, revoked_at=rfc3339(NOW)), b"old", timedelta(), Verdict.ENDED),
    ],
)
def test_what_a_refresh_token_is(family: Family, shown: bytes, after: timedelta, verdict: Verdict) -> None:
    assert judge(family, shown, NOW + after) is verdict


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("curl/8.5.0", "curl/8.5.0"),
        ("  Fire\tfox\r\n/1\x00 \u202e x ", "Fire fox /1 x"),
        ("Браузер/1", "Браузер/1"),
        ("x" * 10_000, "x" * MOST_DEVICE),
    ],
)
def test_what_is_kept_of_a_device(said: str, kept: str) -> None:
    assert device(said) == kept
