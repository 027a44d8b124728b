"""What a client may say, and what is no JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.speech import (
    CLIENT_FRAMES,
    Ack,
    Acked,
    Auth,
    Garbled,
    Misspoken,
    Ping,
    Resume,
    SeenPosition,
    SetRate,
    Subscribe,
    spoken,
    understand,
    understand_plain,
)


def test_ack_and_auth_are_understood() -> None:
    plain = understand_plain('{"type":"ack","notification_ids":["a","b"],"id":"1","more":true}')
    assert plain == Ack(notification_ids=["a", "b"], id="1")
    assert understand_plain(b'{"type":"ack","up_to":"n7"}') == Ack(up_to="n7")
    assert understand_plain('{"type":"auth","token":"t"}') == Auth(token="t")
    assert "t0ken" not in repr(Auth(token="t0ken"))


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
    assert understand_plain(text) is None


@pytest.mark.parametrize("text", ["", " ", "{", "nonsense", "{'a':1}", b"\xff\xfe", b'"\xff"', "[" * 50_000])
def test_what_is_no_json_is_garbled(text: str | bytes) -> None:
    for profile in (understand, understand_plain):
        with pytest.raises(Garbled):
            profile(text)


@settings(deadline=None, max_examples=200)
@given(st.text() | st.binary())
def test_anything_at_all_is_understood_ignored_or_garbled(text: str | bytes) -> None:
    try:
        assert understand_plain(text) is None
        understand(text)
    except Garbled:
        return


def test_every_frame_of_an_extended_client_is_understood() -> None:
    resume = '{"type":"resume","positions":{"AAPL":{"epoch":"e","price":3,"prediction":0,"more":1}}}'
    assert understand(resume) == [Resume(positions={"AAPL": SeenPosition(epoch="e", price=3, prediction=0)})]
    assert understand('[{"type":"subscribe","symbols":["A"],"id":"1"},{"type":"ping"}]') == [
        Subscribe(symbols=["A"], id="1"),
        Ping(),
    ]
    assert understand('{"type":"set_rate","max_per_second":2}') == [SetRate(max_per_second=2.0)]
    assert {schema.__struct_config__.tag for schema in CLIENT_FRAMES.values()} == CLIENT_FRAMES.keys()


@pytest.mark.parametrize(
    ("text", "code", "echo"),
    [
        ("7", "bad_message", None),
        ("{}", "unknown_type", None),
        ('{"type":["subscribe"],"id":"1"}', "unknown_type", "1"),
        ('{"type":"dance","id":"1"}', "unknown_type", "1"),
        ('{"type":"dance","id":7}', "unknown_type", None),
        ('{"type":"subscribe"}', "bad_message", None),
        ('{"type":"subscribe","symbols":"AAPL","id":"s"}', "bad_message", "s"),
        ('{"type":"subscribe","symbols":[""]}', "bad_message", None),
        ('{"type":"ping","id":"%s"}' % ("x" * 65), "bad_message", None),
        ('{"type":"resume","positions":{"AAPL":{"price":1}}}', "bad_message", None),
        ('{"type":"resume","positions":{"AAPL":{"epoch":"e","price":-1}}}', "bad_message", None),
        ('{"type":"resume","positions":{"AAPL":{"epoch":"e","price":1.5}}}', "bad_message", None),
        ('{"type":"resume","positions":[]}', "bad_message", None),
        ('{"type":"set_rate","max_per_second":-1}', "bad_message", None),
        ('{"type":"set_rate","max_per_second":true}', "bad_message", None),
        ('{"type":"set_rate","max_per_second":1e9}', "bad_message", None),
        ('{"type":"ack"}', "bad_message", None),
        ('{"type":"auth","token":""}', "bad_message", None),
    ],
)
def test_a_frame_that_is_none_of_ours_is_told_so(text: str, code: str, echo: str | None) -> None:
    (found,) = understand(text)
    assert isinstance(found, Misspoken)
    assert (found.code, found.echo) == (code, echo)
    assert str(found)


def test_an_answer_echoes_the_id_where_there_was_one() -> None:
    assert spoken(Acked(id='q"1')) == b'{"type":"acked","id":"q\\"1"}'
    assert spoken(Acked()) == b'{"type":"acked"}'
