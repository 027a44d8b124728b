"""Hand-written rooms behind the door, and a client that talks to the real ASGI application in front of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from services.gateway.alert_reports import PreviewWish
from services.gateway.backends import (
    Alert,
    AlertChange,
    AlertPage,
    AlertWish,
    Bar,
    Cause,
    Condition,
    Forecast,
    History,
    HistoryQuestion,
    Keys,
    LatestEvent,
    Login,
    ModelMetrics,
    ModelSkill,
    ModelStatus,
    NotificationDetail,
    NotificationPage,
    Profile,
    ProfileChange,
    Revocation,
    Session,
    SessionPage,
    SessionRef,
    StoredNotification,
    Ticker,
    Ticket,
    WarmUp,
)
from services.gateway.config import Settings
from services.gateway.core.performance import Performance
from services.gateway.http.admission import Admission
from services.gateway.http.health import Check
from services.gateway.http.limits import Counts
from services.gateway.http.performance import Watch
from services.gateway.http.rest import Desk, application, rest_routes
from services.gateway.revocations import Revocations
from services.gateway.symbols import Symbols
from services.gateway.tokens import Verifier
from services.shared.cache import Cache, MemoryCache
from services.shared.errors import Conflict, Denied, NotFound, Unauthenticated
from services.shared.events import AlertTriggered, encode
from tests.unit.gateway.account_fakes import FakeAccounts
from tests.unit.gateway.channel_fakes import FakeChannels

BASE = "http://localhost:8000"
TIME = "2012-06-01T20:00:00.000000Z"
EXPLAINED = (
    b'{"alert_id":"a1","version":1,"status":"active","position":{"epoch":"e","seq":7},"state":"armed","latched":false,'
    b'"would_fire":false,"why_not":["condition_0"],"cooling_until":null,"snoozed_until":null,"expires_at":null,'
    b'"last_price":144.0,"previous_price":140.0,"seen_at":"2012-06-01T20:00:00.000000Z","conditions":[{"type":'
    b'"crossing_up","holds":false,"event":true,"side":"below","value":144.0,"line":150.0,"distance":6.0,'
    b'"distance_pct":4.1667,"rearms_at":null}]}'
)
PREVIEWED = (
    b'{"symbol":"AAPL","firings":[{"time":"2012-06-01T20:00:00.000000Z","price":151.0,"previous_price":149.0,'
    b'"condition":"crossing_up","threshold":150.0,"message":"m"}],"more":false,"prices":2,"first":null,"last":null,'
    b'"resolution":"r"}'
)


class FakeStockData:
    """Knows AAPL and IBM. `fails`: raised by every call."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked: list[HistoryQuestion] = []
        self.tickers_asked = 0

    async def history(self, question: HistoryQuestion) -> History:
        self._check()
        self.asked.append(question)
        bar = Bar("2012-06-01", "2012-06-01T13:30:00.000000Z", 569.16, 572.65, 560.52, 560.99, 18606700.0, "replay")
        return History("AAPL", [bar], "next" if question.limit == 1 else "")

    async def latest(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        self._check()
        return []

    async def tickers(self) -> Sequence[Ticker]:
        self._check()
        self.tickers_asked += 1
        return [Ticker("AAPL", "Technology", 250, "2012-01-03", "2012-06-01"), Ticker("IBM", "", 0, "", "")]

    async def healthy(self) -> bool:
        return self.fails is None

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails


class FakePrediction:
    """`model_loaded`: is there a model?"""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.model_loaded = True
        self.warm = WarmUp(1692622800.5, 1692622807.2, 6.7, 8, 2, [])

    async def predict(self, ticker: str, horizon: str) -> Forecast:
        if self.fails is not None:
            raise self.fails
        return Forecast(ticker, 226.01, 224.15, 0.88, "bearish", "2025-08-21T13:08:46.123456Z", "1d", "lightgbm")

    async def latest_signals(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        return []

    async def model_status(self, ticker: str) -> ModelStatus:
        if not self.model_loaded:
            return ModelStatus(ticker, False, False, "lightgbm", None)
        metrics = ModelMetrics(0.0119, 0.0162, 0.19, 185, 47)
        skill = ModelSkill(47, 0.53, (0.39, 0.67), 0.51, 0.0119, 0.0118)
        return ModelStatus(ticker, True, True, "lightgbm", metrics, "v1", skill)

    async def warm_up(self) -> WarmUp:
        if self.fails is not None:
            raise self.fails
        return self.warm

    async def healthy(self) -> bool:
        return True


@dataclass
class FakeUsers(FakeAccounts, FakeChannels):
    """One person can log in: ada@example.org, `correct horse`. Signs tokens with `key` under `kid`."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    kid: str = "k1"
    keys_asked: int = 0
    fails: Exception | None = None
    wishes: list[tuple[str, AlertWish]] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    register_keys: list[str] = field(default_factory=list)
    logouts: list[tuple[str, str, bool]] = field(default_factory=list)
    changes: list[tuple[str, ProfileChange, str]] = field(default_factory=list)
    tickets: dict[str, SessionRef] = field(default_factory=dict)
    revoked: list[Revocation] = field(default_factory=list)
    checked: list[Sequence[SessionRef]] = field(default_factory=list)
    stored: dict[str, Alert] = field(default_factory=dict)
    previews: list[tuple[str, PreviewWish]] = field(default_factory=list)
    asked_since: list[tuple[str, str]] = field(default_factory=list)
    rule_changes: list[tuple[str, str, AlertChange]] = field(default_factory=list)
    acked: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    def token(self, user_id: str = "u1", *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A good token; `changes` replaces claims, None leaves one out."""
        claims: dict[str, Any] = {
            "sub": user_id,
            "iss": "tickroom",
            "aud": "tickroom",
            "exp": int(time.time()) + 900,
            "sid": "s1",
            "version": 1,
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(claims, self.key, "EdDSA", headers={"kid": self.kid} | dict(headers or {}))

    async def register(
        self, name: str, email: str, password: str, client: str, *, device: str = "", idempotency_key: str = ""
    ) -> Login:
        self._check()
        self.clients.append(client)
        self.devices.append(device)
        self.register_keys.append(idempotency_key)
        if email == "taken@example.org":
            raise Conflict("this address has an account already", code="email_taken")
        return Login("u1", name, email, "access", 900, "refresh")

    async def login(self, email: str, password: str, client: str, *, device: str = "") -> Login:
        self._check()
        self.clients.append(client)
        self.devices.append(device)
        if (email, password) != ("ada@example.org", "correct horse"):
            raise Unauthenticated("wrong address or password", code="wrong_credentials")
        return Login("u1", "Ada", email, self.token(), 900, "refresh")

    async def refresh(self, refresh_token: str, client: str) -> Login:
        self._check()
        if refresh_token != "refresh":
            raise Unauthenticated("the refresh token is not one of ours, or no longer", code="bad_token")
        return Login("u1", "Ada", "ada@example.org", self.token(), 900, "refresh-2")

    async def logout(self, user_id: str, session_id: str, *, everywhere: bool) -> bool:
        self._check()
        self.logouts.append((user_id, session_id, everywhere))
        return everywhere or session_id in ("s0", "s1")

    async def sessions(self, user_id: str, limit: int, page_token: str) -> SessionPage:
        self._check()
        found = [Session("s1", "curl/8.5.0", TIME, TIME), Session("s0", "", TIME, TIME)]
        return SessionPage(found[:limit], "more" if limit == 1 else "")

    async def issue_ticket(self, session: SessionRef) -> Ticket:
        self._check()
        made = Ticket(f"ticket-{len(self.tickets)}")
        self.tickets[made.ticket] = session
        return made

    async def redeem_ticket(self, ticket: str) -> SessionRef:
        self._check()
        if ticket not in self.tickets:
            raise Unauthenticated("the ticket is unknown, used up or too old", code="bad_ticket")
        return self.tickets.pop(ticket)

    async def check_sessions(self, sessions: Sequence[SessionRef]) -> Sequence[bool]:
        self._check()
        self.checked.append(sessions)
        ended = {each.session_id for each in self.revoked}
        return [each.session_id not in ended for each in sessions]

    async def revocations(self) -> Sequence[Revocation]:
        self._check()
        return self.revoked

    async def verify(self, access_token: str) -> str:
        self._check()
        return "u1"

    async def keys(self) -> Keys:
        self._check()
        self.keys_asked += 1
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return Keys({self.kid: raw}, "tickroom", "tickroom")

    async def profile(self, user_id: str) -> Profile:
        self._check()
        return Profile(user_id, "Ada", "ada@example.org", TIME, '{"theme":"dark"}')

    async def update_profile(self, user_id: str, change: ProfileChange, client: str) -> Profile:
        self._check()
        if change.current_password == "wrong":
            raise Denied("the current password is not right", code="wrong_password")
        self.changes.append((user_id, change, client))
        return Profile(
            user_id, change.name or "Ada", change.email or "ada@example.org", TIME, change.preferences or "{}"
        )

    async def create_alert(self, user_id: str, wish: AlertWish) -> Alert:
        self._check()
        self.wishes.append((user_id, wish))
        made = Alert(
            "a1",
            1,
            "active",
            wish.symbol,
            wish.conditions,
            wish.trigger,
            wish.cooldown_s,
            wish.hysteresis_pct,
            wish.expires_at,
            wish.message,
            wish.channels,
            wish.market_hours_only,
            wish.snoozed_until,
        )
        self.stored[made.id] = made
        return made

    async def change_alert(self, user_id: str, alert_id: str, change: AlertChange) -> Alert:
        found = await self.alert(user_id, alert_id)
        self.rule_changes.append((user_id, alert_id, change))
        fields = {name: getattr(change.wish, name) for name in change.given if name != "snooze_s"}
        status = {True: "paused", False: "active", None: found.status}[change.paused]
        self.stored[alert_id] = replace(found, **fields, status=status, version=found.version + 1)
        return self.stored[alert_id]

    async def alerts(
        self, user_id: str, limit: int, page_token: str, *, symbol: str = "", status: str = ""
    ) -> AlertPage:
        self._check()
        found = [each for each in self.stored.values() if symbol in ("", each.symbol) and status in ("", each.status)]
        return AlertPage(found, "more" if limit == 1 else "")

    async def alert(self, user_id: str, alert_id: str) -> Alert:
        if alert_id not in self.stored:
            raise NotFound("there is no such alert", code="unknown_alert")
        return self.stored[alert_id]

    async def delete_alert(self, user_id: str, alert_id: str) -> None:
        await self.alert(user_id, alert_id)
        del self.stored[alert_id]

    async def explain_alert(self, user_id: str, alert_id: str) -> bytes:
        found = await self.alert(user_id, alert_id)
        return EXPLAINED.replace(b'"a1"', f'"{found.id}"'.encode())

    async def preview_alert(self, user_id: str, wish: PreviewWish) -> bytes:
        self._check()
        self.previews.append((user_id, wish))
        return PREVIEWED

    async def notification(self, user_id: str, notification_id: str) -> NotificationDetail:
        page = await self.notifications(user_id, unread_only=False, limit=100, page_token="")
        found = {each.id: each for each in page.notifications}
        if notification_id not in found:
            raise NotFound("there is no such notification", code="unknown_notification")
        line = Condition("crossing_up", 150.0)
        cause = Cause("a1", 3, "AAPL", "e", 7, TIME, 151.75, 149.0, "crossing_up", 150.0, [line], "every_time", 0.5)
        return NotificationDetail(found[notification_id], cause if notification_id == "n1" else None)

    async def notifications(
        self, user_id: str, *, unread_only: bool, limit: int, page_token: str, since: str = "", alert_id: str = ""
    ) -> NotificationPage:
        self.asked_since.append((since, alert_id))
        event = AlertTriggered(
            id="n1",
            alert_id="a1",
            symbol="AAPL",
            condition="crossing_up",
            threshold=150.0,
            price=151.75,
            message="AAPL rose to 151.75",
            timestamp="2012-06-01T20:00:00Z",
            user_id=user_id,
            rule_version=1,
            epoch="e",
            seq=7,
            previous_price=149.0,
        )
        found = [StoredNotification("n1", encode(event), False), StoredNotification("n0", encode(event), True)]
        return NotificationPage([each for each in found if not (unread_only and each.read)], "")

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int:
        self.acked.append((user_id, tuple(ids), up_to))
        return int("n1" in ids or bool(up_to))

    async def healthy(self) -> bool:
        return self.fails is None

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails


async def _yes() -> bool:
    return True


class Front:
    """The whole HTTP side on fakes; ask by `client()`.

    cache: where requests are counted. settings: named as in the environment, in lower case.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute] = (),
        checks: Mapping[str, Check] | None = None,
        cache: Cache | None = None,
        revocations: Revocations | None = None,
        **settings: Any,
    ) -> None:
        self.stock_data = FakeStockData()
        self.prediction = FakePrediction()
        self.users = FakeUsers()
        self.performance = Performance()
        self.settings = Settings(_env_file=None, **settings)
        desk = Desk(
            settings=self.settings,
            admission=Admission(self.settings),
            verifier=Verifier(self.users, revocations=revocations),
            symbols=Symbols(self.stock_data),
            stock_data=self.stock_data,
            prediction=self.prediction,
            users=self.users,
            checks={"kafka": _yes} if checks is None else checks,
            counts=Counts(cache or MemoryCache()),
            watch=Watch(self.performance),
        )
        self.routes = [*rest_routes(desk), *routes]
        self.app: ASGIApp = application(self.routes, desk.admission, desk)

    def client(self, *, signed_in: bool = False, base: str = BASE, peer: str = "127.0.0.1") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.users.token()}"} if signed_in else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 50_000))
        return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)


PROBLEM_KEYS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


def problem_of(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem in `answer`, after checking what every problem must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body.keys() == PROBLEM_KEYS
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    if code is not None:
        assert body["code"] == code
    return body
