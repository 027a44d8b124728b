"""API keys of one's own, for programs: made, listed, revoked. Only a login does that, never another key."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway.account_backends import ApiKey, ApiKeyWish
from services.gateway.backends import Users
from services.gateway.http.alerts import PageQuery
from services.gateway.http.bodies import ExactBody, Text
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Answer, Id, IdempotencyKey, Listing, Who, endpoint, listing, resource
from services.gateway.tokens import Caller
from services.shared.events import seconds
from services.shared.scopes import Scope

PATH: Final = "/api/v1/api-keys"


class ApiKeyBody(ExactBody):
    """scopes: `read` (market data, and reading your alerts, notifications, channels and watchlist), `alerts` (changing
    those), `account` (your profile), `operate` (what operators do); left out: `read`. expires_at: null = never."""

    example: ClassVar[str] = '{"name":"my bot","scopes":["read","alerts"],"expires_at":"2030-01-01T00:00:00Z"}'

    name: Text = Field(max_length=200)
    scopes: list[Text] = Field([], max_length=len(Scope))
    expires_at: Text | None = Field(None, max_length=64)


class ApiKeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """key: to be sent as `X-API-Key`; it is shown this once."""

    example: ClassVar[str] = '{"id":"0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11","name":"my bot","key":"tk_..."}'

    id: str
    name: str
    key: str


class ApiKeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """prefix: what the key begins with. expires_at: null = never; last_used_at: to some minutes, null = never yet."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None


@dataclass(frozen=True, slots=True)
class ApiKeys:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource(PATH, self.callers, GET=self.page, POST=self.create),
            resource(PATH + "/{key_id}", self.callers, DELETE=self.revoke),
        ]

    @endpoint(
        "Make an API key",
        who=Who.OWNER,
        status=201,
        errors={409: "the idempotency key was used for something else", 429: "too_many_api_keys"},
    )
    async def create(self, caller: Caller, key: IdempotencyKey, wish: ApiKeyBody) -> Answer[ApiKeyMade]:
        """For programs, which then need no password. Send it as `X-API-Key`, with requests and WebSocket handshakes."""
        asked = ApiKeyWish(wish.name, wish.scopes, wish.expires_at, key)
        made = await self.users.create_api_key(caller.user_id, asked)
        return Answer(ApiKeyMade(id=made.id, name=made.name, key=made.key), {"Location": f"{PATH}/{made.id}"})

    @endpoint("Your API keys, newest first", who=Who.OWNER)
    async def page(self, caller: Caller, wish: PageQuery) -> Listing[ApiKeyShown]:
        found = await self.users.api_keys(caller.user_id, wish.limit, wish.page_token)
        return listing(map(shown, found.keys), found.next_page_token)

    @endpoint("Revoke an API key", who=Who.OWNER, errors={404: "unknown_api_key"})
    async def revoke(self, caller: Caller, key_id: Id) -> None:
        """It is worth nothing at once, and its sockets close."""
        await self.users.revoke_api_key(caller.user_id, key_id)
        self.callers.verifier.ended(caller, key_id)


def shown(key: ApiKey) -> ApiKeyShown:
    return ApiKeyShown(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=list(key.scopes),
        created_at=seconds(key.created_at),
        expires_at=None if key.expires_at is None else seconds(key.expires_at),
        last_used_at=None if key.last_used_at is None else seconds(key.last_used_at),
    )
