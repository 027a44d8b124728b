"""Why a rule has not fired: its state, and how far each of its conditions is from holding.

Told from what was stored at the last checkpoint, so it may be a second behind the engine. Bars and the feed's clock are
not stored with it: of conditions that look at them nothing is known where stock_data does not tell them (`Beside`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from services.users.core.bars import Bars, Past
from services.users.core.channels import Channel
from services.users.core.condition import Condition, Way, rounded, share_below
from services.users.core.crossings import Crossing, CrossingDown, CrossingUp
from services.users.core.extremes import Extreme
from services.users.core.hours import longest_silence
from services.users.core.lane import Side
from services.users.core.levels import Level
from services.users.core.moment import Moment, Timeframe
from services.users.core.moves import Move
from services.users.core.rules import Rule, RuleState, is_back, pauses_until
from services.users.core.signals import ConfidenceAbove
from services.users.core.stale import Stale
from services.users.core.symbol_alerts import SymbolSide, decode_side
from services.users.core.volume import VolumeAbove

Where = Literal["above", "below", "on", "inside", "outside"]

_UNTOLD: Final = (Extreme, VolumeAbove, Stale)


@dataclass(frozen=True, slots=True)
class Beside:
    """What the engine knows beside its checkpoint.

    days: completed ones; bars: those that volumes are compared in, of the timeframe `bar`; both final before
    `known_before`, in the shares of then. clock: the feed's, RFC 3339.
    """

    days: Sequence[Past]
    bars: Sequence[Past]
    bar: Timeframe
    clock: str


def looks_beside(rule: Rule) -> bool:
    """Has it a condition that can't be told without `Beside`?"""
    return any(isinstance(each, _UNTOLD) for each in rule.conditions)


def looks_back(rule: Rule) -> tuple[int, int]:
    """How many completed days, and how many bars that volumes are compared in, its conditions look back at."""
    days = (each.days for each in rule.conditions if isinstance(each, Extreme))
    bars = (each.bars + 1 for each in rule.conditions if isinstance(each, VolumeAbove))
    return max(days, default=0), max(bars, default=0)


def known_before(stored: bytes) -> str:
    """Bars that were final before that instant have been seen; empty where nothing has. stored: as for `explain`."""
    return decode_side(stored).known_before if stored else ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A condition, where things stand now. holds: None = can't be told from here.

    value: what is compared (the last price, a confidence); line: what it is compared with; distance: line - value, in
    percent of the value too; rearms_at: of a latched rule, where the value has to go back to.
    """

    type: str
    holds: bool | None
    event: bool
    side: Where | None = None
    value: float | None = None
    line: float | None = None
    distance: float | None = None
    distance_pct: float | None = None
    rearms_at: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rule stands. Times: RFC 3339, on the feed's clock.

    would_fire: if the next record brought the same price again; None = can't be told from here. why_not: words, see
    `_why_not`. seen_at: of the last record that is known here.
    """

    state: str
    latched: bool
    would_fire: bool | None
    why_not: tuple[str, ...]
    cooling_until: str | None
    snoozed_until: str | None
    expires_at: str | None
    last_price: float | None
    previous_price: float | None
    seen_at: str | None
    conditions: tuple[Reading, ...]


def explain(rule: Rule, state: RuleState, status: str, stored: bytes, beside: Beside | None = None) -> Explanation:
    """stored: what the engine has checkpointed of the symbol (`SymbolAlerts.state`); empty where there is nothing."""
    side = _side(rule, stored)
    now = _moment(side, state, beside)
    untold = () if beside else _UNTOLD
    readings = tuple(_reading(each, rule, state.way, now, untold) for each in rule.conditions)
    why_not = tuple(_why_not(rule, state, status, now, readings))
    open_ = any(each.holds is None for each in readings)
    return Explanation(
        state=why_not[0] if why_not and why_not[0] in _STATES else "armed",
        latched=bool(state.way),
        would_fire=False if why_not else None if open_ else True,
        why_not=why_not,
        cooling_until=state.cooling_until or None,
        snoozed_until=rule.snoozed_until,
        expires_at=rule.expires_at,
        last_price=now.price,
        previous_price=side.before,
        seen_at=now.time or None,
        conditions=readings,
    )


