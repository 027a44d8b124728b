"""A rule, and how it decides at one moment: conditions, latch, pauses.

An armed rule fires when all its conditions hold. Firing latches it: it is armed again once things have gone back past
the line (of the event where it has one, else of any of its states), by `hysteresis_pct` where that is given. Nothing
fires while it pauses (cooldown, once_per_minute, once_per_bar, snooze), but an armed state that still holds afterwards
does.

| state   | conditions | pausing | things are back | then              |
|---------|------------|---------|-----------------|-------------------|
| armed   | hold       | no      |                 | fires -> latched  |
| armed   | hold       | yes     |                 | waits, stays armed|
| armed   | don't hold |         |                 | stays armed       |
| latched |            |         | no              | stays latched     |
| latched |            |         | yes             | as armed          |
"""

from collections.abc import Collection
from enum import Enum
from typing import Literal, Self

import msgspec

from services.users.core.condition import Key, Source
from services.users.core.conditions import AnyCondition, Condition, Way
from services.users.core.extremes import Extreme
from services.users.core.hours import end_of_bar
from services.users.core.instants import later
from services.users.core.moment import Moment
from services.users.core.volume import VolumeAbove

Trigger = Literal["once", "every_time", "once_per_minute", "once_per_bar"]


class Rule(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What somebody wants to hear of. (id, version) names these very conditions.

    expires_at, snoozed_until: RFC 3339, on tick time. market_hours_only: prices outside sessions are not seen at all.
    """

    id: str
    version: int
    user_id: str
    symbol: str
    conditions: tuple[AnyCondition, ...]
    trigger: Trigger = "once"
    cooldown_s: int = 0
    hysteresis_pct: float = 0.0
    expires_at: str | None = None
    message: str | None = None
    market_hours_only: bool = False
    snoozed_until: str | None = None

    @property
    def source(self) -> Source:
        """The topic that it waits on."""
        return self.conditions[0].source

    @property
    def event(self) -> Condition | None:
        """The one condition that is an event, where there is one."""
        for each in self.conditions:
            if each.event:
                return each
        return None

    @property
    def headline(self) -> Condition:
        """The condition that a notification names: the event, else the first."""
        return self.event or self.conditions[0]

    def lines(self) -> Collection[tuple[Key, float]]:
        """Every line of a gauge at which the rule can change its mind, each once."""
        if len(self.conditions) == 1:
            return self.conditions[0].lines(self.hysteresis_pct)
        return {line for each in self.conditions for line in each.lines(self.hysteresis_pct)}

    def after_split(self, ratio: float) -> Self:
        """The same rule at prices after a split (`ratio` new shares for an old one)."""
        return msgspec.structs.replace(self, conditions=tuple(each.after_split(ratio) for each in self.conditions))


class RuleState(msgspec.Struct, omit_defaults=True, gc=False):
    """What a rule remembers between records. way: 0 = armed, else latched since things went up (1) or down (-1).

    cooling_until: RFC 3339 of tick time, empty where nothing cools. since: time of the last price before the rule
    counted, empty where there was none.
    """

    way: Way = 0
    cooling_until: str = ""
    since: str = ""


class Outcome(Enum):
    """What a rule made of one moment. WAITS: all holds, but it pauses."""

    QUIET = 0
    FIRES = 1
    WAITS = 2


def decide(rule: Rule, state: RuleState, now: Moment) -> Outcome:
    """One moment for one rule; changes `state`."""
    now.since = state.since
    if state.way and is_back(rule, state.way, now):
        state.way = 0
    if state.way or not all(each.holds(now) for each in rule.conditions):
        return Outcome.QUIET
    if now.time < pauses_until(rule, state):
        return Outcome.QUIET if rule.event else Outcome.WAITS
    state.way = rule.headline.way(now)
    state.cooling_until = _cools_until(rule, now)
    return Outcome.FIRES


def pauses_until(rule: Rule, state: RuleState) -> str:
    """Before that instant nothing fires; empty where nothing holds it back."""
    return max(state.cooling_until, rule.snoozed_until or "")


def is_back(rule: Rule, way: Way, now: Moment) -> bool:
    """Does this moment end the latch of a rule that fired going `way`?"""
    if (event := rule.event) is not None:
        return event.is_back(way, rule.hysteresis_pct, now)
    return any(each.is_back(each.up, rule.hysteresis_pct, now) for each in rule.conditions)


def may_act(rule: Rule, state: RuleState, now: Moment) -> bool:
    """Would another record that changes nothing change anything? True for a state that holds already."""
    now.since = state.since
    if state.way:
        return is_back(rule, state.way, now)
    return rule.event is None and all(each.holds(now) for each in rule.conditions)


def looks_back(rule: Rule) -> bool:
    """Does it compare with completed bars?"""
    return any(isinstance(each, Extreme | VolumeAbove) for each in rule.conditions)


def unsettled(rule: Rule, state: RuleState, now: Moment) -> bool:
    """Has it to be looked at again at the next record, whatever the gauges say?"""
    return any(each.unsettled(state.way, rule.hysteresis_pct, now) for each in rule.conditions)


def _cools_until(rule: Rule, now: Moment) -> str:
    until = later(now.time, rule.cooldown_s) if rule.cooldown_s else ""
    if rule.trigger == "once_per_minute":
        return max(until, end_of_bar(now.time, "1m"))
    if rule.trigger == "once_per_bar":
        return max(until, end_of_bar(now.time, now.bar))
    return until
