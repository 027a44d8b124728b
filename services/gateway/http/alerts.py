"""A person's own alert rules: create, list, read, change, delete."""

from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway import backends
from services.gateway.backends import Alert, Users
from services.gateway.http.alert_bodies import AlertBody, AlertChange, wish_of
from services.gateway.http.bodies import Query
from services.gateway.http.callers import CHANGES, READS, Callers
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
from services.shared.alert_limits import STATUSES
from services.shared.events import seconds

PATH: Final = "/api/v1/alerts"


class PageQuery(Query):
    limit: int = Field(100, ge=1, le=1000)
    page_token: str = Field("", max_length=512, description="`next_page_token` of the page before")


class AlertsQuery(PageQuery):
    symbol: str = Field("", max_length=64, description="only rules on it")
    status: Literal["", "active", "pending", "paused", "fired", "expired"] = Field("", description="only rules in it")


class ConditionShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields that its type has."""

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


class AlertShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that stands. version: counts its changes; `pending`: it has not been taken in yet."""

    example: ClassVar[str] = (
        '{"id":"0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11","version":1,"status":"active","symbol":"AAPL",'
        '"conditions":[{"type":"crossing_up","threshold":150.0}],"trigger":"once","cooldown_s":60,'
        '"hysteresis_pct":0.5,"expires_at":null,"message":null,"channels":["websocket"],"market_hours_only":false,'
        '"snoozed_until":null}'
    )

    id: str
    version: int
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(STATUSES)})]
    symbol: str
    conditions: list[ConditionShown]
    trigger: str
    cooldown_s: int
    hysteresis_pct: float
    expires_at: str | None
    message: str | None
    channels: list[str]
    market_hours_only: bool
    snoozed_until: str | None


_UNKNOWN: Final = {404: "unknown_alert: none of yours has this id"}


@dataclass(frozen=True, slots=True)
class Alerts:
    users: Users
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, self.callers, GET=self.page, POST=self.create),
            resource(PATH + "/{alert_id}", self.callers, GET=self.one, PATCH=self.change, DELETE=self.delete),
        ]

    @endpoint(
        "Make a rule",
        who=Who.OWNER,
        scopes=CHANGES,
        status=201,
        errors={
            404: "unknown_symbol",
            409: "the idempotency key was used for another rule",
            429: "too_many_alerts: you have ALERTS_PER_USER of them",
        },
    )
    async def create(self, caller: Caller, key: IdempotencyKey, body: AlertBody) -> Answer[AlertShown]:
        """A rule counts from the tick at which it becomes active: no later tick is missed, none before counts."""
        wish = wish_of(body, await self.symbols.resolve(body.symbol), key)
        made = await self.users.create_alert(caller.user_id, wish)
        return Answer(shown(made), {"Location": f"{PATH}/{made.id}"})

    @endpoint("Your rules, oldest first", who=Who.OWNER, scopes=READS)
    async def page(self, caller: Caller, wish: AlertsQuery) -> Listing[AlertShown]:
        symbol = await self.symbols.resolve(wish.symbol) if wish.symbol else ""
        found = await self.users.alerts(caller.user_id, wish.limit, wish.page_token, symbol=symbol, status=wish.status)
        return listing(map(shown, found.alerts), found.next_page_token)

    @endpoint("One rule", who=Who.OWNER, scopes=READS, errors=_UNKNOWN)
    async def one(self, caller: Caller, alert_id: Id) -> AlertShown:
        return shown(await self.users.alert(caller.user_id, alert_id))

    @endpoint("Change a rule", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def change(self, caller: Caller, alert_id: Id, body: AlertChange) -> AlertShown:
        """A change of conditions, symbol, trigger, hysteresis or market hours, and `paused: false`, makes a new version
        that is armed and counts from the tick at which it became active; until then the old one is in force. Anything
        else leaves latch and cooldown as they are.
        """
        symbol = await self.symbols.resolve(body.symbol) if body.symbol else ""
        change = backends.AlertChange(wish_of(body, symbol), body.given(), body.paused)
        return shown(await self.users.change_alert(caller.user_id, alert_id, change))

    @endpoint("Delete a rule", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def delete(self, caller: Caller, alert_id: Id) -> None:
        """Its notifications stay."""
        await self.users.delete_alert(caller.user_id, alert_id)


def shown(alert: Alert) -> AlertShown:
    return AlertShown(
        id=alert.id,
        version=alert.version,
        status=alert.status,
        symbol=alert.symbol,
        conditions=[ConditionShown(**asdict(each)) for each in alert.conditions],
        trigger=alert.trigger,
        cooldown_s=alert.cooldown_s,
        hysteresis_pct=number(alert.hysteresis_pct),
        expires_at=_instant(alert.expires_at),
        message=alert.message,
        channels=list(alert.channels),
        market_hours_only=alert.market_hours_only,
        snoozed_until=_instant(alert.snoozed_until),
    )


def _instant(time: str | None) -> str | None:
    return None if time is None else seconds(time)