_STATES: Final = ("paused", "pending", "fired", "expired", "snoozed", "cooling_down", "latched")


def _why_not(rule: Rule, state: RuleState, status: str, now: Moment, readings: tuple[Reading, ...]) -> list[str]:
    """What keeps it from firing, the most lasting first: a word of `_STATES`, `no_price_yet`, `condition_0` ..."""
    found: list[str] = []
    if status != "active":
        found.append(status)
    if now.time and now.time < pauses_until(rule, state):
        found.append("snoozed" if now.time < (rule.snoozed_until or "") else "cooling_down")
    if state.way and not is_back(rule, state.way, now):
        found.append("latched")
    if now.price is None and rule.source == "prices":
        found.append("no_price_yet")
    found += [f"condition_{number}" for number, each in enumerate(readings) if each.holds is False]
    return found


def _side(rule: Rule, stored: bytes) -> Side:
    """What the rule has seen of its symbol."""
    whole = decode_side(stored) if stored else SymbolSide()
    if not rule.market_hours_only:
        return whole
    if whole.regular is not None:
        return whole.regular
    price, time = whole.session or (None, "")
    return Side(price=price, time=time)


def _moment(side: Side, state: RuleState, beside: Beside | None) -> Moment:
    days, bars, bar = Bars(), Bars(), beside.bar if beside else "1d"
    if beside:
        days.replace(beside.days)
        bars.replace(beside.bars)
    now = Moment(bar, days, bars, side.windows)
    if beside and side.time:
        now.silence = max(0.0, longest_silence(side.time, max(side.time, beside.clock)))
    now.price = now.before = side.price
    now.time = max(side.time, side.bar)
    now.since = state.since
    now.prediction = now.was = side.prediction
    now.confidence = side.confidence
    return now


def _reading(condition: Condition, rule: Rule, way: Way, now: Moment, untold: tuple[type[Condition], ...]) -> Reading:
    line, value = _line(condition, now), None if isinstance(condition, untold) else _value(condition, now)
    known = value is not None and line is not None
    distance = rounded(line - value) if value is not None and line is not None else None
    return Reading(
        type=condition.type,
        holds=None if isinstance(condition, untold) else condition.holds(now),
        event=condition.event,
        side=_where(condition, value, line) if known else None,
        value=value,
        line=line,
        distance=distance,
        distance_pct=round(100 * distance / value, 4) if distance is not None and value else None,
        rearms_at=_rearms_at(condition, rule, way),
    )


def _value(condition: Condition, now: Moment) -> float | None:
    match condition:
        case ConfidenceAbove():
            return now.confidence
        case VolumeAbove():
            return condition.ratio(now)
        case Stale():
            return round(now.silence, 3)
    return None if condition.type == "prediction_changed" else now.price


def _line(condition: Condition, now: Moment) -> float | None:
    match condition:
        case Extreme():
            return condition.line(now)
        case VolumeAbove(times=times):
            return times
        case Level() | CrossingUp() | CrossingDown() | Crossing() | ConfidenceAbove():
            return condition.threshold
        case Channel(lower=lower, upper=upper):
            return lower if now.price is not None and abs(now.price - lower) < abs(now.price - upper) else upper
        case Move():
            return condition.line(now)
        case Stale(after_s=after_s):
            return float(after_s)
    return None


def _where(condition: Condition, value: float | None, line: float | None) -> Where | None:
    if value is None or line is None:
        return None
    if isinstance(condition, Channel):
        return "inside" if condition.lower <= value <= condition.upper else "outside"
    return "above" if value > line else "below" if value < line else "on"


def _rearms_at(condition: Condition, rule: Rule, way: Way) -> float | None:
    """Where the value has to go back to, for a rule that fired going `way`."""
    if not way or (rule.event is not None and rule.event != condition):
        return None
    if isinstance(condition, Level | CrossingUp | CrossingDown | Crossing | ConfidenceAbove):
        return share_below(condition.threshold, way if condition.event else condition.up, rule.hysteresis_pct)
    return None
