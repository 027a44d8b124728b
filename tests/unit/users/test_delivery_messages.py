"""What goes out: a notification as it is pushed, or a digest; and how it is signed."""

import hashlib
import hmac
import json

from hypothesis import given
from hypothesis import strategies as st

from services.shared.events import AccountUpdated, encode
from services.users.core import delivery_signature, wording
from services.users.core.delivery_messages import digest_id, fitting, message, trial
from tests.unit.users.test_wording import firing

EVENTS = [
    encode(wording.triggered(firing())),
    encode(AccountUpdated(id="n2", event="alert_rescaled", timestamp="2024-09-21T14:23:00Z", user_id="u1")),
]


def test_one_notification_is_sent_as_it_is_pushed() -> None:
    made = message("m1", EVENTS[:1], "now")
    assert b"user_id" not in made.body
    assert json.loads(made.body)["type"] == "alert_triggered"
    assert made.title == made.lines[0] == json.loads(made.body)["message"]


def test_a_digest_lists_each_in_order() -> None:
    made = message("m1", EVENTS, "2024-09-21T14:24:00Z")
    digest = json.loads(made.body)
    assert list(digest) == ["type", "id", "count", "timestamp", "notifications"]
    assert (digest["type"], digest["id"], digest["count"]) == ("digest", "m1", 2)
    assert [each["type"] for each in digest["notifications"]] == ["alert_triggered", "account_update"]
    assert all("user_id" not in each for each in digest["notifications"])
    assert (made.title, made.lines[1]) == ("2 alerts", "alert rescaled")


def test_a_test_says_that_it_is_one() -> None:
    made = trial("m1", "c1", "2024-09-21T14:24:00Z")
    assert json.loads(made.body) | {"message": ""} == {
        "type": "test", "id": "m1", "channel_id": "c1", "message": "", "timestamp": "2024-09-21T14:24:00Z"
    }  # fmt: skip


def test_a_digest_is_known_by_its_channel_and_its_first_notification() -> None:
    assert digest_id("c1", "n1") == digest_id("c1", "n1") != digest_id("c2", "n1") != digest_id("c1", "n2")


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(50, 400))
def test_lines_that_fit(lines: list[str], most: int) -> None:
    text = fitting(lines, most)
    assert len(text.encode()) <= most
    if sum(len(each.encode()) + 1 for each in lines) <= most - 40:
        assert text == "\n".join(lines)


def test_lines_that_do_not_fit_are_counted() -> None:
    assert fitting(["x" * 50] * 10, 200) == "\n".join(["x" * 50] * 3 + ["and 7 more"])


def test_the_signature_covers_id_time_and_body() -> None:
    made = delivery_signature.headers("sécret", "m1", "2024-09-21T14:24:00Z", b'{"a":1}')
    expected = hmac.new("sécret".encode(), b'm1.2024-09-21T14:24:00Z.{"a":1}', hashlib.sha256).hexdigest()
    assert made == {
        "X-Tickroom-Id": "m1",
        "X-Tickroom-Timestamp": "2024-09-21T14:24:00Z",
        "X-Tickroom-Signature": f"v1={expected}",
    }
