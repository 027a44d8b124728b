"""What the front door asks of the rooms behind it: protocols, and our own types for the answers.

`clients.py` implements them over gRPC; tests implement them by hand. Every call may raise a TickroomError: Unavailable
(or TimedOut) where the room does not answer, ServiceFailed where it failed, and what each call names.
Times are RFC 3339 in UTC with six decimals, prices in the currency of the exchange.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.gateway.account_backends import Accounts
from services.gateway.account_backends import Role as Role
from services.gateway.account_backends import SessionRef as SessionRef
from services.gateway.alert_reports import AlertReports
from services.gateway.channel_backends import Channels
from services.shared.events import SessionRevoked


@dataclass(frozen=True, slots=True)
class Bar:
    """One completed interval. date: of the session; start: begin of the interval; volume: shares."""

    date: str
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    source: str


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """symbol: or a company name. start and end: inclusive, empty = unbounded. split_adjusted: False = as traded."""

    symbol: str
    timeframe: str
    start: str
    end: str
    split_adjusted: bool
    limit: int
    page_token: str


@dataclass(frozen=True, slots=True)
class History:
    """bars: oldest first, of the symbol as resolved. next_page_token: empty at the end."""

    symbol: str
    bars: Sequence[Bar]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Ticker:
    """rows: completed daily bars. sector, first, last: empty where unknown."""

    ticker: str
    sector: str
    rows: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class LatestEvent:
    """The last price (or signal) of a symbol: its position and the record as it stands on its topic."""

    symbol: str
    epoch: str
    seq: int
    event: bytes


class StockData(Protocol):
    async def history(self, question: HistoryQuestion) -> History:
        """Raises NotFound for an unknown symbol, InvalidInput for bad dates, timeframe, limit or page token."""
        ...

    async def latest(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        """The last accepted price of each symbol (none named: of all); those without one are left out."""
        ...

    async def tickers(self) -> Sequence[Ticker]:
        """Every symbol that the feed or the database knows."""
        ...

    async def healthy(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """price_target: at the horizon's end; confidence: 0.1-1.0; time, epoch, seq: of the price that it starts from.

    bar_time: end of the last completed bar that it knows. Without a price (empty, 0) it starts from that bar's close.
    """

    ticker: str
    current_price: float
    price_target: float
    confidence: float
    direction: str
    time: str
    horizon: str
    model: str
    epoch: str = ""
    seq: int = 0
    bar_time: str = ""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How prediction started. Times in UNIX seconds, None before it is over; errors: sentences for people."""

    started_at: float
    completed_at: float | None
    duration_s: float | None
    models_loaded: int
    models_trained: int
    errors: Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """Errors of the next day's log return on rows that the model was not trained on; training_time in seconds."""

    val_mae: float
    val_rmse: float
    training_time: float
    train_samples: int
    val_samples: int


@dataclass(frozen=True, slots=True)
class ModelSkill:
    """What the model's directions were worth on unseen rows, beside what doing nothing would have scored there.

    hit_rate_interval: its 95 % interval; baseline_hit_rate: of `always up`; baseline_mae: of `no change`.
    """

    count: int
    hit_rate: float
    hit_rate_interval: tuple[float, float]
    baseline_hit_rate: float
    mae: float
    baseline_mae: float


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """metrics and skill: None where no model is loaded."""

    ticker: str
    model_loaded: bool
    service_ready: bool
    model_type: str
    metrics: ModelMetrics | None
    model_version: str = ""
    skill: ModelSkill | None = None


