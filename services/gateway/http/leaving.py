"""Taking everything along, and leaving."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from services.gateway.backends import Users
from services.gateway.http import alerts, api_keys, channels, notifications, sessions
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import ExactBody
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Who, endpoint, resource
from services.gateway.tokens import Caller
from services.shared.events import rfc3339, seconds

_PAGE: Final = 1000
_HEADERS: Final = {"Content-Disposition": 'attachment; filename="tickroom-account.json"'}
_encode = msgspec.json.encode

Page = Callable[[str], Awaitable[tuple[Sequence[Any], str]]]
"""Items as their own listings show them and the token of the next page, by the token of this one."""


class LeavingBody(ExactBody):
    example: ClassVar[str] = '{"current_password":"..."}'

    current_password: str = Field(max_length=1024)


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of an account, without passwords and keys. The lists are as those of the API."""

    exported_at: str
    profile: dict[str, Any]
    watchlist: list[str]
    sessions: list[dict[str, Any]]
    api_keys: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    notifications: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Leaving:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/v1/account", self.callers, DELETE=self.leave),
            resource("/api/v1/account/export", self.callers, GET=self.export),
        ]

    @endpoint(
        "Delete your account",
        who=Who.OWNER,
        errors={403: "wrong_password: the current one is another", 429: "too many guesses of the password"},
    )
    async def leave(self, request: Request, caller: Caller, wish: LeavingBody) -> None:
        """Everything of yours is deleted: rules fire no more, tokens and keys are worth nothing, sockets close."""
        await self.users.close_account(caller.user_id, wish.current_password, self.admission.client(request.scope))
        self.callers.verifier.ended(caller)

    @endpoint("Everything that is kept of your account", who=Who.OWNER, answer=Everything)
    async def export(self, caller: Caller) -> Response:
        """One JSON document, as long as it takes."""
        users, user_id = self.users, caller.user_id
        profile, mail = await users.profile(user_id), await users.mail_state(user_id)
        head = {
            "exported_at": seconds(rfc3339(datetime.now(UTC))),
            "profile": {
                "id": profile.user_id,
                "name": profile.name,
                "email": profile.email,
                "email_verified": mail.verified,
                "created_at": seconds(profile.created_at),
                "preferences": msgspec.Raw((profile.preferences or "{}").encode()),
            },
            "watchlist": list(await users.watchlist(user_id)),
        }
        lists = {
            "sessions": self._sessions(caller),
            "api_keys": self._api_keys(user_id),
            "alerts": self._alerts(user_id),
            "channels": self._channels(user_id),
            "deliveries": self._deliveries(user_id),
            "notifications": self._notifications(user_id),
        }
        return StreamingResponse(_document(head, lists), headers=_HEADERS, media_type="application/json")

    def _sessions(self, caller: Caller) -> Page:
        async def page(token: str) -> tuple[Sequence[Any], str]:
            found = await self.users.sessions(caller.user_id, _PAGE, token)
            return [sessions.shown(each, caller) for each in found.sessions], found.next_page_token

        return page

    def _api_keys(self, user_id: str) -> Page:
        async def page(token: str) -> tuple[Sequence[Any], str]:
            found = await self.users.api_keys(user_id, _PAGE, token)
            return [api_keys.shown(each) for each in found.keys], found.next_page_token

        return page

    def _alerts(self, user_id: str) -> Page:
        async def page(token: str) -> tuple[Sequence[Any], str]:
            found = await self.users.alerts(user_id, _PAGE, token)
            return [alerts.shown(each) for each in found.alerts], found.next_page_token

        return page

    def _channels(self, user_id: str) -> Page:
        async def page(token: str) -> tuple[Sequence[Any], str]:
            found = await self.users.channels(user_id, _PAGE, token)
            return [channels.shown(each) for each in found.channels], found.next_page_token

        return page

    def _deliveries(self, user_id: str) -> Page:
        """What was tried over one channel after the other; a token says which, and where in it."""

        async def page(token: str) -> tuple[Sequence[Any], str]:
            ids = [each.id for each in (await self.users.channels(user_id, _PAGE, "")).channels]
            here, _, inside = token.partition(" ")
            left = ids[ids.index(here) :] if here in ids else [] if here else ids
            if not left:
                return (), ""
            found = await self.users.deliveries(user_id, left[0], _PAGE, inside)
            tried = (msgspec.to_builtins(channels.attempt_shown(each)) for each in found.deliveries)
            items = [{"channel_id": left[0]} | each for each in tried]
            if found.next_page_token:
                return items, f"{left[0]} {found.next_page_token}"
            return items, f"{left[1]} " if left[1:] else ""

        return page

    def _notifications(self, user_id: str) -> Page:
        async def page(token: str) -> tuple[Sequence[Any], str]:
            found = await self.users.notifications(user_id, unread_only=False, limit=_PAGE, page_token=token)
            return [notifications.shown(each) for each in found.notifications], found.next_page_token

        return page


async def _document(head: dict[str, Any], lists: dict[str, Page]) -> AsyncIterator[bytes]:
    """Page by page: somebody may have been told a million things."""
    yield _encode(head)[:-1]
    for name, page in lists.items():
        yield b',"%b":[' % name.encode()
        token, comma = "", b""
        while True:
            items, token = await page(token)
            if items:
                yield comma + b",".join(map(_encode, items))
                comma = b","
            if not token:
                break
        yield b"]"
    yield b"}"
