"""What a client may say, and what is no JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.speech import Ack, Auth, Garbled, answer, understand


def test_ack_and_auth_are_understood() -> None:
    assert understand('{"type":"ack","notification_ids":["a","b"],"id":"1","more":true}') == Ack(["a", "b"], "", "1")
    assert understand(b'{"type":"ack","up_to":"n7"}') == Ack([], "n7")
    assert understand('{"type":"auth","token":"t"}') == Auth("t")


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "null",
        "[]",
        '["ack"]',
        "{}",
        '{"type":null}',
        '{"type":["ack"]}',
        '{"type":"subscribe","symbols":["AAPL"]}',
        '{"type":"ack"}',
        '{"type":"ack","notification_ids":[]}',
        '{"type":"ack","notification_ids":["a"],"up_to":"b"}',
        '{"type":"ack","notification_ids":[1]}',
        '{"type":"ack","up_to":7}',
        json.dumps({"type": "ack", "notification_ids": ["a"] * 101}),
        json.dumps({"type": "ack", "up_to": "x" * 65}),
        '{"type":"auth"}',
        '{"type":"auth","token":7}',
    ],
)
def test_readable_json_that_says_nothing_to_us_is_ignored(text: str) -> None:
    assert understand(text) is None


@pytest.mark.parametrize("text", ["", " ", "{", "nonsense", "{'a':1}", b"\xff\xfe", b'"\xff"', "[" * 50_000])
def test_what_is_no_json_is_garbled(text: str | bytes) -> None:
    with pytest.raises(Garbled):
        understand(text)


@settings(deadline=None, max_examples=200)
@given(st.text() | st.binary())
def test_anything_at_all_is_understood_ignored_or_garbled(text: str | bytes) -> None:
    try:
        assert understand(text) is None
    except Garbled:
        return


def test_an_answer_echoes_the_id_where_there_was_one() -> None:
    assert answer("acked", Ack(up_to="x", id='q"1')) == '{"type":"acked","id":"q\\"1"}'
    assert answer("authenticated", Auth("t")) == '{"type":"authenticated"}'
