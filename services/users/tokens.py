"""Access tokens (JWT signed with Ed25519) and refresh tokens (random, stored as a hash)."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.shared.errors import Unauthenticated

ISSUER: Final = "tickroom"
AUDIENCE: Final = "tickroom"
_ALGORITHM: Final = "EdDSA"
_PURPOSE: Final = b"tickroom access tokens, ed25519, 1"
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub", "version", "sid")
_MOST_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, of which login and which version of the account's tokens, until when."""

    user_id: str
    session_id: str
    version: int
    expires_at: datetime


class Tokens:
    """Signs with the key that derives from `secret`; accepts tokens of `previous` as well."""

    def __init__(self, secret: str, previous: str | None, ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self._signing = _key(secret)
        accepted = [self._signing.public_key()] + ([_key(previous).public_key()] if previous else [])
        self._accepted: dict[str, Ed25519PublicKey] = {_kid(each): each for each in accepted}
        self._kid = next(iter(self._accepted))

    def public_keys(self) -> dict[str, bytes]:
        """What tokens are verified with: 32 raw bytes by key id, the signing one first."""
        return {kid: _raw(key) for kid, key in self._accepted.items()}

    def sign(self, user_id: str, session_id: str, version: int, now: datetime) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": session_id,
            "version": version,
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
        return Claims(str(claims["sub"]), str(claims["sid"]), int(claims["version"]), expires_at)


def new_refresh_token(session_id: str) -> tuple[str, bytes]:
    """(token, hash to store). The token names its login, so that a used-up one can be told from a made-up one."""
    secret = secrets.token_urlsafe(32)
    return f"{session_id}.{secret}", refresh_hash(secret)


def refresh_hash(secret: str) -> bytes:
    """A plain hash is enough: the secret has 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def _key(secret: str) -> Ed25519PrivateKey:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _kid(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def _bad() -> Unauthenticated:
    return Unauthenticated("the token is not one of ours, or no longer", code="bad_token")
