"""Is what somebody asks for a rule?"""

import math
from typing import Any

import pytest

from services.shared.errors import InvalidInput
from services.users.core.drafts import Asked, AskedCondition, checked, not_yet_over

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
        (asked(AskedCondition("", None)), ["conditions.0.type", "conditions.0.threshold"]),
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
        (asked(channels=("pigeon",)), ["channels"]),
    ],
)
def test_what_is_wrong_is_named(given: Asked, fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(given)
    assert [error.loc for error in caught.value.errors] == fields


def test_an_expiry_is_kept_in_utc() -> None:
    assert checked(asked(expires_at="2026-01-31T16:00:00+01:00")).expires_at == "2026-01-31T15:00:00.000000Z"


def test_an_expiry_is_judged_by_the_feeds_clock() -> None:
    draft = checked(asked(expires_at="2012-06-01T14:00:00Z"))
    not_yet_over(draft, "2012-06-01T13:30:00.000000Z")
    not_yet_over(draft, "")
    with pytest.raises(InvalidInput):
        not_yet_over(draft, "2012-06-01T14:00:00.000000Z")
