"""Accounts beyond their logins, by hand: a part of `http_fakes.FakeUsers`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.account_backends import ApiKey, ApiKeyPage, ApiKeyWish, MailState, NewApiKey, SessionRef
from services.shared.errors import Denied, InvalidInput, NotFound, Unauthenticated

TIME = "2012-06-01T20:00:00.000000Z"
KEY = "tk_0123456789ab_" + "A" * 43


@dataclass
class FakeAccounts:
    """holders: who holds which API key. keys_shown: those that were asked about. mail: is it sent at all?"""

    key_wishes: list[tuple[str, ApiKeyWish]] = field(default_factory=list)
    holders: dict[str, SessionRef] = field(default_factory=dict)
    keys_shown: list[str] = field(default_factory=list)
    mail: bool = True
    letters: list[tuple[str, str]] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)

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

    async def mail_state(self, user_id: str) -> MailState:
        return MailState("ada@example.org", False, self.mail)

    async def send_verification(self, user_id: str) -> None:
        self._post("verify", user_id)

    async def verify_email(self, code: str) -> None:
        if code != "good":
            raise InvalidInput("code is unknown", code="bad_code")

    async def send_password_reset(self, email: str, client: str) -> None:
        self._post(email, client)

    async def reset_password(self, code: str, password: str, client: str) -> None:
        await self.verify_email(code)
        self.letters.append((password, client))

    async def close_account(self, user_id: str, current_password: str, client: str) -> None:
        if current_password == "wrong":
            raise Denied("the current password is not right", code="wrong_password")
        self.closed.append((user_id, client))

    async def watchlist(self, user_id: str) -> Sequence[str]:
        return self.watched

    async def put_watchlist(self, user_id: str, symbols: Sequence[str]) -> Sequence[str]:
        self.watched = list(dict.fromkeys(symbols))
        return self.watched

    def _post(self, what: str, who: str) -> None:
        if not self.mail:
            raise NotFound("no mail is sent here: SMTP_URL is not set", code="mail_off")
        self.letters.append((what, who))
