"""What somebody asks to be told of: is it a rule? Everything wrong with it is named at once.

A change of a rule is the rule as it would be, checked like a new one, and the answer to one question: does it begin
anew? Then what fired before counts no more, the rule is armed and counts from the record at which its owner takes it
in. It does where its conditions, symbol, trigger, hysteresis or hours changed, where it is not paused any more, where
an expired one has got more time, and where somebody says `paused: false` of a rule that has fired. Anything else leaves
the latch, the cooldown and the sides as they are.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Literal, get_args

import msgspec

from services.shared.alert_limits import (
    MOST_CHANNELS,
    MOST_CONDITIONS,
    MOST_COOLDOWN_S,
    MOST_HYSTERESIS_PCT,
    MOST_MESSAGE,
    MOST_SNOOZE_S,
)
from services.shared.errors import FieldError, InvalidInput
from services.shared.events import parse_time, rfc3339
from services.users.core.asked import Asked, AskedCondition, wrong_condition
from services.users.core.condition import Source
from services.users.core.conditions import AnyCondition, decode_conditions
from services.users.core.delivery_channels import WEBSOCKET
from services.users.core.instants import later
from services.users.core.rules import Rule, Trigger
from services.users.core.templates import wrong_template

Status = Literal["active", "pending", "paused", "fired", "expired"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule that is one, save that its symbol may still be as it was typed. Times: RFC 3339, UTC, six decimals."""

    symbol: str
    conditions: tuple[AnyCondition, ...]
    trigger: Trigger
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: tuple[str, ...]
    market_hours_only: bool = False
    snoozed_until: str | None = None

    @property
    def source(self) -> Source:
        """The topic that it waits on."""
        return self.conditions[0].source

    def rule(self, rule_id: str, user_id: str, symbol: str) -> Rule:
        """Its first version. symbol: as the feed calls it."""
        return Rule(
            id=rule_id,
            version=1,
            user_id=user_id,
            symbol=symbol,
            conditions=self.conditions,
            trigger=self.trigger,
            cooldown_s=self.cooldown_s,
            hysteresis_pct=self.hysteresis_pct,
            expires_at=self.expires_at,
            message=self.message,
            market_hours_only=self.market_hours_only,
            snoozed_until=self.snoozed_until,
        )


def checked(asked: Asked) -> Draft:
    """The rule that was asked for. Raises InvalidInput that names every field that is wrong."""
    errors: list[FieldError] = []
    draft = Draft(
        symbol=asked.symbol,
        conditions=_conditions(asked.conditions, errors),
        trigger=_trigger(asked.trigger, errors),
        cooldown_s=asked.cooldown_s,
        hysteresis_pct=asked.hysteresis_pct,
        expires_at=_instant("expires_at", asked.expires_at, errors),
        message=_message(asked.message, errors),
        channels=_channels(asked.channels, errors),
        market_hours_only=asked.market_hours_only,
        snoozed_until=_instant("snoozed_until", asked.snoozed_until, errors),
    )
    if not 0 <= asked.cooldown_s <= MOST_COOLDOWN_S:
        errors.append(FieldError("cooldown_s", f"must be 0 to {MOST_COOLDOWN_S} seconds"))
    if not 0 <= asked.hysteresis_pct <= MOST_HYSTERESIS_PCT:
        errors.append(FieldError("hysteresis_pct", f"must be 0 to {MOST_HYSTERESIS_PCT:g}"))
    if asked.snooze_s is not None and not 0 <= asked.snooze_s <= MOST_SNOOZE_S:
        errors.append(FieldError("snooze_s", f"must be 0 to {MOST_SNOOZE_S} seconds"))
    if asked.snooze_s is not None and asked.snoozed_until is not None:
        errors.append(FieldError("snooze_s", "name either snooze_s or snoozed_until"))
    if errors:
        raise refused(errors)
    return draft


