"""What a notification says, and the events that carry it."""

from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from services.shared.events import AccountUpdated, AlertTriggered, SessionRevoked, rfc3339, seconds
from services.users.core.channels import Channel
from services.users.core.extremes import Extreme
from services.users.core.journal import Firing, Rescaled
from services.users.core.moves import Move
from services.users.core.signals import ConfidenceAbove, PredictionChanged
from services.users.core.stale import Stale
from services.users.core.templates import filled
from services.users.core.volume import VolumeAbove

_NAMES: Final = UUID("8f0e9f0c-6a53-5d0e-9c5b-6c1d2a7b4e31")
"""The namespace of our name-based ids: the same cause always gets the same id."""

_LINES: Final = {
    "greater_than": "is above",
    "less_than": "is below",
    "crossing_up": "crossed up through",
    "crossing_down": "crossed down through",
    "crossing": "crossed",
}


def money(price: float) -> str:
    """`price` as people write it: two decimals at least, more only where there are more."""
    exact = Decimal(repr(price))
    _, _, exponent = exact.as_tuple()
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{exact:.{decimals}f}"


def message(firing: Firing) -> str:
    """The rule's own text, else a sentence such as `AAPL crossed up through 150.00: now 151.75`."""
    if firing.rule.message is not None:
        return filled(firing.rule.message, _values(firing))
    return f"{firing.rule.symbol} {_what(firing)}"


def _values(firing: Firing) -> dict[str, str]:
    """By the name of a placeholder; what there is none of is empty."""
    return {
        "symbol": firing.rule.symbol,
        "price": money(firing.price),
        "previous_price": "" if firing.before is None else money(firing.before),
        "threshold": "" if firing.threshold is None else money(firing.threshold),
        "condition": firing.condition.type.replace("_", " "),
        "time": seconds(firing.time),
    }


def _what(firing: Firing) -> str:
    """What happened to the symbol, as the rest of a sentence."""
    now = f"now {money(firing.price)}"
    match firing.condition:
        case Channel() as channel:
            did = "came into" if channel.type == "entering_channel" else "left"
            return f"{did} {money(channel.lower)} to {money(channel.upper)}: {now}"
        case Move() as move:
            far = f"{move.percent:g} %" if move.amount is None else money(move.amount)
            went = "rose" if move.type == "moving_up" else "fell"
            return f"{went} by at least {far} within {move.window_s} s: {now}"
        case Extreme() as extreme:
            line, beyond = ("high", "above") if extreme.type == "new_high" else ("low", "below")
            at = "" if firing.threshold is None else f", {money(firing.threshold)}"
            return f"is {beyond} the {line} of {extreme.days} days{at}: {now}"
        case VolumeAbove(times=times, bars=bars):
            return f"traded more than {times:g} times the average volume of {bars} bars: {now}"
        case PredictionChanged():
            return f"is predicted anew: {firing.text}"
        case ConfidenceAbove(threshold=threshold):
            return f"has a prediction with a confidence above {threshold:g}"
        case Stale(after_s=after_s):
            return f"has had no price for {after_s} s: last {money(firing.price)}"
    line = "" if firing.threshold is None else f" {money(firing.threshold)}"
    return f"{_LINES[firing.condition.type]}{line}: {now}"


def triggered(firing: Firing) -> AlertTriggered:
    """The notification of a firing. Its id is known by rule, version, epoch and seq: a repeat has the same."""
    rule = firing.rule
    return AlertTriggered(
        id=str(uuid5(_NAMES, f"firing {rule.id} {rule.version} {firing.epoch} {firing.seq}")),
        alert_id=rule.id,
        symbol=rule.symbol,
        condition=firing.condition.type,
        threshold=firing.threshold,
        price=firing.price,
        message=message(firing),
        timestamp=seconds(firing.time),
        user_id=rule.user_id,
        rule_version=rule.version,
        epoch=firing.epoch,
        seq=firing.seq,
        previous_price=firing.before,
    )


def rescaled(change: Rescaled) -> AccountUpdated:
    """The notification that a split has changed the thresholds of a user's rules on one symbol."""
    name = f"rescaled {change.user_id} {change.symbol} {change.epoch} {change.seq}"
    return AccountUpdated(
        id=str(uuid5(_NAMES, name)),
        event="alert_rescaled",
        timestamp=seconds(change.time),
        user_id=change.user_id,
    )


def account_updated(notice_id: str, user_id: str, event: str, now: datetime) -> AccountUpdated:
    """The notification that a person has changed something about their account. event: a word of the contract."""
    return AccountUpdated(id=notice_id, event=event, timestamp=seconds(rfc3339(now)), user_id=user_id)


def session_revoked(notice_id: str, user_id: str, session_id: str, version: int, now: datetime) -> SessionRevoked:
    """What the gateways are told; session_id: empty = every login with tokens of a version below `version`."""
    return SessionRevoked(
        id=notice_id, user_id=user_id, session_id=session_id, version=version, timestamp=seconds(rfc3339(now))
    )
