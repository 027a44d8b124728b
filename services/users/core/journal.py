"""What passes between the engine and whoever stores: rules being watched, and what came of records."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from services.users.core.conditions import Condition
from services.users.core.rules import Rule, RuleState


class Watch(msgspec.Struct, eq=False, array_like=True, gc=False):
    """A rule in memory with its state. status: what the engine has made of it. waiting: a timer will look at it."""

    rule: Rule
    state: RuleState = msgspec.field(default_factory=RuleState)
    status: Literal["active", "fired", "expired"] = "active"
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule fired at the record (epoch, seq); at a silence, that is the last one before it.

    condition: the one that a notification names, threshold: the number that it shows; before: the price of the tick
    before, None for the first one; text: a prediction, where the rule waits for one; silent: no record caused it.
    """

    rule: Rule
    condition: Condition
    price: float
    before: float | None
    epoch: str
    seq: int
    time: str
    threshold: float | None = None
    text: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Rescaled:
    """A split changed the thresholds of rules of this user."""

    user_id: str
    symbol: str
    epoch: str
    seq: int
    time: str


@dataclass(slots=True)
class Journal:
    """What came of records and has to be stored: firings in order, rules whose state changed, symbols that moved on."""

    firings: list[Firing] = field(default_factory=list)
    rescaled: list[Rescaled] = field(default_factory=list)
    changed: dict[str, Watch] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """It was stored."""
        self.firings.clear()
        self.rescaled.clear()
        self.changed.clear()
        self.moved.clear()
