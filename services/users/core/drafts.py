"""What somebody asks to be told of: is it a rule? Everything wrong with it is named at once."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final, get_args

import msgspec

from services.shared.errors import FieldError, InvalidInput
from services.shared.events import parse_time, rfc3339
from services.users.core.conditions import KINDS, Condition
from services.users.core.rules import Trigger

MOST_CONDITIONS: Final = 5
MOST_COOLDOWN_S: Final = 366 * 86_400
MOST_HYSTERESIS_PCT: Final = 50.0
MOST_THRESHOLD: Final = 1e9
MOST_MESSAGE: Final = 500
CHANNELS: Final = ("websocket",)


class AskedCondition(msgspec.Struct, frozen=True):
    """A condition as it came in."""

    type: str
    threshold: float | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it came in: readable, not yet checked."""

    symbol: str
    conditions: tuple[AskedCondition, ...]
    trigger: str = ""
    cooldown_s: int = 0
    hysteresis_pct: float = 0.0
    expires_at: str | None = None
    message: str | None = None
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule that is one, save that its symbol is still as it was typed. expires_at: RFC 3339, UTC, six decimals."""

    symbol: str
    conditions: tuple[Condition, ...]
    trigger: Trigger
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: tuple[str, ...]


def checked(asked: Asked) -> Draft:
    """The rule that was asked for. Raises InvalidInput that names every field that is wrong."""
    errors: list[FieldError] = []
    draft = Draft(
        symbol=asked.symbol,
        conditions=_conditions(asked.conditions, errors),
        trigger=_trigger(asked.trigger, errors),
        cooldown_s=asked.cooldown_s,
        hysteresis_pct=asked.hysteresis_pct,
        expires_at=_instant(asked.expires_at, errors),
        message=_message(asked.message, errors),
        channels=_channels(asked.channels, errors),
    )
    if not 0 <= asked.cooldown_s <= MOST_COOLDOWN_S:
        errors.append(FieldError("cooldown_s", f"must be 0 to {MOST_COOLDOWN_S} seconds"))
    if not 0 <= asked.hysteresis_pct <= MOST_HYSTERESIS_PCT:
        errors.append(FieldError("hysteresis_pct", f"must be 0 to {MOST_HYSTERESIS_PCT:g}"))
    if errors:
        raise _invalid(errors)
    return draft


def not_yet_over(draft: Draft, clock: str) -> None:
    """Raises InvalidInput where the rule would expire at or before `clock` (RFC 3339, the feed's; empty = unknown)."""
    if draft.expires_at is not None and clock and draft.expires_at <= clock:
        raise _invalid([FieldError("expires_at", f"is already past: the feed's clock stands at {clock}")])


def _invalid(errors: list[FieldError]) -> InvalidInput:
    return InvalidInput(f"{errors[0].loc}: {errors[0].msg}", code="bad_alert", errors=tuple(errors))


def _conditions(asked: Sequence[AskedCondition], errors: list[FieldError]) -> tuple[Condition, ...]:
    if not 1 <= len(asked) <= MOST_CONDITIONS:
        errors.append(FieldError("conditions", f"must be 1 to {MOST_CONDITIONS} conditions"))
        return ()
    found: list[Condition] = []
    for number, each in enumerate(asked):
        kind, threshold = KINDS.get(each.type), each.threshold
        if kind is None:
            errors.append(FieldError(f"conditions.{number}.type", f"must be one of {', '.join(KINDS)}"))
        if threshold is None or not math.isfinite(threshold) or not 0 < threshold < MOST_THRESHOLD:
            errors.append(
                FieldError(f"conditions.{number}.threshold", f"must be a price above 0 and below {MOST_THRESHOLD:.0f}")
            )
        elif kind is not None:
            found.append(kind(threshold))
    if sum(each.event for each in found) > 1:
        errors.append(FieldError("conditions", "at most one of them may be a crossing"))
    return tuple(found)


def _trigger(asked: str, errors: list[FieldError]) -> Trigger:
    known: tuple[Trigger, ...] = get_args(Trigger)
    for trigger in known:
        if trigger == (asked or "once"):
            return trigger
    errors.append(FieldError("trigger", f"must be one of {', '.join(known)}"))
    return "once"


def _instant(asked: str | None, errors: list[FieldError]) -> str | None:
    if asked is None:
        return None
    try:
        when = parse_time(asked)
        if when.tzinfo is None:
            raise ValueError
        return rfc3339(when.astimezone(UTC))
    except (ValueError, OverflowError):
        errors.append(FieldError("expires_at", "must be a time with its offset, such as 2026-01-31T16:00:00Z"))
        return None


def _message(asked: str | None, errors: list[FieldError]) -> str | None:
    if asked is None or not asked.strip():
        return None
    if len(asked) > MOST_MESSAGE or any(unicodedata.category(each) == "Cc" and each != "\n" for each in asked):
        errors.append(FieldError("message", f"must be up to {MOST_MESSAGE} characters without control characters"))
    return asked


def _channels(asked: tuple[str, ...], errors: list[FieldError]) -> tuple[str, ...]:
    if any(each not in CHANNELS for each in asked):
        errors.append(FieldError("channels", f"must be one of {', '.join(CHANNELS)}"))
    return tuple(dict.fromkeys(asked)) or CHANNELS
