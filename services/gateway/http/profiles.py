"""One's own account: what it says, and changing it."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import msgspec
from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.routing import Route

from services.gateway.backends import Profile, ProfileChange, Users
from services.gateway.http.accounts import Account
from services.gateway.http.admission import Admission
from services.gateway.http.bodies import Body, Text
from services.gateway.http.callers import PROFILE, Callers
from services.gateway.http.routing import Who, endpoint, resource
from services.gateway.tokens import Caller
from services.shared.events import seconds


def _writable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        msgspec.json.encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


class ProfileBody(Body):
    """What is to change; what is left out stays. current_password: for a new address or password.

    preferences: any JSON object, up to 16 KiB; it replaces the one before.
    """

    example: ClassVar[str] = '{"name":"Ada Lovelace","preferences":{"theme":"dark"}}'

    name: Text | None = Field(None, max_length=200)
    email: Text | None = Field(None, max_length=320)
    password: str | None = Field(None, max_length=1024)
    current_password: str | None = Field(None, max_length=1024)
    preferences: Annotated[dict[str, Any], AfterValidator(_writable)] | None = None


class ProfileShown(Account, frozen=True, kw_only=True):
    """An account as its owner sees it."""

    created_at: str
    preferences: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


_REFUSALS: Final = {
    403: "wrong_password: the current one is another",
    409: "email_taken: another account has the address",
    429: "too many guesses of the password",
}


@dataclass(frozen=True, slots=True)
class Profiles:
    users: Users
    callers: Callers
    admission: Admission

    def routes(self) -> list[Route]:
        return [
            resource("/api/users/profile", self.callers, GET=self.profile),
            resource("/api/users/profile/update", self.callers, PATCH=self.patch, POST=self.post, PUT=self.put),
        ]

    @endpoint("Your account", who=Who.OWNER, scopes=PROFILE)
    async def profile(self, caller: Caller) -> ProfileShown:
        return _shown(await self.users.profile(caller.user_id))

    @endpoint("Change your account", who=Who.OWNER, scopes=PROFILE, errors=_REFUSALS)
    async def patch(self, request: Request, caller: Caller, wish: ProfileBody) -> ProfileShown:
        """Whatever changed is told as an `account_update`. A new password ends every login, this one too."""
        change = ProfileChange(
            name=wish.name,
            email=wish.email,
            password=wish.password,
            current_password=wish.current_password or "",
            preferences=None if wish.preferences is None else msgspec.json.encode(wish.preferences).decode(),
        )
        changed = await self.users.update_profile(caller.user_id, change, self.admission.client(request.scope))
        if change.password is not None:
            self.callers.verifier.ended(caller)
        return _shown(changed)

    @endpoint("Change your account", who=Who.OWNER, scopes=PROFILE, errors=_REFUSALS)
    async def post(self, request: Request, caller: Caller, wish: ProfileBody) -> ProfileShown:
        """The same as PATCH."""
        return await self.patch(request, caller, wish)

    @endpoint("Change your account", who=Who.OWNER, scopes=PROFILE, errors=_REFUSALS)
    async def put(self, request: Request, caller: Caller, wish: ProfileBody) -> ProfileShown:
        """The same as PATCH: what is left out stays."""
        return await self.patch(request, caller, wish)


def _shown(profile: Profile) -> ProfileShown:
    return ProfileShown(
        id=profile.user_id,
        name=profile.name,
        email=profile.email,
        created_at=seconds(profile.created_at),
        preferences=msgspec.Raw((profile.preferences or "{}").encode()),
    )
