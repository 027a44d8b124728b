"""Bodies: what is refused before it is read, while it is read, and after."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from services.gateway.http.bodies import FORM_TYPE, MAX_BODY_BYTES, Form, read_form
from services.gateway.replies import NotJson, TooLarge, Unreadable
from services.shared.errors import InvalidInput
from tests.unit.gateway.http_fakes import Front, problem_of

LOGIN = "/api/users/login"
ALERTS = "/api/v1/alerts"
JSON = {"Content-Type": "application/json"}


class Endless:
    """A chunked body that counts what was taken of it."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < 64 * MAX_BODY_BYTES:
            self.taken += len(self.chunk)
            yield self.chunk


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin-1"],
)
async def test_what_is_not_json_is_refused(kind: str | None) -> None:
    async with Front().client() as client:
        headers = {} if kind is None else {"Content-Type": kind}
        problem_of(await client.post(LOGIN, content=b'{"a":1}', headers=headers), 415, "not_json")


async def test_what_is_not_json_is_refused_before_it_is_read() -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": LOGIN,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"text/plain")],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    await Front().app(scope, receive, send)
    assert sent[0]["status"] == 415


async def test_a_body_that_is_packed_is_refused() -> None:
    async with Front().client() as client:
        packed = {**JSON, "Content-Encoding": "gzip"}
        problem_of(await client.post(LOGIN, content=b"{}", headers=packed), 415, "encoded")
        problem_of(await client.post(LOGIN, content=b"{}", headers=JSON | {"Content-Encoding": "identity"}), 422)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8", "application/problem+json"])
async def test_json_by_any_of_its_names_is_read(kind: str) -> None:
    async with Front().client() as client:
        problem_of(await client.post(LOGIN, content=b"{}", headers={"Content-Type": kind}), 422)


async def test_a_declared_length_over_the_limit_is_413() -> None:
    async with Front().client() as client:
        problem_of(await client.post(LOGIN, content=b" " * (MAX_BODY_BYTES + 1), headers=JSON), 413, "too_large")
        lied = {**JSON, "Content-Length": "9" * 40}
        problem_of(await client.post(LOGIN, content=b"{}", headers=lied), 413, "too_large")


async def test_exactly_the_limit_is_read() -> None:
    async with Front().client() as client:
        problem_of(await client.post(LOGIN, content=b"{}" + b" " * (MAX_BODY_BYTES - 2), headers=JSON), 422)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"email":}',
        b"{'email':1}",
        b'{"email":"\xff"}',
        b'\xef\xbb\xbf{"email":"a"}',
        '{"email":"a"}'.encode("utf-16"),
        b'{"email":NaN}',
        b'{"email":-Infinity}',
        b'{"email":"a","email":"b"}',
        b'{"email":' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"email":"a"} trailing',
        b'{"email":"\x01"}',
    ],
    ids=range(15),
)
async def test_what_can_not_be_read_is_400(raw: bytes) -> None:
    async with Front().client() as client:
        problem_of(await client.post(LOGIN, content=raw, headers=JSON), 400, "unreadable")


@pytest.mark.parametrize("raw", [b"null", b"1", b'"text"', b"[]", b"[{}]", b"{}", b"true"])
async def test_readable_but_wrong_is_422(raw: bytes) -> None:
    async with Front().client() as client:
        body = problem_of(await client.post(LOGIN, content=raw, headers=JSON), 422, "invalid")
    assert body["errors"]


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"symbol":"\ud800","email":"\udfff","password":"\ud800","\ud800":1}',
        rb'{"symbol":"AAPL","condition":{"type":"crossing","threshold":5},"channels":["\uD800"]}',
        rb'{"symbol":"AAPL","condition":{"type":"\udbff","threshold":5}}',
    ],
)
@pytest.mark.parametrize("path", [LOGIN, ALERTS])
async def test_half_of_a_character_is_unreadable(path: str, raw: bytes) -> None:
    async with Front().client(signed_in=True) as client:
        problem_of(await client.post(path, content=raw, headers=JSON), 400)


