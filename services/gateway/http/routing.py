"""Small pieces that every topic uses: JSON answers, listings, and one route for all methods of a path."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.shared.errors import NotFound

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Handler = Callable[[Request], Awaitable[Response]]


def resource(path: str, **handlers: Handler) -> Route:
    """A route that answers the methods named (`GET=..., POST=...`), and 405 with all of them in Allow to any other."""

    async def answer(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, answer, methods=list(handlers), name=path)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def listing(items: Iterable[Any], next_page_token: str = "") -> Response:
    """The shape of every listing; `next_page_token` is null at the end."""
    return reply({"items": list(items), "next_page_token": next_page_token or None})


def number(value: float) -> float | int:
    """`value` for JSON: whole ones without a fraction, as counts are written."""
    return int(value) if value.is_integer() else value


def identifier(request: Request, name: str) -> str:
    """The id in the path. Raises NotFound for what can't be one."""
    found: str = request.path_params[name]
    if not _ID.fullmatch(found):
        raise NotFound("there is nothing with this id", code="unknown_id")
    return found
