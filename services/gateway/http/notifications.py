"""A person's own notifications: what was pushed, with whether it was read."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import ClassVar, Final

import msgspec
from pydantic import Field, field_validator, model_validator
from starlette.routing import Route

from services.gateway.backends import Cause, StoredNotification, Users
from services.gateway.http.alerts import ConditionShown
from services.gateway.http.bodies import Body, Query, Text
from services.gateway.http.callers import CHANGES, READS, Callers
from services.gateway.http.routing import Id, Listing, Who, endpoint, listing, number, resource
from services.gateway.tokens import Caller
from services.shared.events import NOTIFICATION_PLAIN_END, rfc3339, seconds

PATH: Final = "/api/v1/notifications"
_FIRST_YEAR: Final = 1000
_UNKNOWN: Final = {404: "unknown_notification: none of yours has this id"}


class NotificationsQuery(Query):
    unread: bool = Field(False, description="only those that were not read yet")
    limit: int = Field(100, ge=1, le=1000)
    page_token: str = Field("", max_length=512, description="`next_page_token` of the page before")


class HistoryQuery(NotificationsQuery):
    since: datetime | None = Field(None, description="only those of this instant or later, by their `timestamp`")
    alert_id: str = Field("", max_length=64, description="only those of this rule, also of a deleted one")

    @field_validator("since")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and (value.tzinfo is None or value.year < _FIRST_YEAR):
            raise ValueError("not a time with its offset, such as 2030-01-31T16:00:00Z")
        return value


class AckBody(Body):
    """What was read: those named, or everything up to and including one. One of the two."""

    example: ClassVar[str] = '{"up_to":"0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11"}'

    notification_ids: list[Text] | None = Field(None, max_length=100)
    up_to: Text | None = Field(None, max_length=64)

    @model_validator(mode="after")
    def _either(self) -> "AckBody":
        if (self.notification_ids is None) == (self.up_to is None):
            raise ValueError("name either notification_ids or up_to")
        return self


class AlertNotification(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="alert_triggered"):
    """A rule fired: `price` met `condition`. id: stable, so that repeats can be dropped."""

    id: str
    alert_id: str
    symbol: str
    condition: str
    threshold: float | None
    price: float
    message: str
    timestamp: str
    read: bool


class AccountNotification(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="account_update"):
    """Something about the account changed."""

    id: str
    event: str
    timestamp: str
    read: bool


class NotificationListing(msgspec.Struct, frozen=True):
    """One page of what was pushed, as it was pushed, plus `read`."""

    items: list[AlertNotification | AccountNotification]
    next_page_token: str | None


class CauseShown(msgspec.Struct, frozen=True, kw_only=True):
    """The record that a rule fired at, and what the rule waited for then: it may have been changed since.

    (epoch, seq): the record's position among those of its symbol. conditions: null where they were not kept.
    """

    alert_id: str
    rule_version: int
    symbol: str
    epoch: str
    seq: int
    time: str
    price: float
    previous_price: float | None
    condition: str
    threshold: float | None
    conditions: list[ConditionShown] | None
    trigger: str | None
    hysteresis_pct: float | None


class AlertExplained(AlertNotification, frozen=True, kw_only=True, tag="alert_triggered"):
    """A rule fired, and why."""

    cause: CauseShown


class AccountExplained(AccountNotification, frozen=True, kw_only=True, tag="account_update"):
    """Something about the account changed."""

    cause: None


@dataclass(frozen=True, slots=True)
class Notifications:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, self.callers, GET=self.page),
            resource(PATH + "/read", self.callers, POST=self.read_some),
            resource(PATH + "/{notification_id}", self.callers, GET=self.one),
            resource(PATH + "/{notification_id}/read", self.callers, POST=self.read_one),
        ]

    @endpoint(
        "Your notifications, oldest first",
        who=Who.OWNER,
        scopes=READS,
        answer=Listing[AlertNotification | AccountNotification],
    )
    async def page(self, caller: Caller, wish: HistoryQuery) -> Listing[msgspec.Raw]:
        found = await self.users.notifications(
            caller.user_id,
            unread_only=wish.unread,
            limit=wish.limit,
            page_token=wish.page_token,
            since="" if wish.since is None else seconds(rfc3339(wish.since)),
            alert_id=wish.alert_id,
        )
        return listing(map(shown, found.notifications), found.next_page_token)

    @endpoint(
        "One notification and why it came",
        who=Who.OWNER,
        scopes=READS,
        answer=AlertExplained | AccountExplained,
        errors=_UNKNOWN,
    )
    async def one(self, caller: Caller, notification_id: Id) -> msgspec.Raw:
        """Of a firing, `cause` says which record caused it, what the price was before, and what the rule waited for."""
        found = await self.users.notification(caller.user_id, notification_id)
        pushed = bytes(shown(found.notification))
        cause = None if found.cause is None else _cause(found.cause)
        return msgspec.Raw(pushed[:-1] + b',"cause":' + msgspec.json.encode(cause) + b"}")

    @endpoint("Mark several as read", who=Who.OWNER, scopes=CHANGES)
    async def read_some(self, caller: Caller, wish: AckBody) -> None:
        """Ids that are none of yours are passed over, as over the socket."""
        await self.users.ack_notifications(caller.user_id, wish.notification_ids or [], wish.up_to or "")

    @endpoint("Mark one as read", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def read_one(self, caller: Caller, notification_id: Id) -> None:
        """Again: nothing changes, and that is fine too."""
        if not await self.users.ack_notifications(caller.user_id, [notification_id]):
            await self.users.notification(caller.user_id, notification_id)  # read already, or not there


def _cause(cause: Cause) -> CauseShown:
    kept = bool(cause.conditions)
    return CauseShown(
        alert_id=cause.alert_id,
        rule_version=cause.rule_version,
        symbol=cause.symbol,
        epoch=cause.epoch,
        seq=cause.seq,
        time=cause.time,
        price=cause.price,
        previous_price=cause.previous_price,
        condition=cause.condition,
        threshold=cause.threshold,
        conditions=[ConditionShown(**asdict(each)) for each in cause.conditions] if kept else None,
        trigger=cause.trigger if kept else None,
        hysteresis_pct=number(cause.hysteresis_pct) if kept else None,
    )


def shown(stored: StoredNotification) -> msgspec.Raw:
    """The object as it was pushed (a slice of the event), plus `read`."""
    pushed = stored.event[: stored.event.index(NOTIFICATION_PLAIN_END)]
    return msgspec.Raw(pushed + (b',"read":true}' if stored.read else b',"read":false}'))
