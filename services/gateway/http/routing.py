"""How an endpoint is written: it declares itself once, in its signature and in `@endpoint(...)`.

    class Alerts:
        users: Users
        callers: Callers

        def routes(self) -> list[Route]:
            return [resource("/api/v1/alerts/{alert_id}", self.callers, GET=self.one, PATCH=self.change)]

        @endpoint("Change a rule", who=Who.OWNER, scopes=CHANGES, errors={404: "unknown_alert"})
        async def change(self, caller: Caller, alert_id: Id, key: IdempotencyKey, body: AlertChange) -> AlertShown:
            ...

From the annotation of an argument follows where it comes from, how it is checked and how it is documented; they are
looked at in this order, whoever is not let in learns nothing else:

| annotation | comes from | refused with |
|---|---|---|
| `Request` | the request itself, for what has no row below | |
| `Caller`, `Caller \\| None` | token or API key, as `who` and `scopes` demand | 401, 403 |
| `Ticker`, `Id` or another `Annotated[str, InPath(...)]` | the part of the path with that name | 404 |
| `IdempotencyKey` | that header, empty without one | 422 |
| a subclass of `Query` | the query parameters | 422 |
| a subclass of `Body`; with `\\| None` it may be missing | the JSON body | 400, 413, 415, 422 |
| a subclass of `Form` | an `application/x-www-form-urlencoded` body | 400, 413, 415, 422 |

From the return annotation follows the answer: a msgspec Struct (or anything that msgspec encodes) is the body with
`status`; `Listing[Item]` is a page; `Answer[Body]` adds headers such as Location, or another status; `None` is a 204;
`Response` is an answer of the handler's own making (`media=` names its type; `answer=` its body where that is JSON
passed on as bytes). `errors` says what the rooms behind refuse. `kept=True`: the answer has an ETag, and who asks again
with it gets a 304 while it holds. `deprecated=date(...)` marks the answers as RFC 9745 says. The docstring is the
description. `scopes`: of which an API key needs one (`READS`, `CHANGES` ... of callers.py); without it, an owner's
endpoint is for logins alone. A model may carry `example: ClassVar[str]`, JSON as people should see it.

Every GET answers HEAD, every path OPTIONS with its methods in Allow.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from services.gateway.http.bodies import QueryOrBody, query, query_or_body, read, read_form, read_optional
from services.gateway.http.callers import Callers, Who, idempotency_key
from services.gateway.http.conditional import KEEP_AND_ASK
from services.gateway.http.endpoints import (
    JSON,
    Answer,
    Argument,
    Endpoint,
    Id,
    IdempotencyKey,
    Kind,
    Listing,
    Ticker,
    declared,
    endpoint,
)
from services.gateway.tokens import Caller
from services.shared.errors import NotFound

__all__ = [
    "Answer",
    "Id",
    "IdempotencyKey",
    "Listing",
    "Ticker",
    "Who",
    "endpoint",
    "listing",
    "number",
    "reply",
    "resource",
]

Handler = Callable[..., Awaitable[Any]]
T = TypeVar("T")


class Resource(Route):
    """A path and what it does by method."""

    def __init__(self, path: str, callers: Callers | None, handlers: Mapping[str, Handler]) -> None:
        self.endpoints = {method: declared(handler) for method, handler in handlers.items()}
        self._calls = {method: _call(handlers[method], each, callers) for method, each in self.endpoints.items()}
        super().__init__(path, self._answer, methods=[*handlers, "OPTIONS"], name=path)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(sorted(self.methods or ()))})
        if request.method == "HEAD":
            return await _without_stream(await self._calls["GET"](request))
        return await self._calls[request.method](request)


def resource(path: str, callers: Callers | None = None, /, **handlers: Handler) -> Resource:
    """A route that answers the methods named (`GET=..., POST=...`), and 405 with all of them in Allow to any other.

    callers: decides who may call; it may be left out where every endpoint is for anyone.
    """
    return Resource(path, callers, handlers)


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, JSON)


def listing(items: Iterable[T], next_page_token: str = "") -> Listing[T]:
    """One page; `next_page_token` is null at the end."""
    return Listing(list(items), next_page_token or None)


def number(value: float) -> float | int:
    """`value` for JSON: whole ones without a fraction, as counts are written."""
    return int(value) if value.is_integer() else value


def _call(handler: Handler, endpoint: Endpoint, callers: Callers | None) -> Callable[[Request], Awaitable[Response]]:
    """`handler` as a function of the request alone."""
    if callers is None and endpoint.who is not Who.ANYONE:
        raise TypeError(f"{endpoint.name} is for {endpoint.who.name}: its resource needs callers")
    always = _headers(endpoint)

    async def call(request: Request) -> Response:
        caller = None if callers is None else await callers.admit(endpoint.who, request, endpoint.scopes)
        given = {each.name: await _argument(each, request, caller) for each in endpoint.arguments}
        response = _respond(endpoint, await handler(**given))
        for name, value in always.items():
            response.headers.setdefault(name, value)
        return response

    return call


async def _argument(argument: Argument, request: Request, caller: Caller | None) -> Any:
    match argument.kind:
        case Kind.REQUEST:
            return request
        case Kind.CALLER:
            return caller
        case Kind.PATH:
            return _part(argument, request)
        case Kind.KEY:
            return idempotency_key(request.headers)
        case Kind.QUERY if issubclass(argument.model, QueryOrBody):
            return await query_or_body(request, argument.model)
        case Kind.QUERY:
            return query(request, argument.model)
        case Kind.FORM:
            return await read_form(request, argument.model)
        case Kind.BODY:
            return await (read if argument.required else read_optional)(request, argument.model)


def _part(argument: Argument, request: Request) -> str:
    found: str = request.path_params[argument.name]
    if argument.path is not None and argument.path.pattern and not argument.path.pattern.fullmatch(found):
        raise NotFound("there is nothing with this id", code="unknown_id")
    return found


def _respond(endpoint: Endpoint, found: Any) -> Response:
    if isinstance(found, Response):
        return found
    if found is None:
        return Response(status_code=endpoint.status)
    if isinstance(found, Answer):
        return reply(found.body, found.status or endpoint.status, found.headers)
    return reply(found, endpoint.status)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    """Those of each of its answers."""
    found = {"Cache-Control": KEEP_AND_ASK} if endpoint.kept else {}
    if endpoint.deprecated is not None:
        found["Deprecation"] = f"@{int(datetime.combine(endpoint.deprecated, time(), UTC).timestamp())}"
    return found


async def _without_stream(response: Response) -> Response:
    """What HEAD gets: the headers of a stream, which would never end, else the whole answer (the server cuts it)."""
    if not isinstance(response, StreamingResponse):
        return response
    close = getattr(response.body_iterator, "aclose", None)
    if close is not None:
        await close()
    bare = Response(status_code=response.status_code)
    bare.raw_headers = response.raw_headers
    return bare
