"""What a notification says, and the events that carry it."""

from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from services.shared.events import AccountUpdated, AlertTriggered, SessionRevoked, rfc3339, seconds
from services.users.core.journal import Firing, Rescaled

_NAMES: Final = UUID("8f0e9f0c-6a53-5d0e-9c5b-6c1d2a7b4e31")
"""The namespace of our name-based ids: the same cause always gets the same id."""

_PHRASES: Final = {
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
        return firing.rule.message
    phrase = _PHRASES[firing.condition.type]
    threshold = "" if firing.threshold is None else f" {money(firing.threshold)}"
    return f"{firing.rule.symbol} {phrase}{threshold}: now {money(firing.price)}"


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
