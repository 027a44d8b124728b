"""Is what somebody asks for a rule?"""

import math
from dataclasses import replace
from typing import Any

import pytest

from services.shared.errors import InvalidInput
from services.users.core.asked import Asked, AskedCondition
from services.users.core.drafts import Draft, Outcome, Status, checked, known_or_refused, outcome, timed

UP = AskedCondition("crossing_up", 150.0)
ABOVE = AskedCondition("greater_than", 140.0)


def asked(*conditions: AskedCondition, **others: Any) -> Asked:
    return Asked(symbol="AAPL", conditions=conditions or (UP,), **others)


def test_what_is_left_out_has_a_default() -> None:
    draft = checked(asked())
    assert (draft.trigger, draft.cooldown_s, draft.hysteresis_pct) == ("once", 0, 0.0)
    assert (draft.expires_at, draft.message, draft.channels) == (None, None, ("websocket",))


def test_five_conditions_with_one_event() -> None:
    draft = checked(asked(ABOVE, ABOVE, UP, ABOVE, ABOVE, trigger="every_time", message="up we go"))
    assert [each.type for each in draft.conditions].count("crossing_up") == 1
    assert (draft.trigger, draft.message) == ("every_time", "up we go")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (Asked(symbol="AAPL", conditions=()), ["conditions"]),
        (asked(*[ABOVE] * 6), ["conditions"]),
        (asked(UP, AskedCondition("crossing", 160.0)), ["conditions"]),
        (asked(AskedCondition("moon", 1.0)), ["conditions.0.type"]),
        (asked(ABOVE, AskedCondition("crossing_up", None)), ["conditions.1.threshold"]),
        (asked(AskedCondition("crossing_up", 0.0)), ["conditions.0.threshold"]),
        (asked(AskedCondition("crossing_up", -1.0)), ["conditions.0.threshold"]),
        (asked(AskedCondition("crossing_up", 1e9)), ["conditions.0.threshold"]),
        (asked(AskedCondition("crossing_up", math.nan)), ["conditions.0.threshold"]),
        (asked(AskedCondition("crossing_up", math.inf)), ["conditions.0.threshold"]),
        (asked(AskedCondition("", None)), ["conditions.0.type"]),
        (asked(AskedCondition("crossing_up", 150.0, lower=1.0)), ["conditions.0.lower"]),
        (asked(message="now {price.__class__}"), ["message"]),
        (asked(message="now {volume}"), ["message"]),
        (asked(message="now {"), ["message"]),
        (asked(snoozed_until="later"), ["snoozed_until"]),
        (asked(snooze_s=-1), ["snooze_s"]),
        (asked(snooze_s=1, snoozed_until="2026-01-31T16:00:00Z"), ["snooze_s"]),
        (asked(trigger="twice"), ["trigger"]),
        (asked(cooldown_s=-1), ["cooldown_s"]),
        (asked(cooldown_s=10**12), ["cooldown_s"]),
        (asked(hysteresis_pct=math.nan), ["hysteresis_pct"]),
        (asked(hysteresis_pct=51.0), ["hysteresis_pct"]),
        (asked(expires_at="tomorrow"), ["expires_at"]),
        (asked(expires_at="2026-01-31T16:00:00"), ["expires_at"]),
        (asked(expires_at="0001-01-01T00:00:00+14:00"), ["expires_at"]),
        (asked(message="x" * 501), ["message"]),
        (asked(message="bell\a"), ["message"]),
        (asked(channels=tuple(str(number) for number in range(11))), ["channels"]),
    ],
)
def test_what_is_wrong_is_named(given: Asked, fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(given)
    assert [error.loc for error in caught.value.errors] == fields


def test_an_expiry_is_kept_in_utc() -> None:
    assert checked(asked(expires_at="2026-01-31T16:00:00+01:00")).expires_at == "2026-01-31T15:00:00.000000Z"


def test_an_expiry_is_judged_by_the_feeds_clock() -> None:
    wish = asked(expires_at="2012-06-01T14:00:00Z")
    draft = checked(wish)
    assert timed(wish, draft, "2012-06-01T13:30:00.000000Z") == timed(wish, draft, "") == draft
    with pytest.raises(InvalidInput):
        timed(wish, draft, "2012-06-01T14:00:00.000000Z")


def test_a_snooze_is_counted_on_the_feeds_clock() -> None:
    wish = asked(snooze_s=90)
    assert timed(wish, checked(wish), "2012-06-01T13:30:00.000000Z").snoozed_until == "2012-06-01T13:31:30.000000Z"
    with pytest.raises(InvalidInput, match="snooze_s"):
        timed(wish, checked(wish), "")
    awake = asked(snooze_s=0)
    assert timed(awake, checked(awake), "2012-06-01T13:30:00.000000Z").snoozed_until is None


@pytest.mark.parametrize("wrong", ["webhook:1", "email", ""])
def test_channels_that_a_user_has_not_are_refused(wrong: str) -> None:
    known_or_refused(("websocket",), ("websocket",))
    with pytest.raises(InvalidInput) as caught:
        known_or_refused(("websocket", wrong), ("websocket",))
    assert [error.loc for error in caught.value.errors] == ["channels"]


BEFORE = checked(asked(message="one", expires_at="2012-06-01T14:00:00Z"))
OTHER_LINE = replace(BEFORE, conditions=checked(asked(ABOVE)).conditions)
OTHER_TRIGGER = replace(BEFORE, trigger="every_time")
OTHER_MARGIN = replace(BEFORE, hysteresis_pct=1.0)
OTHER_HOURS = replace(BEFORE, market_hours_only=True)
OTHER_TEXT = replace(BEFORE, message="two", cooldown_s=60, snoozed_until="2012-06-01T14:00:00.000000Z")
LONGER = replace(BEFORE, expires_at=None)


@pytest.mark.parametrize(
    ("status", "after", "paused", "becomes", "anew"),
    [
        ("active", OTHER_LINE, None, "pending", True),
        ("active", OTHER_TRIGGER, None, "pending", True),
        ("active", OTHER_MARGIN, None, "pending", True),
        ("active", OTHER_HOURS, None, "pending", True),
        ("active", OTHER_TEXT, None, "active", False),
        ("active", BEFORE, False, "active", False),
        ("active", BEFORE, True, "paused", False),
        ("active", OTHER_LINE, True, "paused", True),
        ("pending", OTHER_TEXT, None, "pending", False),
        ("paused", OTHER_LINE, None, "paused", True),
        ("paused", OTHER_TEXT, None, "paused", False),
        ("paused", BEFORE, False, "pending", True),
        ("fired", OTHER_LINE, None, "pending", True),
        ("fired", OTHER_TRIGGER, None, "pending", True),
        ("fired", BEFORE, False, "pending", True),
        ("fired", OTHER_TEXT, None, "fired", False),
        ("fired", OTHER_MARGIN, None, "fired", False),
        ("fired", LONGER, None, "fired", False),
        ("expired", LONGER, None, "pending", True),
        ("expired", OTHER_TEXT, None, "expired", False),
    ],
)
def test_what_becomes_of_a_changed_rule(
    status: Status, after: Draft, paused: bool | None, becomes: Status, anew: bool
) -> None:
    assert outcome(status, BEFORE, after, paused=paused) == Outcome(becomes, anew)
