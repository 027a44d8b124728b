"""What the server says, as frozen values. Keys are those of the wire; times are aware datetimes in UTC.

`epoch` and `seq` are a record's position: `seq` counts the records of a symbol 1, 2, 3 ... within an epoch, and both
sort by age. `conflated` says how many records were merged into one because its reader was slow, or had asked for a
rate. `snapshot`: the last known state, not news. `stale`: older than the market's hours explain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from tickroom_client.errors import Garbled

Signal = Literal["buy", "sell", "hold"]
Direction = Literal["bullish", "bearish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A trade that moved (or confirmed) the last price of `symbol`.

    price: in the currency of the exchange, as traded; volume: shares of this trade, None where unknown; source: the
    feed.
    """

    symbol: str
    price: float
    time: datetime
    epoch: str
    seq: int
    volume: float | None
    trade_id: str | None
    source: str
    stale: bool
    snapshot: bool
    conflated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The price at the horizon's end lies here with probability `coverage`."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Buy, sell or hold, decided at record (epoch, seq); prev_seq: that of the symbol's prediction before, 0 = none.

    confidence: 0.1-1.0, 0.5 = no evidence; horizon: such as `1d`; skill: what such predictions were worth out of fold,
    as the server's scoreboard says it; reason: a word that says why it is a hold nevertheless.
    """

    symbol: str
    prediction: Signal
    time: datetime
    epoch: str
    seq: int
    prev_seq: int
    confidence: float
    horizon: str
    price_target: float
    direction: Direction
    interval: Interval | None
    model_version: str
    skill: Mapping[str, Any] | None
    valid_until: datetime
    reason: str | None
    source: str
    stale: bool
    snapshot: bool
    conflated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Open, high, low, close and volume from `start` to `time`; date: the session's; final: no trade changes it now."""

    symbol: str
    timeframe: str
    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool
    date: date
    time: datetime
    epoch: str
    seq: int
    source: str
    stale: bool
    snapshot: bool
    conflated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Each old share became `ratio` new ones from the session `effective` on: divide older prices by it."""

    symbol: str
    ratio: float
    effective: date
    time: datetime
    epoch: str
    seq: int
    source: str
    stale: bool
    snapshot: bool
    conflated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The trade at (epoch, of_seq) was wrong: it is now `price`, or cancelled (None)."""

    symbol: str
    of_seq: int
    price: float | None
    time: datetime
    epoch: str
    seq: int
    source: str
    stale: bool
    snapshot: bool
    conflated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something of `symbol` is missing here, and can't be had any more.

    kind: `records` (prices, bars, splits, corrections) or `predictions`, None = maybe both. reason: `not_recovered` =
    after a reconnect the server could not prove that nothing was lost (a snapshot follows); `missing` = the numbers of
    two neighbours don't join. after_seq: the last one that is surely there, None where there was none.
    """

    symbol: str
    kind: Literal["records", "predictions"] | None
    reason: Literal["not_recovered", "missing"]
    epoch: str
    after_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The server refused something that was asked for, and won't do it; all else goes on.

    code: a stable word, such as `unknown_symbol` or `too_many_symbols`; symbols: those that it is about.
    """

    code: str
    message: str
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTriggered:
    """A rule of this user fired. condition and threshold: the rule's event, else its first condition."""

    id: str
    alert_id: str
    symbol: str
    condition: str
    threshold: float | None
    price: float
    message: str
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdate:
    """Something about the account changed; event: such as `password_changed` or `api_key_created`."""

    id: str
    event: str
    timestamp: datetime


Record = Price | Bar | Split | Correction
"""What counts in a symbol's `seq`."""
Message = Record | Prediction | Gap | Problem
"""What a stream of market data yields."""
Notification = AlertTriggered | AccountUpdate
"""What a stream of notifications yields, beside Problem."""

Frame = Mapping[str, Any]
"""One JSON object of the wire."""


def read(frame: Frame) -> Record | Prediction | Notification | None:
    """The message that `frame` is; None for a type that this client doesn't know. Raises Garbled."""
    reader = _READERS.get(frame["type"])
    if reader is None:
        return None
    try:
        return reader(frame)
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled(f"the server sent a {frame['type']} that is none: {error!r}") from None


def _place(frame: Frame) -> dict[str, Any]:
    """What all records and predictions have."""
    return {
        "symbol": frame["symbol"],
        "time": datetime.fromisoformat(frame["time"]),
        "epoch": frame["epoch"],
        "seq": frame["seq"],
        "source": frame.get("source", ""),
        "stale": frame.get("stale", False),
        "snapshot": frame.get("snapshot", False),
        "conflated": frame.get("conflated", 0),
    }


def _price(frame: Frame) -> Price:
    return Price(price=frame["price"], volume=frame.get("volume"), trade_id=frame.get("trade_id"), **_place(frame))


def _prediction(frame: Frame) -> Prediction:
    interval = frame.get("interval")
    return Prediction(
        prediction=frame["prediction"],
        prev_seq=frame["prev_seq"],
        confidence=frame["confidence"],
        horizon=frame["horizon"],
        price_target=frame["price_target"],
        direction=frame["direction"],
        interval=None
        if interval is None
        else Interval(low=interval["low"], high=interval["high"], coverage=interval["coverage"]),
        model_version=frame["model_version"],
        skill=frame.get("skill"),
        valid_until=datetime.fromisoformat(frame["valid_until"]),
        reason=frame.get("reason"),
        **_place(frame),
    )


def _bar(frame: Frame) -> Bar:
    return Bar(
        timeframe=frame["timeframe"],
        start=datetime.fromisoformat(frame["start"]),
        open=frame["open"],
        high=frame["high"],
        low=frame["low"],
        close=frame["close"],
        volume=frame["volume"],
        final=frame["final"],
        date=date.fromisoformat(frame["date"]),
        **_place(frame),
    )


def _split(frame: Frame) -> Split:
    return Split(ratio=frame["ratio"], effective=date.fromisoformat(frame["effective"]), **_place(frame))


def _correction(frame: Frame) -> Correction:
    return Correction(of_seq=frame["of_seq"], price=frame["price"], **_place(frame))


def _alert(frame: Frame) -> AlertTriggered:
    return AlertTriggered(
        id=frame["id"],
        alert_id=frame["alert_id"],
        symbol=frame["symbol"],
        condition=frame["condition"],
        threshold=frame["threshold"],
        price=frame["price"],
        message=frame["message"],
        timestamp=datetime.fromisoformat(frame["timestamp"]),
    )


def _account(frame: Frame) -> AccountUpdate:
    return AccountUpdate(id=frame["id"], event=frame["event"], timestamp=datetime.fromisoformat(frame["timestamp"]))


_READERS: Final[Mapping[str, Callable[[Frame], Record | Prediction | Notification]]] = {
    "stock_price_update": _price,
    "prediction_update": _prediction,
    "bar": _bar,
    "split": _split,
    "correction": _correction,
    "alert_triggered": _alert,
    "account_update": _account,
}
