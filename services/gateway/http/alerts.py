"""A person's own alert rules: create, list, read, delete."""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.backends import Alert, AlertWish, Condition, Users
from services.gateway.http.bodies import ExactBody, Query, Text, query, read
from services.gateway.http.callers import Callers
from services.gateway.http.routing import identifier, listing, number, reply, resource
from services.gateway.symbols import Symbols
from services.shared.errors import FieldError, InvalidInput
from services.shared.events import parse_time, rfc3339, seconds

PATH: Final = "/api/v1/alerts"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MOST_PRICE: Final = 1e12
_YEAR_S: Final = 366 * 86_400


class ConditionBody(ExactBody):
    type: str = Field(max_length=32)
    threshold: float | None = Field(None, gt=0, le=_MOST_PRICE)


class AlertBody(ExactBody):
    """A rule as asked for: `conditions`, or one as `condition`. What `users` decides (types, triggers) is text here."""

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
    page_token: str = Field("", max_length=512)


@dataclass(frozen=True, slots=True)
class Alerts:
    users: Users
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, GET=self.page, POST=self.create),
            resource(PATH + "/{alert_id}", GET=self.one, DELETE=self.delete),
        ]

    async def create(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        key = _idempotency_key(request)
        body = await read(request, AlertBody)
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
        return reply(_shown(made), 201, {"Location": f"{PATH}/{made.id}"})

    async def page(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        wish = query(request, PageQuery)
        found = await self.users.alerts(caller.user_id, wish.limit, wish.page_token)
        return listing(map(_shown, found.alerts), found.next_page_token)

    async def one(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        return reply(_shown(await self.users.alert(caller.user_id, identifier(request, "alert_id"))))

    async def delete(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        await self.users.delete_alert(caller.user_id, identifier(request, "alert_id"))
        return Response(status_code=204)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "1 to 255 visible ASCII characters")
        raise InvalidInput(f"{error.loc}: {error.msg}", errors=(error,))
    return key or ""


def _shown(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "version": alert.version,
        "status": alert.status,
        "symbol": alert.symbol,
        "conditions": [_condition(each) for each in alert.conditions],
        "trigger": alert.trigger,
        "cooldown_s": alert.cooldown_s,
        "hysteresis_pct": number(alert.hysteresis_pct),
        "expires_at": None if alert.expires_at is None else seconds(alert.expires_at),
        "message": alert.message,
        "channels": list(alert.channels),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {"type": condition.type} | ({} if condition.threshold is None else {"threshold": condition.threshold})
