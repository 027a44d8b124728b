"""Who asks: access tokens (JWT, EdDSA) verified with the public keys of users. The gateway can't make one.

API keys (api_keys.py) are the other credential.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.gateway.api_keys import ApiKeys
from services.gateway.backends import Keys, Revocation, Role, SessionRef, Users
from services.gateway.revocations import Revocations
from services.shared.errors import Unauthenticated
from services.shared.events import rfc3339, seconds

_ALGORITHM: Final = "EdDSA"
_CLAIMS: Final = ("exp", "iss", "aud", "sub", "sid", "version")
_MOST_CHARACTERS: Final = 4096
_LEEWAY_S: Final = 5  # clocks of two machines differ a little
_REFETCH_S: Final = 1.0  # at most so often, or made-up key ids would become load for users


Caller = SessionRef
"""A verified person."""


class Verifies(Protocol):
    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, Unavailable."""
        ...

    async def verify_key(self, key: str) -> Caller:
        """Of an API key. Raises Unauthenticated, Unavailable."""
        ...


class Verifier:
    """Verifies tokens; fetches the keys when first needed and again when a token names an unknown one.

    revocations: what is worth nothing although it has not expired; None: nothing.
    """

    def __init__(
        self, users: Users, monotonic: Callable[[], float] = time.monotonic, revocations: Revocations | None = None
    ) -> None:
        self._users = users
        self._revocations = revocations
        self._monotonic = monotonic
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._known = Keys({}, "", "")
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self.api_keys = ApiKeys(users, revocations)

    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated (`bad_token`, `token_expired`, `token_revoked`).

        Raises Unavailable where the keys, or who was logged out, can't be fetched.
        """
        key = await self._key(_kid(token))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._known.issuer,
                audience=self._known.audience,
                leeway=_LEEWAY_S,
                options={"require": list(_CLAIMS)},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired", code="token_expired") from None
        except (jwt.InvalidTokenError, ValueError):
            raise _bad() from None
        caller = _caller(claims)
        if self._revocations is not None:
            self._revocations.check(caller)
        return caller

    async def verify_key(self, key: str) -> Caller:
        """Raises Unauthenticated (`bad_api_key`), and Unavailable where users does not answer."""
        return await self.api_keys.verify(key)

    def ended(self, caller: Caller, session_id: str = "") -> None:
        """What `caller` has just had ended is worth nothing here from now on; the event closes its sockets, everywhere.

        session_id: of that login or API key; empty = every login there was.
        """
        if self._revocations is not None:
            version, now = caller.version + 1, seconds(rfc3339(datetime.now(UTC)))
            ended = Revocation(id="", user_id=caller.user_id, session_id=session_id, version=version, timestamp=now)
            self._revocations.mark(ended)

    async def _key(self, kid: str) -> Ed25519PublicKey:
        if kid not in self._keys:
            async with self._fetching:
                if kid not in self._keys and self._monotonic() - self._fetched_at >= _REFETCH_S:
                    await self._fetch()
        if kid not in self._keys:
            raise _bad()
        return self._keys[kid]

    async def _fetch(self) -> None:
        found = await self._users.keys()
        self._known = found
        self._keys = {kid: Ed25519PublicKey.from_public_bytes(raw) for kid, raw in found.by_kid.items()}
        self._fetched_at = self._monotonic()


def _kid(token: str) -> str:
    if len(token) > _MOST_CHARACTERS:
        raise _bad()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise _bad() from None
    kid = header.get("kid")
    if header.get("alg") != _ALGORITHM or not isinstance(kid, str):
        raise _bad()
    return kid


def _caller(claims: dict[str, Any]) -> Caller:
    user_id, session_id, version = claims["sub"], claims["sid"], claims["version"]
    if not isinstance(user_id, str) or not user_id or not isinstance(session_id, str) or type(version) is not int:
        raise _bad()
    role: Role = "operator" if claims.get("role") == "operator" else "user"
    return Caller(user_id, session_id, version, role, int(claims["exp"]))


def _bad() -> Unauthenticated:
    return Unauthenticated("the token is not one of ours, or no longer", code="bad_token")
