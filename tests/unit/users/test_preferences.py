"""What preferences may be."""

import json

import pytest

from services.users.core.preferences import MOST_PREFERENCES, checked

QUIET = {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    "preferences",
    [
        {},
        {"theme": {"dark": True}, "x": [1, None]},
        {"language": "de", "timezone": "America/Argentina/Ushuaia", "quiet_hours": QUIET},
        {"language": "zh-Hant-TW"},
        {"language": None, "timezone": None, "quiet_hours": None},
    ],
)
def test_what_is_known_is_checked_and_what_is_not_is_kept(preferences: dict[str, object]) -> None:
    kept, wrong = checked(json.dumps(preferences))
    assert wrong is None
    assert kept is not None
    assert json.loads(kept) == preferences


@pytest.mark.parametrize(
    ("preferences", "named"),
    [
        ({"language": "german!"}, "language"),
        ({"language": 5}, "language"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": ["UTC"]}, "timezone"),
        ({"quiet_hours": "at night"}, "quiet_hours"),
        ({"quiet_hours": QUIET | {"from": "25:00"}}, "quiet_hours"),
        ({"quiet_hours": QUIET | {"to": "22:00"}}, "quiet_hours"),
        ({"quiet_hours": QUIET | {"timezone": "?"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "to": "07:00"}}, "quiet_hours"),
    ],
)
def test_what_is_wrong_is_named(preferences: dict[str, object], named: str) -> None:
    kept, wrong = checked(json.dumps(preferences))
    assert kept is None
    assert wrong is not None
    assert wrong.startswith(named)


def test_the_whole_is_bounded() -> None:
    fits = json.dumps({"x": "y" * (MOST_PREFERENCES - 9)})
    assert checked(fits)[1] is None
    for text in (fits[:-2] + 'y"}', "[]", "null", "{", '{"x":NaN}', '{"a":' * 20_00 + "1" + "}" * 20_00):
        assert checked(text)[1] is not None
