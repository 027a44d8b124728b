"""A rule as it came in: readable, not yet checked. Which fields a type of condition has, and within what bounds."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.shared import alert_limits as limits
from services.shared.errors import FieldError


class AskedCondition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition as it came in; a type has some of the fields (`FIELDS`)."""

    type: str
    threshold: float | None = None
    lower: float | None = None
    upper: float | None = None
    amount: float | None = None
    percent: float | None = None
    window_s: int | None = None
    days: int | None = None
    times: float | None = None
    bars: int | None = None
    to: str | None = None
    after_s: int | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were given, without the type."""
        found = ((name, getattr(self, name)) for name in self.__struct_fields__[1:])
        return {name: value for name, value in found if value is not None}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it came in. snooze_s: of the feed's clock, instead of snoozed_until."""

    symbol: str
    conditions: tuple[AskedCondition, ...]
    trigger: str = ""
    cooldown_s: int = 0
    hysteresis_pct: float = 0.0
    expires_at: str | None = None
    message: str | None = None
    channels: tuple[str, ...] = ()
    market_hours_only: bool = False
    snoozed_until: str | None = None
    snooze_s: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a field may be. Numbers: above `above` (or equal, where `closed`), up to `most` (below it, where `open`)."""

    says: str
    above: float = 0.0
    most: float = 0.0
    closed: bool = False
    open: bool = False
    words: tuple[str, ...] = ()
    needed: bool = True

    def admit(self, value: object) -> bool:
        if isinstance(value, str):
            return value in self.words
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        enough = value >= self.above if self.closed else value > self.above
        return enough and (value < self.most if self.open else value <= self.most)


def _whole(most: int, unit: str) -> Bounds:
    return Bounds(f"must be 1 to {most} {unit}", 1, most, closed=True)


_PRICE: Final = Bounds(f"must be a price above 0 and below {limits.MOST_PRICE:.0f}", 0, limits.MOST_PRICE, open=True)
_AMOUNT: Final = Bounds(_PRICE.says, 0, limits.MOST_PRICE, open=True, needed=False)
_PERCENT: Final = Bounds(
    f"must be above 0 and up to {limits.MOST_PERCENT:g} percent", 0, limits.MOST_PERCENT, needed=False
)
_TIMES: Final = Bounds(f"must be above 0 and up to {limits.MOST_TIMES:g}", 0, limits.MOST_TIMES)
_SHARE: Final = Bounds("must be 0 to 1", 0, 1, closed=True)
_WORD: Final = Bounds(f"must be one of {', '.join(limits.PREDICTIONS)}", words=limits.PREDICTIONS, needed=False)

_LINE: Final = {"threshold": _PRICE}
_CHANNEL: Final = {"lower": _PRICE, "upper": _PRICE}
_MOVE: Final = {"amount": _AMOUNT, "percent": _PERCENT, "window_s": _whole(limits.MOST_WINDOW_S, "seconds")}
_RECORD: Final = {"days": _whole(limits.MOST_DAYS, "days")}

FIELDS: Final[Mapping[str, Mapping[str, Bounds]]] = {
    "greater_than": _LINE,
    "less_than": _LINE,
    "crossing": _LINE,
    "crossing_up": _LINE,
    "crossing_down": _LINE,
    "entering_channel": _CHANNEL,
    "exiting_channel": _CHANNEL,
    "moving_up": _MOVE,
    "moving_down": _MOVE,
    "new_high": _RECORD,
    "new_low": _RECORD,
    "volume_above": {"times": _TIMES, "bars": _whole(limits.MOST_BARS, "bars")},
    "prediction_changed": {"to": _WORD},
    "confidence_above": {"threshold": _SHARE},
    "stale": {"after_s": _whole(limits.MOST_AFTER_S, "seconds")},
}
"""What a condition of each type is made of."""


def wrong_condition(asked: AskedCondition, path: str) -> Iterator[FieldError]:
    """Everything that is wrong with one condition. path: where it stands, such as `conditions.0`."""
    fields, given = FIELDS.get(asked.type), asked.given()
    if fields is None:
        yield FieldError(f"{path}.type", f"must be one of {', '.join(FIELDS)}")
        return
    for name in given.keys() - fields.keys():
        yield FieldError(f"{path}.{name}", f"is nothing that {asked.type} has")
    for name, bounds in fields.items():
        if (name in given and not bounds.admit(given[name])) or (name not in given and bounds.needed):
            yield FieldError(f"{path}.{name}", bounds.says)
    if fields is _MOVE and ("amount" in given) == ("percent" in given):
        yield FieldError(f"{path}.amount", "name either amount or percent")
    if fields is _CHANNEL and asked.lower is not None and asked.upper is not None and not asked.lower < asked.upper:
        yield FieldError(f"{path}.upper", "must be above lower")
