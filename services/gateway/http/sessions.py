"""Logins of one's own: tokens by OAuth2's form, the list of logins, their end, and tickets for WebSockets."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route

from services.gateway.backends import Login, Session, Users
from services.gateway.http.accounts import Tokens, device, tokens
from services.gateway.http.admission import Admission
from services.gateway.http.alerts import PageQuery
from services.gateway.http.bodies import Body, Form, Text
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Id, Listing, Who, endpoint, listing, resource
from services.gateway.replies import Unreadable
from services.gateway.tokens import Caller
from services.shared.errors import FieldError, NotFound, Unauthenticated
from services.shared.events import seconds

_FIELDS_OF: Final = {"password": ("username", "password"), "refresh_token": ("refresh_token",)}
"""What each grant needs."""


class TokenForm(Form):
    """grant_type: `password` (with username, an e-mail address, and password) or `refresh_token` (with that)."""

    grant_type: str = Field("password", max_length=200)
    username: Text = Field("", max_length=320)
    password: str = Field("", max_length=1024)
    refresh_token: str = Field("", max_length=1024)


class LogoutBody(Body):
    """everywhere: every login of this account, not only the one that the token is of."""

    example: ClassVar[str] = '{"everywhere":true}'

    everywhere: bool = False


class TicketBody(Body):
    """Nothing has to be said."""

    example: ClassVar[str] = "{}"


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """One login. device: its User-Agent; last_used_at: of the newest login or refresh; current: is it the caller's?"""

    id: str
    device: str
    created_at: str
    last_used_at: str
    current: bool


class TicketShown(msgspec.Struct, frozen=True, kw_only=True):
    """Opens one WebSocket as `?ticket=`, within `expires_in` seconds."""

    example: ClassVar[str] = '{"ticket":"3q2-7w...","expires_in":30}'

    ticket: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Sessions:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/v1/token", self.callers, POST=self.token),
            resource("/api/v1/logout", self.callers, POST=self.logout),
            resource("/api/v1/sessions", self.callers, GET=self.page),
            resource("/api/v1/sessions/{session_id}", self.callers, DELETE=self.end),
            resource("/api/v1/ws-tickets", self.callers, POST=self.ticket),
        ]

    @endpoint(
        "Tokens by OAuth2's form",
        errors={
            400: "invalid_request, unsupported_grant_type",
            401: "invalid_grant: wrong address or password, or a refresh token that is worth nothing (any more)",
            429: "too many attempts from this address",
        },
    )
    async def token(self, request: Request, form: TokenForm) -> Tokens:
        """A refresh token is used up by its use: the answer has its successor. Sent again within 10 s, the answer is
        the same; sent later, its login ends, since two hold it."""
        _check_grant(form)
        try:
            return tokens(await self._granted(request, form))
        except Unauthenticated as error:
            raise Unauthenticated(error.detail, code="invalid_grant") from None

    @endpoint("Log out", who=Who.OWNER)
    async def logout(self, caller: Caller, wish: LogoutBody | None) -> None:
        """The tokens of the login are worth nothing at once, and its sockets close."""
        everywhere = wish is not None and wish.everywhere
        await self.users.logout(caller.user_id, caller.session_id, everywhere=everywhere)
        self.callers.verifier.ended(caller, "" if everywhere else caller.session_id)

    @endpoint("Your logins, newest first", who=Who.OWNER)
    async def page(self, caller: Caller, wish: PageQuery) -> Listing[SessionShown]:
        found = await self.users.sessions(caller.user_id, wish.limit, wish.page_token)
        return listing((shown(each, caller) for each in found.sessions), found.next_page_token)

    @endpoint("End one of your logins", who=Who.OWNER, errors={404: "unknown_session"})
    async def end(self, caller: Caller, session_id: Id) -> None:
        """Its tokens are worth nothing at once, and its sockets close."""
        if not await self.users.logout(caller.user_id, session_id, everywhere=False):
            raise NotFound("there is no such login of yours", code="unknown_session")
        self.callers.verifier.ended(caller, session_id)

    @endpoint("A ticket for one WebSocket", who=Who.OWNER, status=201)
    async def ticket(self, caller: Caller, wish: TicketBody | None) -> TicketShown:
        """For pages, which can't send headers with a handshake. Good for any room that you may open."""
        made = await self.users.issue_ticket(caller)
        return TicketShown(ticket=made.ticket, expires_in=made.expires_in)

    async def _granted(self, request: Request, form: TokenForm) -> Login:
        client = self.admission.client(request.scope)
        if form.grant_type == "refresh_token":
            return await self.users.refresh(form.refresh_token, client)
        return await self.users.login(form.username, form.password, client, device=device(request))


def shown(session: Session, caller: Caller) -> SessionShown:
    return SessionShown(
        id=session.id,
        device=session.device,
        created_at=seconds(session.created_at),
        last_used_at=seconds(session.last_used_at),
        current=session.id == caller.session_id,
    )


def _check_grant(form: TokenForm) -> None:
    """Raises Unreadable as OAuth2 names it."""
    fields = _FIELDS_OF.get(form.grant_type)
    if fields is None:
        raise Unreadable("grant_type is neither password nor refresh_token", code="unsupported_grant_type")
    missing = tuple(FieldError(each, "is missing") for each in fields if not getattr(form, each))
    if missing:
        raise Unreadable(f"{missing[0].loc} is missing", code="invalid_request", errors=missing)