def timed(asked: Asked, draft: Draft, clock: str) -> Draft:
    """The draft by the feed's clock (RFC 3339; empty = unknown). Raises InvalidInput.

    A rule that would have expired already is none; a snooze of so many seconds begins now.
    """
    if draft.expires_at is not None and clock and draft.expires_at <= clock:
        raise refused([FieldError("expires_at", f"is already past: the feed's clock stands at {clock}")])
    if asked.snooze_s is None:
        return draft
    if not clock:
        raise refused([FieldError("snooze_s", "can't be counted before the feed's clock runs: name snoozed_until")])
    return replace(draft, snoozed_until=later(clock, asked.snooze_s) if asked.snooze_s else None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a rule that is changed. anew: it has a new version, and is armed."""

    status: Status
    anew: bool


def outcome(status: Status, before: Draft, after: Draft, *, paused: bool | None) -> Outcome:
    """What becomes of a rule in `status` that is changed. paused: what was said of it, if anything."""
    defined = _definition(before) != _definition(after)
    looked_at = (before.hysteresis_pct, before.market_hours_only) != (after.hysteresis_pct, after.market_hours_only)
    live = status in ("active", "pending")
    if paused or (paused is None and status == "paused"):
        return Outcome("paused", defined or looked_at)
    if not live and (paused is False or defined or (status == "expired" and before.expires_at != after.expires_at)):
        return Outcome("pending", True)
    if live and (defined or looked_at):
        return Outcome("pending", True)
    return Outcome(status, False)


def refused(errors: Sequence[FieldError]) -> InvalidInput:
    return InvalidInput(f"{errors[0].loc}: {errors[0].msg}", code="bad_alert", errors=tuple(errors))


def _definition(draft: Draft) -> tuple[object, ...]:
    return draft.symbol, draft.conditions, draft.trigger


def _conditions(asked: Sequence[AskedCondition], errors: list[FieldError]) -> tuple[AnyCondition, ...]:
    if not 1 <= len(asked) <= MOST_CONDITIONS:
        errors.append(FieldError("conditions", f"must be 1 to {MOST_CONDITIONS} conditions"))
        return ()
    wrong = [error for number, each in enumerate(asked) for error in wrong_condition(each, f"conditions.{number}")]
    if wrong:
        errors += wrong
        return ()
    conditions = decode_conditions(msgspec.json.encode(asked))
    if sum(each.event for each in conditions) > 1:
        errors.append(FieldError("conditions", "at most one of them may be an event (a crossing or the like)"))
    if len({each.source for each in conditions}) > 1:
        errors.append(FieldError("conditions", "must be all on prices or all on predictions"))
    return conditions


def _trigger(asked: str, errors: list[FieldError]) -> Trigger:
    known: tuple[Trigger, ...] = get_args(Trigger)
    for trigger in known:
        if trigger == (asked or "once"):
            return trigger
    errors.append(FieldError("trigger", f"must be one of {', '.join(known)}"))
    return "once"


def _instant(name: str, asked: str | None, errors: list[FieldError]) -> str | None:
    if asked is None:
        return None
    try:
        when = parse_time(asked)
        if when.tzinfo is None:
            raise ValueError
        return rfc3339(when.astimezone(UTC))
    except (ValueError, OverflowError):
        errors.append(FieldError(name, "must be a time with its offset, such as 2026-01-31T16:00:00Z"))
        return None


def _message(asked: str | None, errors: list[FieldError]) -> str | None:
    if asked is None or not asked.strip():
        return None
    if len(asked) > MOST_MESSAGE or any(unicodedata.category(each) == "Cc" and each != "\n" for each in asked):
        errors.append(FieldError("message", f"must be up to {MOST_MESSAGE} characters without control characters"))
    elif (wrong := wrong_template(asked)) is not None:
        errors.append(FieldError("message", wrong))
    return asked


def _channels(asked: tuple[str, ...], errors: list[FieldError]) -> tuple[str, ...]:
    if len(asked) > MOST_CHANNELS:
        errors.append(FieldError("channels", f"must be up to {MOST_CHANNELS}"))
    return tuple(dict.fromkeys(asked)) or (WEBSOCKET,)


def known_or_refused(channels: Sequence[str], known: Sequence[str]) -> None:
    """Raises InvalidInput where a channel is none that the user has."""
    if any(each not in known for each in channels):
        raise refused([FieldError("channels", f"must be of those that you have: {', '.join(known)}")])
