"""An endpoint is what it declares: what it takes, whom it lets in, what it answers."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from services.gateway.http.bodies import Body, Form, Query
from services.gateway.http.callers import Callers
from services.gateway.http.endpoints import declared
from services.gateway.http.routing import (
    Answer,
    Id,
    IdempotencyKey,
    Listing,
    Ticker,
    Who,
    endpoint,
    listing,
    number,
    resource,
)
from services.gateway.tokens import Caller, Verifier
from tests.unit.gateway.http_fakes import FakeUsers, Front, problem_of


class Wish(Body):
    count: int


class Page(Query):
    limit: int = 10


class Login(Form):
    name: str


class Made(msgspec.Struct):
    text: str


@endpoint("Makes one", status=201, who=Who.OWNER)
async def _make(body: Wish, key: IdempotencyKey, wish: Page, thing_id: Id, caller: Caller) -> Answer[Made]:
    """At once."""
    return Answer(Made(f"{caller.user_id} {thing_id} {key} {wish.limit} {body.count}"), {"Location": "/things/1"})


@endpoint("Is there", who=Who.READER)
async def _reads(caller: Caller | None, ticker: Ticker) -> Made:
    return Made(f"{ticker} for {'nobody' if caller is None else caller.user_id}")


@endpoint("Clears", who=Who.OPERATOR)
async def _clears() -> None: ...


@endpoint("Takes or leaves it")
async def _optional(body: Wish | None) -> Made:
    return Made("nothing" if body is None else str(body.count))


@endpoint("A form")
async def _form(form: Login) -> Made:
    return Made(form.name)


@endpoint("An old one", deprecated=date(2026, 1, 1))
async def _old(request: Request) -> Response:
    return Response(request.method)


@endpoint("A page", kept=True)
async def _listed() -> Listing[Made]:
    return listing(map(Made, "ab"), "next")


@endpoint("Two ways", also=(503,))
async def _failing() -> Answer[Made]:
    return Answer(Made("no"), status=503)


ENDED: list[str] = []


@endpoint("Without an end", media="text/event-stream")
async def _stream() -> Response:
    async def forever() -> AsyncIterator[bytes]:
        while True:
            ENDED.append("began")
            yield b"data: 1\n\n"

    return StreamingResponse(forever(), media_type="text/event-stream", headers={"X-Mine": "1"})


async def _undeclared(request: Request) -> Response:
    return Response(request.url.path)


def _front(**settings: Any) -> tuple[Front, FakeUsers]:
    users = FakeUsers()
    callers = Callers(Verifier(users), anonymous=True, open=settings.get("auth_mode") != "strict")
    routes: list[BaseRoute] = [
        resource("/t/things/{thing_id}", callers, POST=_make),
        resource("/t/is/{ticker}", callers, GET=_reads, DELETE=_clears),
        resource("/t/optional", POST=_optional),
        resource("/t/form", POST=_form),
        resource("/t/old", GET=_old),
        resource("/t/listed", GET=_listed),
        resource("/t/failing", GET=_failing),
        resource("/t/stream", GET=_stream),
    ]
    return Front(routes, **settings), users


def _bearer(users: FakeUsers, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {users.token(**claims)}"}


async def test_what_is_declared_is_read_and_given() -> None:
    front, users = _front()
    async with front.client() as client:
        headers = _bearer(users) | {"Idempotency-Key": "k1"}
        answer = await client.post("/t/things/a1?limit=5", json={"count": 3}, headers=headers)
    assert (answer.status_code, answer.json()) == (201, {"text": "u1 a1 k1 5 3"})
    assert answer.headers["location"] == "/things/1"


async def test_refusals_come_in_the_order_of_what_they_reveal() -> None:
    front, users = _front()
    everything_wrong = {"params": {"limit": "x"}, "content": b"{", "headers": {"Content-Type": "text/plain"}}
    async with front.client() as client:

        async def refused(path: str, **headers: str) -> Any:
            asked: Any = everything_wrong | {"headers": {"Content-Type": "text/plain"} | headers}
            return await client.post(path, **asked)

        token = _bearer(users)
        problem_of(await refused("/t/things/%20", **{"Idempotency-Key": "a b"}), 401)
        problem_of(await refused("/t/things/%20", **token, **{"Idempotency-Key": "a b"}), 404, "unknown_id")
        key = problem_of(await refused("/t/things/a1", **token, **{"Idempotency-Key": "a b"}), 422)
        assert key["errors"][0]["loc"] == "Idempotency-Key"
        query = problem_of(await refused("/t/things/a1", **token), 422)
        assert query["errors"][0]["loc"] == "limit"
        problem_of(await client.post("/t/things/a1", content=b"{", headers=token), 415)


async def test_readers_may_be_nobody_but_not_a_liar() -> None:
    front, users = _front()
    async with front.client() as client:
        assert (await client.get("/t/is/AAPL")).json() == {"text": "AAPL for nobody"}
        assert (await client.get("/t/is/AAPL", headers=_bearer(users))).json() == {"text": "AAPL for u1"}
        problem_of(await client.get("/t/is/AAPL", headers={"Authorization": "Bearer x"}), 401, "bad_token")


@pytest.mark.parametrize(
    ("mode", "role", "status"),
    [
        ("open", None, 204),
        ("open", "user", 204),
        ("open", "operator", 204),
        ("strict", None, 401),
        ("strict", "user", 403),
        ("strict", "operator", 204),
    ],
)
async def test_operators_alone_pass_a_strict_door(mode: str, role: str | None, status: int) -> None:
    front, users = _front(auth_mode=mode)
    async with front.client() as client:
        answer = await client.delete("/t/is/AAPL", headers={} if role is None else _bearer(users, role=role))
    assert answer.status_code == status
    if status == 204:
        assert answer.content == b""
    else:
        problem_of(answer, status)


async def test_a_body_may_be_missing_where_that_is_declared() -> None:
    front, _ = _front()
    async with front.client() as client:
        assert (await client.post("/t/optional")).json() == {"text": "nothing"}
        assert (await client.post("/t/optional", json={"count": 2})).json() == {"text": "2"}
        problem_of(await client.post("/t/optional", json={}), 422)
        problem_of(await client.post("/t/optional", content=b"x", headers={"Content-Type": "text/plain"}), 415)


async def test_a_form_is_read() -> None:
    front, _ = _front()
    async with front.client() as client:
        assert (await client.post("/t/form", data={"name": "Ada & Co", "more": "x"})).json() == {"text": "Ada & Co"}
        problem_of(await client.post("/t/form", json={"name": "Ada"}), 415, "not_form")


async def test_a_page_and_another_status() -> None:
    front, _ = _front()
    async with front.client() as client:
        listed = await client.get("/t/listed")
        failing = await client.get("/t/failing")
    assert listed.content == b'{"items":[{"text":"a"},{"text":"b"}],"next_page_token":"next"}'
    assert (failing.status_code, failing.json()) == (503, {"text": "no"})


async def test_what_may_be_kept_is_asked_about() -> None:
    front, _ = _front()
    async with front.client() as client:
        first = await client.get("/t/listed")
        again = await client.get("/t/listed", headers={"If-None-Match": first.headers["etag"]})
        not_kept = await client.get("/t/optional")
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert not_kept.headers["cache-control"] == "no-store"


async def test_an_old_one_says_since_when() -> None:
    front, _ = _front()
    async with front.client() as client:
        answer = await client.get("/t/old")
        new = await client.get("/t/listed")
    assert answer.headers["deprecation"] == "@1767225600"
    assert "deprecation" not in new.headers


async def test_head_of_a_stream_is_its_headers() -> None:
    front, _ = _front()
    async with front.client() as client:
        answer = await client.head("/t/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-mine"] == "1"
    assert ENDED == []


async def test_options_and_405_name_the_methods() -> None:
    front, _ = _front()
    async with front.client() as client:
        answer = await client.options("/t/is/AAPL")
        refused = await client.post("/t/is/AAPL")
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


def test_a_handler_that_declares_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="endpoint"):
        resource("/t/undeclared", GET=_undeclared)


def test_a_declaration_says_everything() -> None:
    found = declared(_make)
    assert (found.summary, found.description, found.status, found.answer) == ("Makes one", "At once.", 201, Made)
    assert [each.name for each in found.arguments] == ["caller", "thing_id", "key", "wish", "body"]


def test_an_argument_that_says_not_where_it_comes_from_is_refused() -> None:
    async def puzzling(count: int) -> None: ...

    async def unnamed(count: Annotated[str, "text"]) -> None: ...

    for handler in (puzzling, unnamed):
        with pytest.raises(TypeError, match="count"):
            endpoint("Puzzling")(handler)


def test_what_is_not_for_anyone_needs_somebody_to_ask() -> None:
    with pytest.raises(TypeError, match="OWNER"):
        resource("/t/things/{thing_id}", POST=_make)


@pytest.mark.parametrize(("value", "written"), [(3.0, b"3"), (3.5, b"3.5"), (-0.0, b"0")])
def test_whole_numbers_are_written_without_a_fraction(value: float, written: bytes) -> None:
    assert msgspec.json.encode(number(value)) == written
