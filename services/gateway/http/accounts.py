"""Accounts: register and log in."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import msgspec
from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route

from services.gateway.backends import Login, Users
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import Body, Text
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Answer, IdempotencyKey, endpoint, resource


class Credentials(Body):
    """Who logs in. The bounds only keep absurd lengths away."""

    example: ClassVar[str] = '{"email":"ada@example.org","password":"..."}'

    email: Text = Field(max_length=320)
    password: str = Field(max_length=1024)


class Registration(Credentials):
    """Who registers. The password: 8 characters or more."""

    example: ClassVar[str] = '{"name":"Ada","email":"ada@example.org","password":"..."}'

    name: Text = Field(max_length=200)


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives. `token` is `access_token` by its older name; expires_in: seconds of it."""

    token: str
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (a word of OAuth2)
    expires_in: int
    refresh_token: str
    user_id: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    email: str


class Registered(Account, frozen=True, kw_only=True):
    """The new account, and what a login gives."""

    token: str
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int
    refresh_token: str
    user_id: str


_THROTTLED = {429: "too many attempts from this address"}


@dataclass(frozen=True, slots=True)
class Accounts:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/users/register", self.callers, POST=self.register),
            resource("/api/users/login", self.callers, POST=self.login),
        ]

    @endpoint("Make an account", status=201, errors={409: "email_taken, or the idempotency key was used"} | _THROTTLED)
    async def register(self, request: Request, key: IdempotencyKey, wish: Registration) -> Answer[Registered]:
        made = await self.users.register(
            wish.name,
            wish.email,
            wish.password,
            self.admission.client(request.scope),
            device=device(request),
            idempotency_key=key,
        )
        body = Registered(
            id=made.user_id,
            name=made.name,
            email=made.email,
            token=made.access_token,
            access_token=made.access_token,
            expires_in=made.expires_in,
            refresh_token=made.refresh_token,
            user_id=made.user_id,
        )
        return Answer(body, {"Location": "/api/users/profile"})

    @endpoint("Log in", errors={401: "an unknown address and a wrong password answer alike"} | _THROTTLED)
    async def login(self, request: Request, wish: Credentials) -> Tokens:
        client = self.admission.client(request.scope)
        return tokens(await self.users.login(wish.email, wish.password, client, device=device(request)))


def device(request: Request) -> str:
    """What the caller's program says it is, for the list of logins."""
    return request.headers.get("user-agent", "")


def tokens(login: Login) -> Tokens:
    """What a login answers."""
    return Tokens(
        token=login.access_token,
        access_token=login.access_token,
        expires_in=login.expires_in,
        refresh_token=login.refresh_token,
        user_id=login.user_id,
    )
