"""The conversation with a user's own room, without any connection."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.unit.client_python.double import notification
from tickroom_client import AccountUpdate, Notification, Problem
from tickroom_client.inbox import InboxTalk


def _heard(talk: InboxTalk, *frames: Mapping[str, Any]) -> list[Notification | Problem]:
    return [message for frame in frames for message in talk.hear(frame)]


def _ids(messages: Sequence[Notification | Problem]) -> list[str]:
    return [each.id for each in messages if isinstance(each, AccountUpdate)]


def _said(talk: InboxTalk) -> Mapping[str, Any]:
    frame = talk.say()
    assert frame is not None
    return frame


def test_a_room_is_named_by_its_user() -> None:
    assert InboxTalk("a/b c").path == "/websocket/user/a%2Fb%20c/notifications"


def test_each_comes_once_whatever_the_server_repeats() -> None:
    talk = InboxTalk("u1")
    assert _ids(_heard(talk, notification(1), notification(2), notification(1))) == ["n1", "n2"]
    talk.begin()
    assert _ids(_heard(talk, notification(1), notification(2), notification(3))) == ["n3"]


def test_what_is_read_is_said_once_it_is_heard() -> None:
    talk = InboxTalk("u1")
    assert (talk.say(), talk.due) == (None, False)
    talk.ack(["n1"])
    talk.ack(["n2", "n1"])
    assert talk.due
    frame = _said(talk)
    assert (frame["type"], frame["notification_ids"], talk.due) == ("ack", ["n1", "n2"], False)
    _heard(talk, {"type": "acked", "id": frame["id"]}, {"type": "ping"})
    assert talk.say() is None


def test_a_hundred_at_a_time() -> None:
    talk = InboxTalk("u1")
    talk.ack(f"n{number}" for number in range(250))
    assert [len(_said(talk)["notification_ids"]) for _ in range(3)] == [100, 100, 50]
    assert talk.say() is None


def test_what_was_not_answered_is_said_again() -> None:
    talk = InboxTalk("u1")
    talk.ack(["n1"])
    _said(talk)
    talk.ack(["n2"])
    second = _said(talk)
    _heard(talk, {"type": "acked", "id": second["id"]})  # answers come in order: the first one failed
    assert talk.due
    assert _said(talk)["notification_ids"] == ["n1"]
    _heard(talk, {"type": "ping"})  # long silence, and no answer
    assert _said(talk)["notification_ids"] == ["n1"]
    talk.begin()
    last = _said(talk)
    assert last["notification_ids"] == ["n1"]
    _heard(talk, {"type": "acked", "id": last["id"]})
    talk.begin()
    assert talk.say() is None


def test_an_ack_that_fails_for_now_is_said_again_and_one_that_fails_for_good_is_a_problem() -> None:
    talk = InboxTalk("u1")
    talk.ack(["n1"])
    told = {"type": "error", "id": _said(talk)["id"], "code": "unavailable", "message": "", "retryable": True}
    assert _heard(talk, told) == []
    assert talk.say() is None  # not at once
    _heard(talk, {"type": "ping"})
    told |= {"id": _said(talk)["id"], "retryable": False}
    assert _heard(talk, told) == [Problem(code="unavailable", message="")]
    talk.begin()
    assert talk.say() is None


def test_answers_to_nothing_change_nothing() -> None:
    talk = InboxTalk("u1")
    talk.ack(["n1"])
    _said(talk)
    _heard(talk, {"type": "acked", "id": "77"}, {"type": "acked"}, {"type": "weather"})
    assert talk.say() is None


def test_only_so_many_ids_are_remembered() -> None:
    talk = InboxTalk("u1")
    _heard(talk, *(notification(number) for number in range(10_001)))
    assert _ids(_heard(talk, notification(0), notification(10_000), notification(5))) == ["n0"]
