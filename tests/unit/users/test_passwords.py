"""Hashing of passwords."""

import asyncio
from typing import Any

import passlib.hash
import pytest

from services.shared.errors import Unavailable
from services.users import passwords
from services.users.passwords import UNKNOWN, Passwords


async def test_a_hash_verifies_its_password_alone() -> None:
    hasher = Passwords()
    stored = await hasher.hash("plum-tarmac-otter")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("plum-tarmac-otter", stored)
    assert not await hasher.verify("plum-tarmac-otters", stored)
    assert await hasher.hash("plum-tarmac-otter") != stored


async def test_nobody_has_the_password_of_the_unknown() -> None:
    assert not await Passwords().verify("x", None)


def test_the_unknown_costs_as_much_as_anybody() -> None:
    schemes: Any = passlib.hash
    today = schemes.argon2.using(
        type="ID",
        memory_cost=passwords.MEMORY_KIB,
        time_cost=passwords.PASSES,
        parallelism=passwords.LANES,
    )
    assert not today.needs_update(UNKNOWN)


async def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_MOST_WAITING", 2)
    hasher = Passwords(at_once=1)
    results = await asyncio.gather(*(hasher.hash("plum-tarmac-otter") for _ in range(4)), return_exceptions=True)
    assert [isinstance(each, Unavailable) for each in results] == [False, False, True, True]
    assert await hasher.hash("plum-tarmac-otter")
