"""A person's own notifications: what was pushed, with whether it was read."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from pydantic import Field, model_validator
from starlette.routing import Route

from services.gateway.backends import StoredNotification, Users
from services.gateway.http.bodies import Body, Query, Text
from services.gateway.http.callers import CHANGES, READS, Callers
from services.gateway.http.routing import Id, Listing, Who, endpoint, listing, resource
from services.gateway.tokens import Caller
from services.shared.events import NOTIFICATION_PLAIN_END

PATH: Final = "/api/v1/notifications"


class NotificationsQuery(Query):
    unread: bool = Field(False, description="only those that were not read yet")
    limit: int = Field(100, ge=1, le=1000)
    page_token: str = Field("", max_length=512, description="`next_page_token` of the page before")


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


@dataclass(frozen=True, slots=True)
class Notifications:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, self.callers, GET=self.page),
            resource(PATH + "/read", self.callers, POST=self.read_some),
            resource(PATH + "/{notification_id}/read", self.callers, POST=self.read_one),
        ]

    @endpoint(
        "Your notifications, oldest first",
        who=Who.OWNER,
        scopes=READS,
        answer=Listing[AlertNotification | AccountNotification],
    )
    async def page(self, caller: Caller, wish: NotificationsQuery) -> Listing[msgspec.Raw]:
        found = await self.users.notifications(
            caller.user_id, unread_only=wish.unread, limit=wish.limit, page_token=wish.page_token
        )
        return listing(map(_shown, found.notifications), found.next_page_token)

    @endpoint("Mark several as read", who=Who.OWNER, scopes=CHANGES)
    async def read_some(self, caller: Caller, wish: AckBody) -> None:
        await self.users.ack_notifications(caller.user_id, wish.notification_ids or [], wish.up_to or "")

    @endpoint("Mark one as read", who=Who.OWNER, scopes=CHANGES)
    async def read_one(self, caller: Caller, notification_id: Id) -> None:
        await self.users.ack_notifications(caller.user_id, [notification_id])


def _shown(stored: StoredNotification) -> msgspec.Raw:
    """The object as it was pushed (a slice of the event), plus `read`."""
    pushed = stored.event[: stored.event.index(NOTIFICATION_PLAIN_END)]
    return msgspec.Raw(pushed + (b',"read":true}' if stored.read else b',"read":false}'))