async def test_both_halves_of_a_character_are_text() -> None:
    async with Front().client(signed_in=True) as client:
        answer = await client.post(ALERTS, content=rb'{"symbol":"\ud83d\ude00"}', headers=JSON)
    problem_of(answer, 422)


async def test_thousands_of_wrong_fields_make_a_short_answer() -> None:
    raw = json.dumps({f"field{number}": number for number in range(20_000)})
    async with Front().client(signed_in=True) as client:
        answer = await client.post(ALERTS, content=raw, headers=JSON)
    assert len(problem_of(answer, 422)["errors"]) <= 50


async def test_a_chunked_body_over_the_limit_is_413_and_not_read_on() -> None:
    front = Front()
    body = Endless(b" " * 65_536)
    chunks = body.__aiter__()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": await anext(chunks), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": LOGIN,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    await front.app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert body.taken <= MAX_BODY_BYTES + 65_536


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(["AAPL", "crossing_up", "once", "websocket", "2030-01-01T00:00:00Z", "\x00", "\ud800"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)
_FIELDS = st.sampled_from(
    [
        "symbol",
        "conditions",
        "condition",
        "type",
        "threshold",
        "trigger",
        "cooldown_s",
        "hysteresis_pct",
        "expires_at",
        "message",
        "channels",
        "name",
        "email",
        "password",
        "notification_ids",
        "up_to",
    ]
)
_CONDITIONS = st.lists(st.fixed_dictionaries({"type": _SCALARS, "threshold": _SCALARS}), max_size=6)
_BODIES = st.one_of(
    _VALUES,
    st.dictionaries(_FIELDS, st.one_of(_VALUES, _CONDITIONS)),
    st.fixed_dictionaries({"symbol": st.just("AAPL"), "conditions": _CONDITIONS}),
)


@settings(max_examples=150, deadline=None)
@given(body=_BODIES, path=st.sampled_from([LOGIN, ALERTS, "/api/users/register", "/api/v1/notifications/read"]))
async def test_no_json_makes_us_fail(body: Any, path: str) -> None:
    async with Front().client(signed_in=True) as client:
        answer = await client.post(path, content=json.dumps(body), headers=JSON)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem_of(answer, answer.status_code)


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=60), prefix=st.sampled_from([b"", b'{"symbol":', b'{"email":"']))
async def test_no_bytes_make_us_fail(raw: bytes, prefix: bytes) -> None:
    async with Front().client(signed_in=True) as client:
        for path in (LOGIN, ALERTS):
            answer = await client.post(path, content=prefix + raw, headers=JSON)
            problem_of(answer, answer.status_code)
        answer = await client.request("GET", "/api/stocks/history", content=prefix + raw)
        assert answer.status_code in (200, 400, 422)


class _Grant(Form):
    grant_type: str = "password"
    username: str


def _form_request(raw: bytes, kind: str = FORM_TYPE) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": raw}

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


@pytest.mark.parametrize("kind", [FORM_TYPE, f"{FORM_TYPE}; charset=UTF-8", FORM_TYPE.upper()])
async def test_forms_are_read(kind: str) -> None:
    found = await read_form(_form_request(b"grant_type=&username=ada%40example.org+%C3%A9&more=", kind), _Grant)
    assert (found.grant_type, found.username) == ("password", "ada@example.org é")


@pytest.mark.parametrize(
    ("raw", "kind", "error"),
    [
        (b"username=a", "application/json", NotJson),
        (b"username=a", f"{FORM_TYPE}; charset=latin-1", NotJson),
        (b"username=a&username=b", FORM_TYPE, Unreadable),
        (b"username=%ff", FORM_TYPE, Unreadable),
        (b"username=\xff", FORM_TYPE, Unreadable),
        (b"a=1&" * 200, FORM_TYPE, Unreadable),
        (b"username=" + b"a" * MAX_BODY_BYTES, FORM_TYPE, TooLarge),
        (b"username=", FORM_TYPE, InvalidInput),
    ],
)
async def test_what_is_no_form_of_ours_is_refused(raw: bytes, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await read_form(_form_request(raw, kind), _Grant)
