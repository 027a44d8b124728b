"""What happened, as it travels on Kafka: frozen facts in the past tense.

The wire is JSON in UTF-8. The fields of each class stand in wire order: a price begins with the four
public keys of the plain WebSocket message, so the gateway makes a plain frame by slicing bytes (`PLAIN_END`).
Readers ignore keys they do not know, so fields may be added at the end.

Times are strings on purpose: RFC 3339 in UTC with exactly six decimals (`time`) sorts as text, and the hot readers
never parse it. `timestamp` is the same instant cut to seconds, as the plain profile shows it.
"""

from datetime import UTC, datetime
from typing import Literal

import msgspec

PLAIN_END = b',"epoch":'
"""What follows the public keys in a price or signal: everything before it, plus `}`, is the plain frame."""

Prediction = Literal["buy", "sell", "hold"]
Direction = Literal["bullish", "bearish"]


def rfc3339(when: datetime) -> str:
    """`when` (aware) as `YYYY-MM-DDTHH:MM:SS.ffffffZ`: fixed width, so text order is time order."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if when.year > 999 else _reject(when)


def _reject(when: datetime) -> str:
    raise ValueError(f"{when!r} is before the year 1000")


def seconds(time: str) -> str:
    """The plain form of an RFC 3339 `time`: `2024-09-21T14:23:00Z`."""
    return time[:19] + "Z"


def parse_time(time: str) -> datetime:
    """The aware UTC datetime of a `time` or `timestamp` of these events. Raises ValueError."""
    return datetime.fromisoformat(time)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Common base: one fact about one symbol at one position."""


class Tick(Event, frozen=True, kw_only=True, tag="stock_price_update"):
    """A trade price that moved (or confirmed) the last price of `symbol`.

    price: in the currency of the exchange, > 0, as traded (not split-adjusted). volume: shares of this trade, None
    where unknown. epoch and seq: see positions.py. source: the feed (`replay`, `alpaca` ...).
    """

    symbol: str
    price: float
    timestamp: str
    epoch: str
    seq: int
    time: str
    volume: float | None = None
    source: str = ""
    kind: Literal["trade"] = "trade"
    trade_id: str | msgspec.UnsetType = msgspec.UNSET


class Bar(Event, frozen=True, kw_only=True, tag="bar"):
    """Open, high, low, close and volume of one interval of `symbol`, as traded (not split-adjusted).

    timeframe: `1d`, `1m`. start: RFC 3339 of the interval's begin (for 1d the session's open); time: of its end.
    date: the session's date at the exchange. final: no later trade can change it.
    """

    symbol: str
    timeframe: str
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool
    epoch: str
    seq: int
    time: str
    date: str
    source: str = ""


class Split(Event, frozen=True, kw_only=True, tag="split"):
    """Each old share became `ratio` new ones (4.0 = 4:1, 0.1 = 1:10) from the session `effective` (a date) on.

    It comes before the first trade at the new price: divide older prices by `ratio`, multiply older volumes.
    """

    symbol: str
    ratio: float
    effective: str
    epoch: str
    seq: int
    time: str
    source: str = ""


class Correction(Event, frozen=True, kw_only=True, tag="correction"):
    """The trade at (epoch, `of_seq`) was wrong: it is now `price`, or cancelled (None). Never fires an alert.

    Where it was the last trade, a Tick with the right price follows.
    """

    symbol: str
    of_seq: int
    price: float | None
    epoch: str
    seq: int
    time: str
    source: str = ""


Record = Tick | Bar | Split | Correction
"""All that topic `ticks` carries."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Where the price will be at the horizon's end with probability `coverage`."""

    low: float
    high: float
    coverage: float


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """What out-of-fold predictions of this model were worth, beside the baseline that is always there.

    hit_rate: share of right directions; hit_rate_interval: its 95 % interval; baseline_hit_rate: `always up` on the
    same rows; mae and baseline_mae: mean absolute error of the log return, of the model and of `no change`.
    """

    count: int
    hit_rate: float
    hit_rate_interval: tuple[float, float]
    baseline_hit_rate: float
    mae: float
    baseline_mae: float


class Signal(Event, frozen=True, kw_only=True, tag="prediction_update"):
    """Buy, sell or hold, decided at the final bar (epoch, seq); `prev_seq` is the seq of the symbol's signal before.

    prev_seq is 0 for an epoch's first signal. confidence: probability that `direction` is right, 0.1-1.0
    (0.5 = no evidence). valid_until: RFC 3339, the horizon's end. reason: a word that says why it is a hold
    nevertheless, else None.
    """

    symbol: str
    prediction: Prediction
    timestamp: str
    epoch: str
    seq: int
    prev_seq: int
    time: str
    confidence: float
    horizon: str
    price_target: float
    direction: Direction
    interval: Interval | None
    model_version: str
    skill: Skill | None
    valid_until: str
    reason: str | None
    source: str = ""


class AlertTriggered(Event, frozen=True, kw_only=True, tag="alert_triggered"):
    """A rule fired. The public keys come first and end at `user_id`; what follows says which tick caused it."""

    id: str
    alert_id: str
    symbol: str
    condition: str
    threshold: float | None
    price: float
    message: str
    timestamp: str
    user_id: str
    rule_version: int
    epoch: str
    seq: int
    previous_price: float | None


class AccountUpdated(Event, frozen=True, kw_only=True, tag="account_update"):
    """Something about the account changed; `event` is one of the words of the public contract."""

    id: str
    event: str
    timestamp: str
    user_id: str


class SessionRevoked(Event, frozen=True, kw_only=True, tag="session_revoked"):
    """A login is worth nothing any more; never shown to clients.

    session_id: that login; empty = every login of the user whose tokens have a version below `version`.
    """

    id: str
    user_id: str
    session_id: str
    version: int
    timestamp: str


Notification = AlertTriggered | AccountUpdated | SessionRevoked
"""All that topic `notifications` carries."""

NOTIFICATION_PLAIN_END = b',"user_id":'
"""What follows the public keys of a notification: everything before it, plus `}`, is the frame."""

encode = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode
decode_signal = msgspec.json.Decoder(Signal).decode
decode_notification = msgspec.json.Decoder(Notification).decode
"""Decoders raise msgspec.ValidationError or msgspec.DecodeError on what is not such an event."""
