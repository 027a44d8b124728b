"""Why a rule has not fired, and what it would have done in the past."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway.alert_reports import PreviewWish
from services.gateway.backends import Users
from services.gateway.http.alert_bodies import AlertBody, Price, wish_of
from services.gateway.http.bodies import ExactBody
from services.gateway.http.callers import READS, Callers
from services.gateway.http.routing import Id, Who, endpoint, resource
from services.gateway.symbols import Symbols
from services.gateway.tokens import Caller
from services.shared.alert_limits import MOST_PREVIEW_TICKS

PATH: Final = "/api/v1/alerts"


class PriceBody(ExactBody):
    time: str = Field(max_length=40)
    price: Price


class PreviewBody(AlertBody):
    """A rule as for POST /api/v1/alerts, and what to run it over: `ticks`, else stored daily bars."""

    example: ClassVar[str] = (
        '{"symbol":"AAPL","conditions":[{"type":"crossing_up","threshold":600.0}],"trigger":"every_time",'
        '"start":"2012-01-01","end":"2012-12-31"}'
    )

    start: str | None = Field(None, max_length=10, description="first day of the bars")
    end: str | None = Field(None, max_length=10, description="last day of the bars")
    ticks: list[PriceBody] | None = Field(
        None, max_length=MOST_PREVIEW_TICKS, description="prices of your own, in the order of their times"
    )


class PositionShown(msgspec.Struct, frozen=True):
    epoch: str
    seq: int


class ReadingShown(msgspec.Struct, frozen=True, kw_only=True):
    """A condition, where things stand. holds: null = only the engine knows. An event holds at no price that stands.

    value is compared with line; distance = line - value; rearms_at: of a latched rule, where it has to go back to.
    """

    type: str
    holds: bool | None
    event: bool
    side: str | None
    value: float | None
    line: float | None
    distance: float | None
    distance_pct: float | None
    rearms_at: float | None


class ExplanationShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rule stands.

    position: the last record that this is told from, at most about a second behind the engine. state: armed, latched,
    cooling_down, snoozed, or the status. would_fire: if the next record brought the same price again; null = only the
    engine knows. why_not: what keeps it from that: a state, no_price_yet, condition_0 (its number) ...
    """

    alert_id: str
    version: int
    status: str
    position: PositionShown | None
    state: str
    latched: bool
    would_fire: bool | None
    why_not: list[str]
    cooling_until: str | None
    snoozed_until: str | None
    expires_at: str | None
    last_price: float | None
    previous_price: float | None
    seen_at: str | None
    conditions: list[ReadingShown]


class WouldHaveFired(msgspec.Struct, frozen=True, kw_only=True):
    time: str
    price: float
    previous_price: float | None
    condition: str
    threshold: float | None
    message: str


class PreviewShown(msgspec.Struct, frozen=True, kw_only=True):
    """When a rule would have fired. more: not all are listed. resolution: what can't be seen this way."""

    symbol: str
    firings: list[WouldHaveFired]
    more: bool
    prices: int
    first: str | None
    last: str | None
    resolution: str


@dataclass(frozen=True, slots=True)
class AlertReports:
    users: Users
    symbols: Symbols
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH + "/preview", self.callers, POST=self.preview),
            resource(PATH + "/{alert_id}/explain", self.callers, GET=self.explain),
        ]

    @endpoint(
        "Why it has not fired",
        who=Who.OWNER,
        scopes=READS,
        answer=ExplanationShown,
        errors={404: "unknown_alert: none of yours has this id"},
    )
    async def explain(self, caller: Caller, alert_id: Id) -> msgspec.Raw:
        """Told from what was stored at the engine's last checkpoint; it makes one at least every second."""
        return msgspec.Raw(await self.users.explain_alert(caller.user_id, alert_id))

    @endpoint(
        "When a rule would have fired",
        who=Who.OWNER,
        scopes=READS,
        answer=PreviewShown,
        errors={404: "unknown_symbol"},
    )
    async def preview(self, caller: Caller, body: PreviewBody) -> msgspec.Raw:
        """The rule is made by nobody: the same engine runs it over the past, and nothing is stored.

        Over stored bars each day is two prices, its open and its close; thresholds are in today's shares. Conditions on
        predictions can't be previewed.
        """
        symbol = await self.symbols.resolve(body.symbol)
        prices = None if body.ticks is None else [(each.time, each.price) for each in body.ticks]
        wish = PreviewWish(wish_of(body, symbol), body.start or "", body.end or "", prices)
        return msgspec.Raw(await self.users.preview_alert(caller.user_id, wish))
