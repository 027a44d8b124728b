"""A person's own alert rules: create, list, read, delete."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import msgspec
from pydantic import Field, field_validator, model_validator
from starlette.routing import Route

from services.gateway.backends import Alert, AlertWish, Condition, Users
from services.gateway.http.bodies import ExactBody, Query, Text
from services.gateway.http.callers import Callers
from services.gateway.http.routing import (
    Answer,
    Id,
    IdempotencyKey,
    Listing,
    Who,
    endpoint,
    listing,
    number,
    resource,
)
from services.gateway.symbols import Symbols
from services.gateway.tokens import Caller
from services.shared.events import parse_time, rfc3339, seconds

PATH: Final = "/api/v1/alerts"
STATUSES: Final = ["active", "pending", "paused", "fired", "expired"]
_MOST_PRICE: Final = 1e12
_YEAR_S: Final = 366 * 86_400


class ConditionBody(ExactBody):
    """threshold: a price as traded, where the type takes one."""

    type: str = Field(max_length=32)
    threshold: float | None = Field(None, gt=0, le=_MOST_PRICE)


class AlertBody(ExactBody):
    """A rule as asked for: `conditions`, or one as `condition`."""

    # What `users` decides (types, triggers, channels) is text here.
    example: ClassVar[str] = (
        '{"symbol":"AAPL","conditions":[{"type":"crossing_up","threshold":150.0}],"trigger":"once","cooldown_s":60,'
        '"hysteresis_pct":0.5,"expires_at":null,"message":null,"channels":["websocket"]}'
    )

    symbol: str = Field(min_length=1, max_length=64)
    conditions: list[ConditionBody] | None = Field(None, min_length=1, max_length=5)
    condition: ConditionBody | None = None
    trigger: str = Field("once", max_length=32)
    cooldown_s: int = Field(0, ge=0, le=_YEAR_S)
    hysteresis_pct: float = Field(0.0, ge=0, le=100)
    expires_at: str | None = Field(None, max_length=40)
    message: Text | None = Field(None, max_length=500)
    channels: list[str] = Field(default_factory=lambda: ["websocket"], min_length=1, max_length=10)

    @field_validator("expires_at")
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

    @model_validator(mode="after")
    def _either(self) -> "AlertBody":
        if (self.condition is None) == (self.conditions is None):
            raise ValueError("name either conditions (a list) or condition (one object)")
        return self

    def all_conditions(self) -> list[Condition]:
        given = self.conditions or ([self.condition] if self.condition else [])
        return [Condition(each.type, each.threshold) for each in given]


class PageQuery(Query):
    limit: int = Field(100, ge=1, le=1000)
    page_token: str = Field("", max_length=512, description="`next_page_token` of the page before")


class ConditionShown(msgspec.Struct, frozen=True):
    type: str
    threshold: float | msgspec.UnsetType = msgspec.UNSET


class AlertShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that stands. version: counts its changes; `pending`: it has not been taken in yet."""

    example: ClassVar[str] = (
        '{"id":"0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11","version":1,"status":"active","symbol":"AAPL",'
        '"conditions":[{"type":"crossing_up","threshold":150.0}],"trigger":"once","cooldown_s":60,'
        '"hysteresis_pct":0.5,"expires_at":null,"message":null,"channels":["websocket"]}'
    )

    id: str
    version: int
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": STATUSES})]
    symbol: str
    conditions: list[ConditionShown]
    trigger: str
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: list[str]


_UNKNOWN: Final = {404: "unknown_alert: none of yours has this id"}


@dataclass(frozen=True, slots=True)
class Alerts:
    users: Users
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, self.callers, GET=self.page, POST=self.create),
            resource(PATH + "/{alert_id}", self.callers, GET=self.one, DELETE=self.delete),
        ]

    @endpoint(
        "Make a rule",
        who=Who.OWNER,
        status=201,
        errors={404: "unknown_symbol", 409: "the idempotency key was used for another rule"},
    )
    async def create(self, caller: Caller, key: IdempotencyKey, body: AlertBody) -> Answer[AlertShown]:
        """A rule counts from the tick at which it becomes active: no later tick is missed, none before counts."""
        wish = AlertWish(
            symbol=await self.symbols.resolve(body.symbol),
            conditions=body.all_conditions(),
            trigger=body.trigger,
            cooldown_s=body.cooldown_s,
            hysteresis_pct=body.hysteresis_pct,
            expires_at=body.expires_at,
            message=body.message,
            channels=body.channels,
            idempotency_key=key,
        )
        made = await self.users.create_alert(caller.user_id, wish)
        return Answer(_shown(made), {"Location": f"{PATH}/{made.id}"})

    @endpoint("Your rules, oldest first", who=Who.OWNER)
    async def page(self, caller: Caller, wish: PageQuery) -> Listing[AlertShown]:
        found = await self.users.alerts(caller.user_id, wish.limit, wish.page_token)
        return listing(map(_shown, found.alerts), found.next_page_token)

    @endpoint("One rule", who=Who.OWNER, errors=_UNKNOWN)
    async def one(self, caller: Caller, alert_id: Id) -> AlertShown:
        return _shown(await self.users.alert(caller.user_id, alert_id))

    @endpoint("Delete a rule", who=Who.OWNER, errors=_UNKNOWN)
    async def delete(self, caller: Caller, alert_id: Id) -> None:
        """Its notifications stay."""
        await self.users.delete_alert(caller.user_id, alert_id)


def _shown(alert: Alert) -> AlertShown:
    return AlertShown(
        id=alert.id,
        version=alert.version,
        status=alert.status,
        symbol=alert.symbol,
        conditions=[_condition(each) for each in alert.conditions],
        trigger=alert.trigger,
        cooldown_s=alert.cooldown_s,
        hysteresis_pct=number(alert.hysteresis_pct),
        expires_at=None if alert.expires_at is None else seconds(alert.expires_at),
        message=alert.message,
        channels=list(alert.channels),
    )


def _condition(condition: Condition) -> ConditionShown:
    return ConditionShown(condition.type, msgspec.UNSET if condition.threshold is None else condition.threshold)
