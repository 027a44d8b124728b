"""All of REST as one ASGI application, with the middleware around it."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from services.gateway.http.admission import Admission
from services.gateway.http.middleware import Edge, Gate
from services.gateway.replies import INTERNAL, from_starlette, problem
from services.shared.errors import NotFound, TickroomError
from services.shared.telemetry import request_id


def application(routes: Sequence[BaseRoute], admission: Admission) -> ASGIApp:
    """`routes` (REST and WebSocket) behind the gate, with every error answered as a problem."""
    app = Starlette(
        routes=[*routes, WebSocketRoute("/{path:path}", _nowhere)],
        exception_handlers={TickroomError: _ours, HTTPException: _of_the_router, Exception: _unexpected},
    )
    app.router.redirect_slashes = False  # a path with a slash too many is unknown, as the contract names paths
    return Edge(Gate(app, admission))


async def _nowhere(_socket: WebSocket) -> None:
    """A handshake for a path that nobody has: an HTTP 404, where the router alone would answer 403."""
    raise NotFound("there is nothing here", code="unknown_path")


async def _ours(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, TickroomError)
    return problem(error, request_id=request_id.get(), instance=connection.scope["path"])


async def _of_the_router(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _ours(connection, from_starlette(error))


async def _unexpected(connection: HTTPConnection, _error: Exception) -> Response:
    """Starlette raises the error again behind this answer; Edge logs it."""
    return await _ours(connection, INTERNAL)
