"""Accounts: register, login, profile."""

from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.backends import Login, Users
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import Body, Text, read
from services.gateway.http.callers import Callers
from services.gateway.http.routing import reply, resource
from services.shared.events import seconds


class Credentials(Body):
    """What `users` judges; the bounds here only keep absurd lengths away from it."""

    email: Text = Field(max_length=320)
    password: str = Field(max_length=1024)


class Registration(Credentials):
    name: Text = Field(max_length=200)


@dataclass(frozen=True, slots=True)
class Accounts:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/users/register", POST=self.register),
            resource("/api/users/login", POST=self.login),
            resource("/api/users/profile", GET=self.profile),
        ]

    async def register(self, request: Request) -> Response:
        wish = await read(request, Registration)
        made = await self.users.register(wish.name, wish.email, wish.password, self.admission.client(request.scope))
        account = {"id": made.user_id, "name": made.name, "email": made.email}
        return reply(account | _tokens(made), 201, {"Location": "/api/users/profile"})

    async def login(self, request: Request) -> Response:
        wish = await read(request, Credentials)
        return reply(_tokens(await self.users.login(wish.email, wish.password, self.admission.client(request.scope))))

    async def profile(self, request: Request) -> Response:
        caller = await self.callers.owner(request)
        found = await self.users.profile(caller.user_id)
        return reply(
            {
                "id": found.user_id,
                "name": found.name,
                "email": found.email,
                "created_at": seconds(found.created_at),
                "preferences": msgspec.Raw((found.preferences or "{}").encode()),
            }
        )


def _tokens(login: Login) -> dict[str, Any]:
    return {
        "token": login.access_token,
        "access_token": login.access_token,
        "token_type": "bearer",
        "expires_in": login.expires_in,
        "refresh_token": login.refresh_token,
        "user_id": login.user_id,
    }
