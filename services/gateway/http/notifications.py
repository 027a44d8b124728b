"""A person's own notifications: what was pushed, with whether it was read."""

from dataclasses import dataclass
from typing import Final

import msgspec
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.backends import StoredNotification, Users
from services.gateway.http.bodies import Body, Query, Text, query, read
from services.gateway.http.callers import Callers
from services.gateway.http.routing import identifier, listing, resource
from services.shared.events import NOTIFICATION_PLAIN_END

PATH: Final = "/api/v1/notifications"


class NotificationsQuery(Query):
    unread: bool = False
    limit: int = Field(100, ge=1, le=1000)
    page_token: str = Field("", max_length=512)


class AckBody(Body):
    notification_ids: list[Text] | None = Field(None, max_length=100)
    up_to: Text | None = Field(None, max_length=64)

    @model_validator(mode="after")
    def _either(self) -> "AckBody":
        if (self.notification_ids is None) == (self.up_to is None):
            raise ValueError("name either notification_ids or up_to")
        return self


@dataclass(frozen=True, slots=True)
class Notifications:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, GET=self.page),
            resource(PATH + "/read", POST=self.read_some),
            resource(PATH + "/{notification_id}/read", POST=self.read_one),
        ]

    async def page(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        wish = query(request, NotificationsQuery)
        found = await self.users.notifications(
            caller.user_id, unread_only=wish.unread, limit=wish.limit, page_token=wish.page_token
        )
        return listing(map(_shown, found.notifications), found.next_page_token)

    async def read_some(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        wish = await read(request, AckBody)
        await self.users.ack_notifications(caller.user_id, wish.notification_ids or [], wish.up_to or "")
        return Response(status_code=204)

    async def read_one(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        await self.users.ack_notifications(caller.user_id, [identifier(request, "notification_id")])
        return Response(status_code=204)


def _shown(stored: StoredNotification) -> msgspec.Raw:
    """The object as it was pushed (a slice of the event), plus `read`."""
    pushed = stored.event[: stored.event.index(NOTIFICATION_PLAIN_END)]
    return msgspec.Raw(pushed + (b',"read":true}' if stored.read else b',"read":false}'))
