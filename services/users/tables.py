"""The tables of users; `migrations/versions` creates them. Times are RFC 3339 text in UTC (they sort as text)."""

from typing import cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.shared.positions import checkpoint_tables

TIME = String(27)
ID = String(36)
COUNTER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself only in a column of type INTEGER


class Base(DeclarativeBase):
    pass


CHECKPOINTS = checkpoint_tables(Base.metadata)


class AccountRow(Base):
    """A person. email: as `core.accounts.same_email` gives it. Tokens of an older `token_version` are worth nothing.

    role: user, operator. email_verified_at: when the person showed that mail to this address reaches them.
    closed_at: the person has gone; the row stays only until their rules have been let go.
    """

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    token_version: Mapped[int] = mapped_column(Integer)
    preferences: Mapped[str] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(TIME)
    role: Mapped[str] = mapped_column(String(8), server_default="user")
    email_verified_at: Mapped[str | None] = mapped_column(TIME)
    closed_at: Mapped[str | None] = mapped_column(TIME)


class SessionRow(Base):
    """One login and all the refresh tokens that follow from it (its family).

    Only the hashes of the newest one and the one before it are kept, and when that one was used up. device: what the
    client says it is; last_used_at: when the newest one was made.
    """

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(TIME)
    last_used_at: Mapped[str] = mapped_column(TIME)
    expires_at: Mapped[str] = mapped_column(TIME, index=True)
    revoked_at: Mapped[str | None] = mapped_column(TIME)
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    rotated_at: Mapped[str | None] = mapped_column(TIME)
    device: Mapped[str] = mapped_column(Text, server_default="")


class TicketRow(Base):
    """Opens one WebSocket for the holder of an access token: that token's login, version and end (UNIX seconds)."""

    __tablename__ = "tickets"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[str] = mapped_column(ID)
    version: Mapped[int] = mapped_column(Integer)
    token_expires_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[str] = mapped_column(TIME)


