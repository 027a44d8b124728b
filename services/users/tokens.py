"""Access tokens (JWT signed with Ed25519), refresh tokens and tickets (random, stored as a hash)."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.shared.errors import Unauthenticated
from services.users.secret import derived

ISSUER: Final = "tickroom"
AUDIENCE: Final = "tickroom"
_ALGORITHM: Final = "EdDSA"
_PURPOSE: Final = b"tickroom access tokens, ed25519, 1"
_SUCCESSION: Final = b"tickroom refresh tokens, hmac-sha256, 1"
_REPEATS: Final = b"tickroom repeated answers, hmac-sha256, 1"
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub", "version", "sid")
_REFRESH_TOKEN: Final = re.compile(r"[^.]{1,64}\.[A-Za-z0-9_-]{43}")
_MOST_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, of which login and which version of the account's tokens, until when.

    role: user, operator.
    """

    user_id: str
    session_id: str
    version: int
    role: str
    expires_at: datetime


class Tokens:
    """Signs with the key that derives from `secret`; accepts tokens of `previous` as well."""

    def __init__(self, secret: str, previous: str | None, ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self._signing = _key(secret)
        accepted = [self._signing.public_key()] + ([_key(previous).public_key()] if previous else [])
        self._accepted: dict[str, Ed25519PublicKey] = {_kid(each): each for each in accepted}
        self._kid = next(iter(self._accepted))
        self._succession = [derived(each, _SUCCESSION) for each in (secret, previous) if each]
        self._repeats = [derived(each, _REPEATS) for each in (secret, previous) if each]

    def public_keys(self) -> dict[str, bytes]:
        """What tokens are verified with: 32 raw bytes by key id, the signing one first."""
        return {kid: _raw(key) for kid, key in self._accepted.items()}

    def sign(self, user_id: str, session_id: str, version: int, role: str, now: datetime) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": session_id,
            "version": version,
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=self.ttl_s)).timestamp()),
        }
        return jwt.encode(claims, self._signing, algorithm=_ALGORITHM, headers={"kid": self._kid})

    def verify(self, token: str, now: datetime) -> Claims:
        """Raises Unauthenticated (`bad_token`, `token_expired`) for anything that is not, or no longer, ours."""
        try:
            if len(token) > _MOST_CHARACTERS:
                raise _bad()
            key = self._accepted.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise _bad()
            options: Any = {"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options)
            expires_at = datetime.fromtimestamp(int(claims["exp"]), now.tzinfo)
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, OSError, RecursionError):
            raise _bad() from None
        if expires_at <= now:
            raise Unauthenticated("the token has expired", code="token_expired")
        role = str(claims.get("role", "user"))
        return Claims(str(claims["sub"]), str(claims["sid"]), int(claims["version"]), role, expires_at)

    def successors(self, refresh_token: str) -> list[str]:
        """The token that follows on this one; behind it, what followed under the secret before.

        Always the same one: whoever refreshes twice gets the same token, though only its hash is stored. Without the
        secret nobody can tell what follows on a token.
        """
        session_id = refresh_token.partition(".")[0]
        return [f"{session_id}.{_digest(key, refresh_token)}" for key in self._succession]

    def repeatable(self, about: str) -> list[str]:
        """A secret (256 bits as text) that always is the same for `about`; behind it, that of the secret before."""
        return [_digest(key, about) for key in self._repeats]


def new_refresh_token(session_id: str) -> str:
    """It names its login, so that one that was used up can be told from one that is made up."""
    return f"{session_id}.{new_secret()}"


def looks_like_refresh_token(text: str) -> bool:
    """Could it be one? Anything else is a mistake, and says nothing about who holds the real one."""
    return _REFRESH_TOKEN.fullmatch(text) is not None


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def refresh_hash(refresh_token: str) -> bytes:
    """What is stored of a refresh token: of its secret part alone."""
    return stored_hash(refresh_token.partition(".")[2])


def stored_hash(secret: str) -> bytes:
    """A plain hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def _key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derived(secret, _PURPOSE))


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _kid(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def _digest(key: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()


def _bad() -> Unauthenticated:
    return Unauthenticated("the token is not one of ours, or no longer", code="bad_token")