class Prediction(Protocol):
    async def predict(self, ticker: str, horizon: str) -> Forecast:
        """Raises NotFound for an unknown ticker, InvalidInput for an unknown horizon or too few bars."""
        ...

    async def latest_signals(self, symbols: Sequence[str] = ()) -> Sequence[LatestEvent]:
        """The last signal of each symbol (none named: of all); those without one are left out."""
        ...

    async def model_status(self, ticker: str) -> ModelStatus:
        """Raises NotFound for an unknown ticker."""
        ...

    async def warm_up(self) -> WarmUp: ...

    async def healthy(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Login:
    """An account and its fresh tokens; expires_in: seconds of the access token."""

    user_id: str
    name: str
    email: str
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """preferences: a JSON object as text."""

    user_id: str
    name: str
    email: str
    created_at: str
    preferences: str


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What somebody wants changed; None: left as it is. current_password: for a new address or password."""

    name: str | None = None
    email: str | None = None
    password: str | None = None
    current_password: str = ""
    preferences: str | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """What tokens are verified with: raw Ed25519 public keys by `kid`, and the claims they must carry.

    token_ttl_s: how long an access token is worth something.
    """

    by_kid: Mapping[str, bytes]
    issuer: str
    audience: str
    token_ttl_s: int = 900


@dataclass(frozen=True, slots=True)
class Session:
    """One login. device: what its client says it is; last_used_at: of the newest login or refresh."""

    id: str
    device: str
    created_at: str
    last_used_at: str


@dataclass(frozen=True, slots=True)
class SessionPage:
    """sessions: newest first. next_page_token: empty at the end."""

    sessions: Sequence[Session]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """Opens one WebSocket within `expires_in` seconds."""

    ticket: str = field(repr=False)
    expires_in: int = 30


Revocation = SessionRevoked
"""The end of one login, or of all that a user had until then."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A type has some of the fields, the others are None. Prices are as traded."""

    type: str
    threshold: float | None = None
    lower: float | None = None
    upper: float | None = None
    amount: float | None = None
    percent: float | None = None
    window_s: int | None = None
    days: int | None = None
    times: float | None = None
    bars: int | None = None
    to: str | None = None
    after_s: int | None = None


@dataclass(frozen=True, slots=True)
class AlertWish:
    """A rule that somebody wants. idempotency_key: empty = none."""

    symbol: str
    conditions: Sequence[Condition]
    trigger: str
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: Sequence[str]
    idempotency_key: str = ""
    market_hours_only: bool = False
    snoozed_until: str | None = None
    snooze_s: int | None = None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What is to be different of a rule. given: names of those fields of `wish`; paused: None = as it is."""

    wish: AlertWish
    given: Sequence[str]
    paused: bool | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that stands. status: active, pending, paused, fired, expired."""

    id: str
    version: int
    status: str
    symbol: str
    conditions: Sequence[Condition]
    trigger: str
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: Sequence[str]
    market_hours_only: bool = False
    snoozed_until: str | None = None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """alerts: oldest first. next_page_token: empty at the end."""

    alerts: Sequence[Alert]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """event: as it stands on topic `notifications`."""

    id: str
    event: bytes
    read: bool


@dataclass(frozen=True, slots=True)
class Cause:
    """The record that a rule fired at, and what the rule waited for then (no conditions: it was not kept)."""

    alert_id: str
    rule_version: int
    symbol: str
    epoch: str
    seq: int
    time: str
    price: float
    previous_price: float | None
    condition: str
    threshold: float | None
    conditions: Sequence[Condition]
    trigger: str
    hysteresis_pct: float


@dataclass(frozen=True, slots=True)
class NotificationDetail:
    """cause: of a firing."""

    notification: StoredNotification
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class NotificationPage:
    """notifications: oldest first. next_page_token: empty at the end."""

    notifications: Sequence[StoredNotification]
    next_page_token: str


class Users(Accounts, AlertReports, Channels, Protocol):
    async def register(
        self, name: str, email: str, password: str, client: str, *, device: str = "", idempotency_key: str = ""
    ) -> Login:
        """client: the caller's address, for throttling; device: what it says it is; idempotency_key: empty = none.

        Raises InvalidInput, Conflict (taken address, idempotency key of another account), TooMany.
        """
        ...

    async def login(self, email: str, password: str, client: str, *, device: str = "") -> Login:
        """Raises Unauthenticated for an unknown address and a wrong password alike, TooMany when throttled."""
        ...

    async def refresh(self, refresh_token: str, client: str) -> Login:
        """Fresh tokens of the same login; the old refresh token is used up, save for the next 10 s.

        Raises Unauthenticated. One that was used up before ends its login.
        """
        ...

    async def logout(self, user_id: str, session_id: str, *, everywhere: bool) -> bool:
        """From now on this login (every login of the user) is worth nothing. False: there was none."""
        ...

    async def sessions(self, user_id: str, limit: int, page_token: str) -> SessionPage:
        """Logins that are worth something. Raises InvalidInput for a bad page token."""
        ...

    async def issue_ticket(self, session: SessionRef) -> Ticket:
        """Raises Unauthenticated (`token_revoked`) where the login is worth nothing any more."""
        ...

    async def redeem_ticket(self, ticket: str) -> SessionRef:
        """Whose it is, once on all replicas. Raises Unauthenticated (`bad_ticket`)."""
        ...

    async def check_sessions(self, sessions: Sequence[SessionRef]) -> Sequence[bool]:
        """Is each of up to 1,000 still worth something (its user, login and version)? In the same order."""
        ...

    async def revocations(self) -> Sequence[Revocation]:
        """Those that an access token made before may have outlived, oldest first."""
        ...

    async def verify(self, access_token: str) -> str:
        """The user id of a token that is still worth something (not revoked either). Raises Unauthenticated."""
        ...

    async def keys(self) -> Keys: ...

    async def profile(self, user_id: str) -> Profile:
        """Raises NotFound."""
        ...

    async def update_profile(self, user_id: str, change: ProfileChange, client: str) -> Profile:
        """A new password ends every login of the user.

        Raises InvalidInput, Denied (`wrong_password`), Conflict (taken address), TooMany (guesses), NotFound.
        """
        ...

    async def create_alert(self, user_id: str, wish: AlertWish) -> Alert:
        """Raises InvalidInput, NotFound (unknown symbol), Conflict (idempotency key of another rule), TooMany."""
        ...

    async def change_alert(self, user_id: str, alert_id: str, change: AlertChange) -> Alert:
        """Raises InvalidInput, NotFound (for somebody else's rule too)."""
        ...

    async def alerts(
        self, user_id: str, limit: int, page_token: str, *, symbol: str = "", status: str = ""
    ) -> AlertPage:
        """symbol, status: only such rules; empty = all."""
        ...

    async def alert(self, user_id: str, alert_id: str) -> Alert:
        """Raises NotFound, for somebody else's rule too."""
        ...

    async def delete_alert(self, user_id: str, alert_id: str) -> None:
        """Raises NotFound, for somebody else's rule too."""
        ...

    async def notifications(
        self, user_id: str, *, unread_only: bool, limit: int, page_token: str, since: str = "", alert_id: str = ""
    ) -> NotificationPage:
        """since: only those with such a `timestamp` or a later one; alert_id: only those of this rule."""
        ...

    async def notification(self, user_id: str, notification_id: str) -> NotificationDetail:
        """Raises NotFound."""
        ...

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int:
        """Marks as read; returns how many were not before. up_to: everything up to and including this one."""
        ...

    async def healthy(self) -> bool: ...
