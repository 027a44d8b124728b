"""A rule, and how it decides at one tick: conditions, latch, cooldown.

An armed rule fires when all its conditions hold. Firing latches it: it is armed again once its price has gone back past
the line (of the event where it has one, else of any level), by `hysteresis_pct` where that is given. While it cools
down nothing fires, but an armed level that still holds afterwards does.

| state   | conditions | cooling | price is back | then              |
|---------|------------|---------|---------------|-------------------|
| armed   | hold       | no      |               | fires -> latched  |
| armed   | hold       | yes     |               | waits, stays armed|
| armed   | don't hold |         |               | stays armed       |
| latched |            |         | no            | stays latched     |
| latched |            |         | yes           | as armed          |
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Final, Literal, Self

import msgspec

from services.shared.events import parse_time, rfc3339
from services.users.core.conditions import Condition, Way

Trigger = Literal["once", "every_time"]
_LAST_TIME: Final = "9999-12-31T23:59:59.999999Z"


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody wants to hear of. expires_at: RFC 3339, on tick time. (id, version) names these very conditions."""

    id: str
    version: int
    user_id: str
    symbol: str
    conditions: tuple[Condition, ...]
    trigger: Trigger = "once"
    cooldown_s: int = 0
    hysteresis_pct: float = 0.0
    expires_at: str | None = None
    message: str | None = None

    @property
    def event(self) -> Condition | None:
        """The one condition that is an event, where there is one."""
        return next((each for each in self.conditions if each.event), None)

    @property
    def headline(self) -> Condition:
        """The condition that a notification names: the event, else the first."""
        return self.event or self.conditions[0]

    def lines(self) -> set[float]:
        """Every price at which the rule can change its mind."""
        return set().union(*(each.lines(self.hysteresis_pct) for each in self.conditions))

    def after_split(self, ratio: float) -> Self:
        """The same rule at prices after a split (`ratio` new shares for an old one)."""
        return replace(self, conditions=tuple(each.after_split(ratio) for each in self.conditions))


class RuleState(msgspec.Struct, omit_defaults=True):
    """What a rule remembers between ticks. way: 0 = armed, else latched since the price went up (1) or down (-1).

    cooling_until: RFC 3339 of tick time, empty where nothing cools.
    """

    way: Way = 0
    cooling_until: str = ""


class Outcome(Enum):
    """What a rule made of one tick. WAITS: all holds, but it cools down."""

    QUIET = 0
    FIRES = 1
    WAITS = 2


def decide(rule: Rule, state: RuleState, before: float | None, price: float, time: str) -> Outcome:
    """One tick for one rule; changes `state`. before: the price of the symbol's tick before; time: RFC 3339."""
    if state.way and is_back(rule, state.way, price):
        state.way = 0
    if state.way or not all(each.holds(before, price) for each in rule.conditions):
        return Outcome.QUIET
    if time < state.cooling_until:
        return Outcome.QUIET if rule.event else Outcome.WAITS
    state.way = rule.headline.way(before)
    state.cooling_until = later(time, rule.cooldown_s) if rule.cooldown_s else ""
    return Outcome.FIRES


def is_back(rule: Rule, way: Way, price: float) -> bool:
    """Does `price` end the latch of a rule that fired going `way`?"""
    if (event := rule.event) is not None:
        return event.is_back(way, rule.hysteresis_pct, price)
    return any(each.is_back(each.ways[0], rule.hysteresis_pct, price) for each in rule.conditions)


def may_act(rule: Rule, state: RuleState, price: float) -> bool:
    """Would another tick at this same `price` change anything? True for a level that is already there."""
    if state.way:
        return is_back(rule, state.way, price)
    return rule.event is None and all(each.holds(None, price) for each in rule.conditions)


def later(time: str, seconds: int) -> str:
    """`time` (RFC 3339) plus `seconds`, at most the last instant of the year 9999."""
    try:
        return rfc3339(parse_time(time) + timedelta(seconds=seconds))
    except OverflowError:
        return _LAST_TIME
