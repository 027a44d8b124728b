"""Accounts beyond their logins, by hand: a part of `http_fakes.FakeUsers`."""

from dataclasses import dataclass, field

from services.gateway.account_backends import ApiKey, ApiKeyPage, ApiKeyWish, NewApiKey, SessionRef
from services.shared.errors import NotFound, Unauthenticated

TIME = "2012-06-01T20:00:00.000000Z"
KEY = "tk_0123456789ab_" + "A" * 43


@dataclass
class FakeAccounts:
    """holders: who holds which API key. keys_shown: those that were asked about."""

    key_wishes: list[tuple[str, ApiKeyWish]] = field(default_factory=list)
    holders: dict[str, SessionRef] = field(default_factory=dict)
    keys_shown: list[str] = field(default_factory=list)

    def holds(self, *scopes: str, key: str = KEY, **changes: object) -> dict[str, str]:
        """Makes `key` one of u1 with these scopes; headers that show it."""
        given = {"user_id": "u1", "session_id": "k1", "version": 1, "role": "user", "expires_at": 4_000_000_000}
        self.holders[key] = SessionRef(**given | changes, scopes=frozenset(scopes))  # type: ignore[arg-type]
        return {"X-API-Key": key}

    async def create_api_key(self, user_id: str, wish: ApiKeyWish) -> NewApiKey:
        self.key_wishes.append((user_id, wish))
        return NewApiKey("k1", wish.name, KEY)

    async def api_keys(self, user_id: str, limit: int, page_token: str) -> ApiKeyPage:
        never = ApiKey("k2", "other", "tk_0123456789ac", ["read"], TIME, None, None)
        return ApiKeyPage([ApiKey("k1", "bot", KEY[:15], ["read", "alerts"], TIME, TIME, TIME), never][:limit], "")

    async def revoke_api_key(self, user_id: str, key_id: str) -> None:
        if key_id != "k1":
            raise NotFound("no such API key", code="unknown_api_key")

    async def verify_api_key(self, key: str) -> SessionRef:
        self.keys_shown.append(key)
        if key not in self.holders:
            raise Unauthenticated("the API key is not one of ours, or no longer", code="bad_api_key")
        return self.holders[key]
