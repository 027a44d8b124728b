"""Tokens: only ours, only EdDSA, only with every claim. Symbols: fetched with the same restraint as keys."""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.symbols import Symbols
from services.gateway.tokens import Caller, Verifier
from services.shared.errors import NotFound, Unauthenticated, Unavailable
from tests.unit.gateway.http_fakes import FakeStockData, FakeUsers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_good_token_names_its_caller() -> None:
    users = FakeUsers()
    until = int(time.time()) + 60
    assert await Verifier(users).verify(users.token("u7", version=3, exp=until)) == Caller("u7", "s1", 3, "user", until)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1}, "token_expired"),
        ({"exp": None}, "bad_token"),
        ({"iss": None}, "bad_token"),
        ({"iss": "somebody"}, "bad_token"),
        ({"aud": None}, "bad_token"),
        ({"aud": "elsewhere"}, "bad_token"),
        ({"sub": None}, "bad_token"),
        ({"sub": ""}, "bad_token"),
        ({"version": None}, "bad_token"),
        ({"version": "1"}, "bad_token"),
        ({"version": True}, "bad_token"),
        ({"exp": "soon"}, "bad_token"),
        ({"nbf": 99999999999}, "bad_token"),
        ({"headers": {"kid": "other"}}, "bad_token"),
        ({"headers": {"crit": ["x"], "x": 1}}, "bad_token"),
    ],
)
async def test_anything_less_is_refused(changes: dict[str, Any], code: str) -> None:
    users = FakeUsers()
    with pytest.raises(Unauthenticated) as refused:
        await Verifier(users).verify(users.token(**changes))
    assert refused.value.code == code


async def test_a_token_of_another_key_is_refused() -> None:
    users = FakeUsers()
    forged = FakeUsers(key=Ed25519PrivateKey.generate()).token()
    with pytest.raises(Unauthenticated):
        await Verifier(users).verify(forged)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_another_algorithm_is_refused(algorithm: str) -> None:
    users = FakeUsers()
    public = (await users.keys()).by_kid["k1"]
    claims = jwt.decode(users.token(), options={"verify_signature": False})
    key: bytes | str = public if algorithm == "HS256" else ""
    forged = jwt.encode(claims, key, algorithm, headers={"kid": "k1"})
    with pytest.raises(Unauthenticated):
        await Verifier(users).verify(forged)


async def test_an_unsigned_body_under_an_eddsa_header_is_refused() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    users = FakeUsers()
    claims = jwt.decode(users.token(), options={"verify_signature": False})
    with pytest.raises(Unauthenticated):
        await Verifier(users).verify(f"{part({'alg': 'EdDSA', 'kid': 'k1'})}.{part(claims)}.")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=100), st.from_regex(r"[\w-]{0,30}\.[\w-]{0,30}\.[\w-]{0,30}"), st.just("x" * 5000)))
async def test_nonsense_is_refused_and_nothing_else(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await Verifier(FakeUsers()).verify(token)


async def test_keys_are_fetched_once_and_again_for_a_new_kid() -> None:
    users, clock = FakeUsers(), Clock()
    verifier = Verifier(users, clock)
    await asyncio.gather(*(verifier.verify(users.token()) for _ in range(10)))
    assert users.keys_asked == 1
    users.key, users.kid = Ed25519PrivateKey.generate(), "k2"
    clock.now = 2.0
    assert (await verifier.verify(users.token())).user_id == "u1"
    assert users.keys_asked == 2


async def test_made_up_key_ids_do_not_become_load() -> None:
    users, clock = FakeUsers(), Clock()
    verifier = Verifier(users, clock)
    for number in range(10):
        with pytest.raises(Unauthenticated):
            await verifier.verify(users.token(headers={"kid": f"made-up-{number}"}))
    assert users.keys_asked == 1


async def test_keys_that_can_not_be_fetched_are_no_verdict_on_the_token() -> None:
    users = FakeUsers(fails=Unavailable("users can't be reached"))
    verifier = Verifier(users)
    with pytest.raises(Unavailable):
        await verifier.verify(users.token())
    users.fails = None
    assert (await verifier.verify(users.token())).user_id == "u1"


async def test_symbols_are_resolved_by_any_case_and_by_name() -> None:
    symbols = Symbols(FakeStockData())
    assert [await symbols.resolve(text) for text in ("AAPL", "aapl", " Apple ", "ibm")] == [
        "AAPL",
        "AAPL",
        "AAPL",
        "IBM",
    ]


async def test_an_unknown_symbol_is_asked_for_again_only_after_a_while() -> None:
    stock_data, clock = FakeStockData(), Clock()
    symbols = Symbols(stock_data, clock)
    for _ in range(3):
        with pytest.raises(NotFound):
            await symbols.resolve("NOPE")
    assert stock_data.tickers_asked == 1
    clock.now = 1.5
    with pytest.raises(NotFound):
        await symbols.resolve("NOPE")
    assert stock_data.tickers_asked == 2


async def test_a_room_that_is_away_is_no_verdict_on_a_symbol() -> None:
    stock_data = FakeStockData()
    stock_data.fails = Unavailable("away")
    symbols = Symbols(stock_data)
    with pytest.raises(Unavailable):
        await symbols.resolve("AAPL")
    stock_data.fails = None
    assert await symbols.resolve("AAPL") == "AAPL"
    stock_data.fails = Unavailable("away again")
    assert await symbols.resolve("AAPL") == "AAPL"


@pytest.mark.parametrize(
    "other", ["tk_0123456789ab_" + "A" * 43, "0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11." + "A" * 43, "A" * 43, "u1"]
)
async def test_no_other_secret_passes_as_a_token(other: str) -> None:
    """An API key, a refresh token, a ticket or a code, the id of a user."""
    with pytest.raises(Unauthenticated) as refused:
        await Verifier(FakeUsers()).verify(other)
    assert refused.value.code == "bad_token"
