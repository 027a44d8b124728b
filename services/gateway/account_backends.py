"""Who asks, and what the front door asks of users about accounts beyond their logins: a part of `backends.Users`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.shared.scopes import Scope

Role = Literal["user", "operator"]


@dataclass(frozen=True, slots=True)
class SessionRef:
    """Who asks, by an access token or an API key. version: of the account's tokens; expires_at: UNIX seconds.

    session_id: of the login, or of the key. scopes: of the key; None = a login, which may do everything.
    """

    user_id: str
    session_id: str
    version: int
    role: Role
    expires_at: int
    scopes: frozenset[Scope] | None = None

    def may(self, scopes: Sequence[Scope]) -> bool:
        """Is it a login, or a key with one of these scopes?"""
        return self.scopes is None or not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True)
class ApiKeyWish:
    """A key that somebody wants. expires_at: RFC 3339, None = never. idempotency_key: empty = none."""

    name: str
    scopes: Sequence[str]
    expires_at: str | None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """key: what its owner shows from now on."""

    id: str
    name: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """prefix: what the key begins with. expires_at: None = never; last_used_at: to some minutes, None = never yet."""

    id: str
    name: str
    prefix: str
    scopes: Sequence[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None


@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """keys: newest first. next_page_token: empty at the end."""

    keys: Sequence[ApiKey]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class MailState:
    """verified: has the person shown that mail to this address reaches them? sends: is mail sent here at all?"""

    email: str
    verified: bool
    sends: bool


class Accounts(Protocol):
    async def create_api_key(self, user_id: str, wish: ApiKeyWish) -> NewApiKey:
        """Raises InvalidInput, TooMany (keys of this user), Conflict (idempotency key of something else)."""
        ...

    async def api_keys(self, user_id: str, limit: int, page_token: str) -> ApiKeyPage:
        """Raises InvalidInput for a bad page token."""
        ...

    async def revoke_api_key(self, user_id: str, key_id: str) -> None:
        """From now on it is worth nothing. Raises NotFound, for somebody else's key too."""
        ...

    async def verify_api_key(self, key: str) -> SessionRef:
        """Whose key it is. Raises Unauthenticated (`bad_api_key`)."""
        ...

    async def mail_state(self, user_id: str) -> MailState: ...

    async def send_verification(self, user_id: str) -> None:
        """Raises NotFound (`mail_off`), TooMany, Unavailable (`mail_failed`), InvalidInput (`mail_refused`)."""
        ...

    async def verify_email(self, code: str) -> None:
        """Raises InvalidInput (`bad_code`)."""
        ...

    async def send_password_reset(self, email: str, client: str) -> None:
        """Alike for every address, somebody's or not. Raises NotFound (`mail_off`), TooMany."""
        ...

    async def reset_password(self, code: str, password: str, client: str) -> None:
        """Ends every login. Raises InvalidInput (`bad_code`, or a weak password), TooMany."""
        ...

    async def close_account(self, user_id: str, current_password: str, client: str) -> None:
        """Everything of the user goes. Raises InvalidInput, Denied (`wrong_password`), TooMany, NotFound."""
        ...

    async def watchlist(self, user_id: str) -> Sequence[str]: ...

    async def put_watchlist(self, user_id: str, symbols: Sequence[str]) -> Sequence[str]:
        """Symbols for names of companies, each once. Raises InvalidInput (too many, or an unknown one)."""
        ...
