"""Access tokens and refresh tokens."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.shared.errors import Unauthenticated
from services.users.tokens import (
    AUDIENCE,
    ISSUER,
    Tokens,
    looks_like_refresh_token,
    new_refresh_token,
    refresh_hash,
    stored_hash,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OLD, NEW = "o" * 32, "n" * 32


def test_a_token_says_whose_it_is() -> None:
    tokens = Tokens(NEW, None, 900)
    claims = tokens.verify(tokens.sign("user", "session", 3, "operator", NOW), NOW + timedelta(seconds=899))
    assert (claims.user_id, claims.session_id, claims.version, claims.role) == ("user", "session", 3, "operator")
    assert claims.expires_at == NOW + timedelta(seconds=900)


def test_the_public_key_is_enough_to_verify() -> None:
    tokens = Tokens(NEW, None, 10**9)
    token = tokens.sign("user", "session", 1, "user", datetime.now(UTC))
    raw = tokens.public_keys()[jwt.get_unverified_header(token)["kid"]]
    key = Ed25519PublicKey.from_public_bytes(raw)
    claims = jwt.decode(token, key, algorithms=["EdDSA"], issuer=ISSUER, audience=AUDIENCE)
    assert claims["sub"] == "user"
    assert claims["version"] == 1


def test_after_a_rotation_old_tokens_are_accepted_and_new_ones_signed_anew() -> None:
    before, after = Tokens(OLD, None, 900), Tokens(NEW, OLD, 900)
    assert after.verify(before.sign("user", "session", 1, "user", NOW), NOW).user_id == "user"
    with pytest.raises(Unauthenticated):
        before.verify(after.sign("user", "session", 1, "user", NOW), NOW)
    assert len(after.public_keys()) == 2


def test_the_key_depends_on_the_secret_alone() -> None:
    assert Tokens(NEW, None, 1).public_keys() == Tokens(NEW, None, 2).public_keys()
    assert Tokens(NEW, None, 1).public_keys() != Tokens(OLD, None, 1).public_keys()


def test_an_expired_token_says_so() -> None:
    tokens = Tokens(NEW, None, 900)
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(tokens.sign("user", "session", 1, "user", NOW), NOW + timedelta(seconds=900))
    assert caught.value.code == "token_expired"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_forgeries() -> None:
    tokens = Tokens(NEW, None, 900)
    good = tokens.sign("user", "session", 1, "user", NOW)
    header, payload, signature = good.split(".")
    kid = jwt.get_unverified_header(good)["kid"]
    stranger = Tokens(OLD, None, 900).sign("user", "session", 1, "user", NOW).split(".")
    public = next(iter(tokens.public_keys().values()))
    forged = [
        "", "x", "a.b.c", "." * 5, "x" * 5000,
        f"{header}.{payload}.",
        f"{_part({'alg': 'none', 'kid': kid})}.{payload}.",
        f"{header}.{_part({'sub': 'other'})}.{signature}",
        f"{_part({'alg': 'EdDSA', 'kid': kid})}.{stranger[1]}.{stranger[2]}",
        f"{_part({'alg': 'EdDSA', 'kid': ['x']})}.{payload}.{signature}",
        jwt.encode({"sub": "user"}, public, algorithm="HS256", headers={"kid": kid}),
    ]  # fmt: skip
    for token in forged:
        with pytest.raises(Unauthenticated) as caught:
            tokens.verify(token, NOW)
        assert caught.value.code == "bad_token"


def test_a_refresh_token_names_its_login_and_is_stored_as_a_hash() -> None:
    token = new_refresh_token("session")
    session_id, _, secret = token.partition(".")
    assert session_id == "session"
    assert refresh_hash(token) == stored_hash(secret)
    assert secret.encode() not in refresh_hash(token)
    assert new_refresh_token("session") != token
    assert looks_like_refresh_token(token)
    assert not any(looks_like_refresh_token(each) for each in ("", session_id, f"{session_id}.", secret, token + "x"))


def test_what_follows_on_a_refresh_token_is_always_the_same_and_known_by_the_secret_alone() -> None:
    token = new_refresh_token("session")
    (following,) = Tokens(NEW, None, 900).successors(token)
    assert following.startswith("session.")
    assert len(following) == len(token)
    assert Tokens(NEW, None, 1).successors(token) == [following]
    assert Tokens(NEW, None, 900).successors(new_refresh_token("session")) != [following]
    assert Tokens(NEW, OLD, 900).successors(token) == [following, *Tokens(OLD, None, 900).successors(token)]
    assert Tokens(OLD, None, 900).successors(token) != [following]
