"""What a rule looks like on its way in: conditions told apart by `type`, each with its own fields and no others."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from services.gateway.backends import AlertWish, Condition
from services.gateway.http.bodies import ExactBody, Text
from services.gateway.http.wording import worded
from services.shared import alert_limits as limits
from services.shared.events import parse_time, rfc3339

Price = Annotated[float, Field(gt=0, lt=limits.MOST_PRICE, description="a price as traded")]


class _Kind(ExactBody):
    """Base of all conditions."""

    def condition(self) -> Condition:
        return Condition(**self.model_dump())


class Level(_Kind):
    """The price is above (below) the threshold."""

    type: Literal["greater_than", "less_than"]
    threshold: Price


class CrossingOf(_Kind):
    """The price crosses the threshold: in any direction, upwards, downwards."""

    type: Literal["crossing", "crossing_up", "crossing_down"]
    threshold: Price


class Channel(_Kind):
    """The price enters or leaves [lower, upper]."""

    type: Literal["entering_channel", "exiting_channel"]
    lower: Price
    upper: Price

    @field_validator("upper")
    @classmethod
    def _above(cls, upper: float, info: Any) -> float:
        if upper <= info.data.get("lower", 0):
            raise ValueError("not above lower")
        return upper


class Move(_Kind):
    """The price is so far above the lowest (below the highest) one of the last `window_s`; amount or percent."""

    type: Literal["moving_up", "moving_down"]
    amount: Price | None = None
    percent: float | None = Field(None, gt=0, le=limits.MOST_PERCENT)
    window_s: int = Field(ge=1, le=limits.MOST_WINDOW_S)

    @model_validator(mode="after")
    def _either(self) -> "Move":
        if (self.amount is None) == (self.percent is None):
            raise ValueError("name either amount or percent")
        return self


class Extreme(_Kind):
    """The price is beyond the high (low) of every one of that many completed days."""

    type: Literal["new_high", "new_low"]
    days: int = Field(ge=1, le=limits.MOST_DAYS)


class Volume(_Kind):
    """A final bar's volume is above `times` the average of that many bars before it."""

    type: Literal["volume_above"]
    times: float = Field(gt=0, le=limits.MOST_TIMES)
    bars: int = Field(ge=1, le=limits.MOST_BARS)


class PredictionChanged(_Kind):
    """The prediction differs from the one before (and is `to`)."""

    type: Literal["prediction_changed"]
    to: Literal["buy", "sell", "hold"] | None = None


class Confidence(_Kind):
    """The prediction's confidence is above the threshold."""

    type: Literal["confidence_above"]
    threshold: float = Field(ge=0, le=1)


class Stale(_Kind):
    """No price came for so long while the market was open."""

    type: Literal["stale"]
    after_s: int = Field(ge=1, le=limits.MOST_AFTER_S)


