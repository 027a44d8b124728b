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
    assert await hasher.verify("plum-tarmac-otter", stored) == (True, None)
    assert await hasher.verify("plum-tarmac-otters", stored) == (False, None)
    assert await hasher.hash("plum-tarmac-otter") != stored


async def test_nobody_has_the_password_of_the_unknown() -> None:
    assert await Passwords().verify("x", None) == (False, None)


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


async def test_a_hash_of_other_parameters_is_made_anew() -> None:
    schemes: Any = passlib.hash
    old = schemes.argon2.using(type="ID", memory_cost=1024, time_cost=1, parallelism=1).hash("plum-tarmac-otter")
    right, fresh = await Passwords().verify("plum-tarmac-otter", old)
    assert right
    assert fresh is not None
    assert fresh.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await Passwords().verify("plum-tarmac-otter", fresh) == (True, None)
    assert await Passwords().verify("wrong", old) == (False, None)


async def test_an_unknown_address_costs_the_same_work_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash each, of the same parameters and length: what takes the time is the same."""
    hashed: list[tuple[str, str, int]] = []
    call = passwords._call

    def noted(what: str, arguments: tuple[str, ...]) -> object:
        hashed.append((what, arguments[1].rpartition("$")[0].rpartition("$")[0], len(arguments[1])))
        return call(what, arguments)

    stored = await Passwords().hash("plum-tarmac-otter")
    monkeypatch.setattr(passwords, "_call", noted)
    assert await Passwords().verify("slate-window-heron", stored) == (False, None)
    assert await Passwords().verify("slate-window-heron", None) == (False, None)
    wrong, unknown = hashed
    assert wrong == unknown