class ApiKeyRow(Base):
    """A key for programs. prefix: finds it; hash: of its secret; scopes: words with spaces between."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(12), unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[str] = mapped_column(Text)
    created_at: Mapped[str] = mapped_column(TIME)
    expires_at: Mapped[str | None] = mapped_column(TIME)
    last_used_at: Mapped[str | None] = mapped_column(TIME)


class MailCodeRow(Base):
    """A code that was sent by mail, by its hash. purpose: verify, reset; email: where it was sent to."""

    __tablename__ = "mail_codes"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(8))
    email: Mapped[str] = mapped_column(String(254))
    expires_at: Mapped[str] = mapped_column(TIME, index=True)


class WatchlistRow(Base):
    """The symbols that a person watches, in their order: a JSON array."""

    __tablename__ = "watchlists"

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    symbols: Mapped[str] = mapped_column(Text)


class AlertRow(Base):
    """A rule. `number` counts rules in the order of their making.

    taken: the owner of its symbol knows of this version (or of its deletion); the rule counts from the record after
    (active_from_epoch, active_from_seq). state: the engine's, JSON of `core.rules.RuleState`; others in bytes: JSON.
    source: prices, signals (the topic whose owner takes the rule in). version: counts how often it began anew;
    revision: its changes.
    """

    __tablename__ = "alerts"

    number: Mapped[int] = mapped_column(COUNTER, primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(8))
    symbol: Mapped[str] = mapped_column(String(32))
    conditions: Mapped[bytes] = mapped_column(LargeBinary)
    trigger: Mapped[str] = mapped_column(String(16))
    cooldown_s: Mapped[int] = mapped_column(Integer)
    hysteresis_pct: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[str | None] = mapped_column(TIME)
    message: Mapped[str | None] = mapped_column(Text)
    channels: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(TIME)
    taken: Mapped[bool] = mapped_column(Boolean)
    deleted: Mapped[bool] = mapped_column(Boolean)
    active_from_epoch: Mapped[str | None] = mapped_column(String(32))
    active_from_seq: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[bytes] = mapped_column(LargeBinary)
    source: Mapped[str] = mapped_column(String(8), server_default="prices")
    market_hours_only: Mapped[bool] = mapped_column(Boolean, server_default=false())
    snoozed_until: Mapped[str | None] = mapped_column(TIME)
    revision: Mapped[int] = mapped_column(Integer, server_default="1")

    __table_args__ = (
        Index("ix_alerts_user", "user_id", "number"),
        Index("ix_alerts_symbol", "symbol", "number"),
        # what the owners of symbols look for ten times a second: nearly always empty
        Index("ix_alerts_news", "symbol", sqlite_where=text("NOT taken"), postgresql_where=text("NOT taken")),
    )


class WatchedSymbolRow(Base):
    """Every symbol that ever had a rule: whoever gets a partition finds its symbols here without reading all rules."""

    __tablename__ = "watched_symbols"

    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)


class FiringRow(Base):
    """A rule fired, once for (alert_id, rule_version, epoch, seq), which make the id: of the notification too.

    Whatever its version, a rule fires once at a record. source: prices, signals, the topic that the record is of; null
    for silences, which each version of a rule tells of by itself. rule: what it waited for then, JSON of
    `store.notifications.Definition`. Outlives its rule.
    """

    __tablename__ = "firings"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    alert_id: Mapped[str] = mapped_column(ID)
    rule_version: Mapped[int] = mapped_column(Integer)
    user_id: Mapped[str] = mapped_column(ID)
    symbol: Mapped[str] = mapped_column(String(32))
    epoch: Mapped[str] = mapped_column(String(32))
    seq: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[str] = mapped_column(TIME)
    condition: Mapped[str] = mapped_column(String(32))
    threshold: Mapped[float | None] = mapped_column(Float)
    price: Mapped[float] = mapped_column(Float)
    previous_price: Mapped[float | None] = mapped_column(Float)
    rule: Mapped[bytes | None] = mapped_column(LargeBinary)
    source: Mapped[str | None] = mapped_column(String(8))

    # a null is unlike any other: silences never meet here
    __table_args__ = (UniqueConstraint("alert_id", "symbol", "epoch", "seq", "source", name="firings_once"),)


class NotificationRow(Base):
    """What a person is told, as it goes to topic `notifications`. published_at null: the outbox.

    shown: false for what the gateways alone are told, that a login is worth nothing any more. happened_at: the
    timestamp that people see, on the clock of its cause.
    """

    __tablename__ = "notifications"

    number: Mapped[int] = mapped_column(COUNTER, primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    user_id: Mapped[str] = mapped_column(ID)
    event: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(TIME)
    published_at: Mapped[str | None] = mapped_column(TIME)
    read_at: Mapped[str | None] = mapped_column(TIME)
    shown: Mapped[bool] = mapped_column(Boolean, server_default=true())
    happened_at: Mapped[str] = mapped_column(TIME, server_default="")

    __table_args__ = (
        Index("ix_notifications_user", "user_id", "number"),
        Index(
            "ix_notifications_unread",
            "user_id",
            "number",
            sqlite_where=text("read_at IS NULL"),
            postgresql_where=text("read_at IS NULL"),
        ),
        Index(
            "ix_notifications_outbox",
            "number",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        Index("ix_notifications_hidden", "number", sqlite_where=text("NOT shown"), postgresql_where=text("NOT shown")),
    )


class ChannelRow(Base):
    """A way to reach a user beyond the socket. sealed: its settings, encrypted (`core.delivery_channels`).

    mark: what tells it from the user's others, so that the same browser is not told twice. reason: why it is not
    enabled. failures: attempts in a row that failed, the first of them at `failing_since`. Nobody looks at its
    deliveries before `free_at`: somebody works on it (`lease`), or they have to wait; gathering: they go together then.
    window_at, window_sent: `core.delivery.Window`.
    """

    __tablename__ = "channels"

    number: Mapped[int] = mapped_column(COUNTER, primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    mark: Mapped[bytes] = mapped_column(LargeBinary)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(TIME)
    enabled: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str | None] = mapped_column(String(32))
    failures: Mapped[int] = mapped_column(Integer)
    failing_since: Mapped[str | None] = mapped_column(TIME)
    delivered_at: Mapped[str | None] = mapped_column(TIME)
    free_at: Mapped[str] = mapped_column(TIME)
    lease: Mapped[str | None] = mapped_column(ID)
    gathering: Mapped[bool] = mapped_column(Boolean)
    window_at: Mapped[str | None] = mapped_column(TIME)
    window_sent: Mapped[int] = mapped_column(Integer)

    __table_args__ = (UniqueConstraint("user_id", "mark"), Index("ix_channels_user", "user_id", "number"))


class DeliveryRow(Base):
    """A notification on its way over a channel. status: waiting, delivered, dead.

    message_id: of the message that it is sent in, its own or a digest's; null before the first attempt, which was
    `tried_at`. No reference to the channel: deleting one must not hold up the engine, which adds these.
    """

    __tablename__ = "deliveries"

    number: Mapped[int] = mapped_column(COUNTER, primary_key=True)
    channel_id: Mapped[str] = mapped_column(ID)
    notification_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[str] = mapped_column(TIME, index=True)
    due_at: Mapped[str] = mapped_column(TIME)
    status: Mapped[str] = mapped_column(String(9))
    attempts: Mapped[int] = mapped_column(Integer)
    message_id: Mapped[str | None] = mapped_column(ID)
    tried_at: Mapped[str | None] = mapped_column(TIME)

    __table_args__ = (
        UniqueConstraint("channel_id", "notification_id"),
        Index(
            "ix_deliveries_waiting",
            "channel_id",
            "due_at",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
    )


class AttemptRow(Base):
    """One attempt to deliver a message, as the owner of the channel can read it.

    notification_id: null for a digest (and `count` says of how many). code: HTTP status, if any; error: a word.
    """

    __tablename__ = "delivery_attempts"

    number: Mapped[int] = mapped_column(COUNTER, primary_key=True)
    channel_id: Mapped[str] = mapped_column(ID)
    message_id: Mapped[str] = mapped_column(ID)
    notification_id: Mapped[str | None] = mapped_column(ID)
    count: Mapped[int] = mapped_column(Integer)
    time: Mapped[str] = mapped_column(TIME, index=True)
    attempt: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(9))
    code: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (Index("ix_delivery_attempts_channel", "channel_id", "number"),)


class IdempotencyRow(Base):
    """A key that a user has created something with, stored in the transaction that created it."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    made_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[str] = mapped_column(TIME)


class RegistrationRow(Base):
    """An idempotency key that an account was made with. scope: hash of the key and of the address that showed it."""

    __tablename__ = "registrations"

    scope: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[str] = mapped_column(TIME)


def table_of(row: type[Base]) -> Table:
    """The plain table behind a class, for statements over many rows."""
    return cast(Table, row.__table__)
