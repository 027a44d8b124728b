"""All of REST as one ASGI application, with the middleware around it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from services.gateway.backends import Prediction, StockData, Users
from services.gateway.config import Settings
from services.gateway.http.accounts import Accounts
from services.gateway.http.admission import Admission
from services.gateway.http.alert_reports import AlertReports
from services.gateway.http.alerts import Alerts
from services.gateway.http.api_keys import ApiKeys
from services.gateway.http.callers import Callers
from services.gateway.http.channels import Channels
from services.gateway.http.conditional import Conditional
from services.gateway.http.docs import Docs
from services.gateway.http.health import Check, Health
from services.gateway.http.leaving import Leaving
from services.gateway.http.limits import Counts, Limits, Who
from services.gateway.http.mail import Mail
from services.gateway.http.middleware import Edge, Gate
from services.gateway.http.notifications import Notifications
from services.gateway.http.pages import page_routes
from services.gateway.http.performance import Watch
from services.gateway.http.predictions import Predictions
from services.gateway.http.profiles import Profiles
from services.gateway.http.sessions import Sessions
from services.gateway.http.stocks import Stocks
from services.gateway.http.warmup import Warmup
from services.gateway.http.watchlist import Watchlist
from services.gateway.replies import INTERNAL, UpgradeNeeded, from_starlette, problem
from services.gateway.symbols import Symbols
from services.gateway.tokens import Verifier
from services.shared.errors import TickroomError
from services.shared.telemetry import request_id

_ROOMS: Final = "/websocket/"


@dataclass(frozen=True, slots=True)
class Desk:
    """What REST needs of the rest of the gateway.

    checks: what `/health/ready` asks, by name. draining: is everybody being shown out?
    counts: requests by who sent them. watch: measures how this process is doing.
    """

    settings: Settings
    admission: Admission
    verifier: Verifier
    symbols: Symbols
    stock_data: StockData
    prediction: Prediction
    users: Users
    checks: Mapping[str, Check]
    counts: Counts
    watch: Watch
    draining: Callable[[], bool] = lambda: False

    @property
    def callers(self) -> Callers:
        """Who may call what."""
        return Callers(self.verifier, anonymous=self.settings.anonymous_market_data, open=self.settings.open)


def rest_routes(desk: Desk) -> list[BaseRoute]:
    """Every REST path."""
    callers = desk.callers
    return [
        *Accounts(desk.users, callers, desk.admission).routes(),
        *Profiles(desk.users, callers, desk.admission).routes(),
        *Sessions(desk.users, callers, desk.admission).routes(),
        *ApiKeys(desk.users, callers).routes(),
        *Watchlist(desk.users, callers).routes(),
        *Mail(desk.users, callers, desk.admission).routes(),
        *Leaving(desk.users, callers, desk.admission).routes(),
        *Stocks(desk.stock_data, callers).routes(),
        *Predictions(desk.prediction, desk.symbols, callers).routes(),
        *AlertReports(desk.users, desk.symbols, callers).routes(),
        *Alerts(desk.users, desk.symbols, callers).routes(),
        *Channels(desk.users, callers).routes(),
        *Notifications(desk.users, callers).routes(),
        *Health(desk.checks, callers, desk.draining).routes(),
        *desk.watch.routes(),
        *Warmup(desk.prediction).routes(),
        *Docs(desk.admission).routes(),
        *page_routes(),
    ]


def application(routes: Sequence[BaseRoute], admission: Admission, desk: Desk | None = None) -> ASGIApp:
    """`routes` (REST and WebSocket) behind the gate, with every error answered as a problem.

    desk: that of the REST routes among them, whose requests are counted and measured.
    """
    sockets = [route for route in routes if isinstance(route, WebSocketRoute)]
    pages = [route for route in routes if not isinstance(route, WebSocketRoute)]
    app = Starlette(
        routes=[*pages, *(Route(each.path, _no_page) for each in sockets if each.path.startswith(_ROOMS))],
        exception_handlers={TickroomError: _ours, HTTPException: _of_the_router, Exception: _unexpected},
    )
    app.router.redirect_slashes = False  # a path with a slash too many is unknown, as the contract names paths
    inner: ASGIApp = Conditional(app)
    if desk is not None and desk.settings.requests_per_minute:
        inner = Limits(inner, desk.settings.requests_per_minute, desk.counts, _sender(desk))
    return Edge(Gate(_Sockets(sockets, inner), admission), admission, None if desk is None else desk.watch.answered)


class _Sockets:
    """Leads WebSocket handshakes straight to their rooms.

    Not through Starlette's layers: a dozen coroutines and closures would live as long as each idle socket.
    """

    def __init__(self, routes: Sequence[WebSocketRoute], app: ASGIApp) -> None:
        self._routes = routes
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.endpoint(WebSocket(scope, receive, send))
                    return
        await self._app(scope, receive, send)


async def _no_page(_request: Request) -> Response:
    raise UpgradeNeeded("this is a WebSocket room: open it with ws:// (or wss://)")


def _sender(desk: Desk) -> Who:
    """Requests count for the user whom a good token names, else for the address that they come from."""
    callers = desk.callers

    async def who(scope: Scope) -> str:
        caller = await callers.known(scope)
        return f"address {desk.admission.client(scope)}" if caller is None else f"user {caller.user_id}"

    return who


async def _ours(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, TickroomError)
    return problem(error, request_id=request_id.get(), instance=connection.scope["path"])


async def _of_the_router(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _ours(connection, from_starlette(error))


async def _unexpected(connection: HTTPConnection, _error: Exception) -> Response:
    """Starlette raises the error again behind this answer; Edge logs it."""
    return await _ours(connection, INTERNAL)