def _without_tag(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """pydantic names a wrong field by `crossing_up.threshold`, people by `threshold`; a wrong type by `type`."""
    try:
        return handler(value)
    except ValidationError as error:
        wrong = [_renamed(each["type"], worded(each), each["loc"], each["input"]) for each in error.errors()]
        raise ValidationError.from_exception_data(error.title, wrong) from None


def _renamed(kind: str, message: str, loc: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        loc, message = ("type",), f"must be one of {', '.join(TYPES)}"
    else:
        loc = loc[1:]
    plain = message.replace("{", "(").replace("}", ")")
    return InitErrorDetails(type=PydanticCustomError(kind, "{said}", {"said": plain}), loc=loc, input=value)


AnyCondition = Annotated[
    Level | CrossingOf | Channel | Move | Extreme | Volume | PredictionChanged | Confidence | Stale,
    Field(discriminator="type"),
    WrapValidator(_without_tag),
]
TYPES: Final = (
    *("greater_than", "less_than", "crossing", "crossing_up", "crossing_down", "entering_channel", "exiting_channel"),
    *("moving_up", "moving_down", "new_high", "new_low", "volume_above", "prediction_changed", "confidence_above"),
    "stale",
)

_TRIGGER: Final = "every_time: at each occurrence; once_per_bar: of SIGNAL_BAR"
_MESSAGE: Final = (
    "text of your own; " + ", ".join(f"{{{each}}}" for each in limits.PLACEHOLDERS) + " are filled in, {{ is a brace"
)
_CHANNELS: Final = (
    "websocket, and those that you have made. Whatever is named, each notification is listed and pushed to the open "
    "sockets of its user; `websocket` alone: it goes nowhere else"
)


class RuleFields(ExactBody):
    """What a rule has besides its symbol and conditions; each may be left out."""

    trigger: Literal["once", "every_time", "once_per_minute", "once_per_bar"] = Field("once", description=_TRIGGER)
    cooldown_s: int = Field(0, ge=0, le=limits.MOST_COOLDOWN_S)
    hysteresis_pct: float = Field(0.0, ge=0, le=limits.MOST_HYSTERESIS_PCT)
    expires_at: str | None = Field(None, max_length=40, description="on the feed's clock")
    message: Text | None = Field(None, max_length=limits.MOST_MESSAGE, description=_MESSAGE)
    channels: list[Annotated[str, Field(max_length=64)]] = Field(
        default_factory=lambda: ["websocket"], min_length=1, max_length=limits.MOST_CHANNELS, description=_CHANNELS
    )
    market_hours_only: bool = Field(False, description="look at prices of regular sessions only")
    snoozed_until: str | None = Field(None, max_length=40, description="nothing fires before, on the feed's clock")
    snooze_s: int | None = Field(None, ge=0, le=limits.MOST_SNOOZE_S, description="instead of snoozed_until")

    @field_validator("expires_at", "snoozed_until")
    @classmethod
    def _instant(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            when = parse_time(value)
            if when.tzinfo is not None:
                return rfc3339(when)
        except (ValueError, OverflowError):
            pass
        raise ValueError("not a time such as 2030-01-31T16:00:00Z")


class AlertBody(RuleFields):
    """A rule as asked for: `conditions`, or one as `condition`."""

    example: ClassVar[str] = (
        '{"symbol":"AAPL","conditions":[{"type":"crossing_up","threshold":150.0}],"trigger":"once","cooldown_s":60,'
        '"hysteresis_pct":0.5,"expires_at":null,"message":null,"channels":["websocket"]}'
    )

    symbol: str = Field(min_length=1, max_length=64)
    conditions: list[AnyCondition] | None = Field(None, min_length=1, max_length=limits.MOST_CONDITIONS)
    condition: AnyCondition | None = None

    @model_validator(mode="after")
    def _either(self) -> "AlertBody":
        if (self.condition is None) == (self.conditions is None):
            raise ValueError("name either conditions (a list) or condition (one object)")
        return self


class AlertChange(RuleFields):
    """What is to be different; what is left out stays. `null` clears what may be empty."""

    example: ClassVar[str] = '{"paused":false,"conditions":[{"type":"greater_than","threshold":160.0}]}'

    symbol: str = Field(default_factory=str, min_length=1, max_length=64)
    conditions: list[AnyCondition] = Field(default_factory=list, min_length=1, max_length=limits.MOST_CONDITIONS)
    condition: AnyCondition | None = None
    paused: bool | None = Field(
        None, description="true: silent until false, which also makes a fired rule active again"
    )

    @model_validator(mode="after")
    def _one(self) -> "AlertChange":
        if {"condition", "conditions"} <= self.model_fields_set:
            raise ValueError("name either conditions (a list) or condition (one object)")
        return self

    def given(self) -> list[str]:
        """Names of the fields of a rule that are to be different."""
        renamed = {"conditions" if name == "condition" else name for name in self.model_fields_set - {"paused"}}
        return sorted(renamed)


def wish_of(body: AlertBody | AlertChange, symbol: str, key: str = "") -> AlertWish:
    given = body.conditions or ([body.condition] if body.condition else [])
    return AlertWish(
        symbol=symbol,
        conditions=[each.condition() for each in given],
        trigger=body.trigger,
        cooldown_s=body.cooldown_s,
        hysteresis_pct=body.hysteresis_pct,
        expires_at=body.expires_at,
        message=body.message,
        channels=body.channels,
        idempotency_key=key,
        market_hours_only=body.market_hours_only,
        snoozed_until=body.snoozed_until,
        snooze_s=body.snooze_s,
    )
