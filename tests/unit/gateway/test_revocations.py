"""Whose tokens are worth nothing although they have not expired."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.gateway.backends import Keys, Revocation, SessionRef
from services.gateway.revocations import Revocations
from services.gateway.tokens import Verifier
from services.shared.errors import Unauthenticated, Unavailable
from tests.unit.gateway.http_fakes import FakeUsers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """fails: so many calls are not answered."""

    earlier: Sequence[Revocation] = ()
    ttl_s: int = 900
    fails: int = 0
    asked: int = field(default=0)

    async def keys(self) -> Keys:
        return Keys({}, "tickroom", "tickroom", self.ttl_s)

    async def revocations(self) -> Sequence[Revocation]:
        self.asked += 1
        if self.asked <= self.fails:
            raise Unavailable("users can't be reached")
        return self.earlier


def session(session_id: str = "s1", *, user_id: str = "u1", version: int = 1) -> SessionRef:
    return SessionRef(user_id, session_id, version, "user", 2_000_000_000)


def ended(session_id: str = "", *, user_id: str = "u1", version: int = 1) -> Revocation:
    """One login, or without `session_id` all below `version`."""
    return Revocation(id="r", user_id=user_id, session_id=session_id, version=version, timestamp="2024-09-21T14:23:00Z")


async def known(*earlier: Revocation, clock: Clock | None = None, ttl_s: int = 900) -> Revocations:
    revocations = Revocations(clock or Clock())
    await revocations.load(Office(earlier, ttl_s))
    return revocations


async def test_one_login_ends_and_no_other() -> None:
    revocations = await known()
    revocations.note(ended("s1"))
    with pytest.raises(Unauthenticated) as refused:
        revocations.check(session("s1"))
    assert refused.value.code == "token_revoked"
    revocations.check(session("s2"))
    revocations.check(session("", user_id="u2"))


async def test_everywhere_ends_what_was_before_and_not_what_comes_after() -> None:
    revocations = await known()
    revocations.note(ended(version=3))
    revocations.note(ended(version=2))  # late: an older one
    assert [revocations.covers(session(version=version)) for version in (1, 2, 3, 4)] == [True, True, False, False]
    assert not revocations.covers(session(user_id="u2"))


async def test_what_was_before_is_fetched_until_users_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.revocations._ASK_AGAIN_S", 0.001)
    revocations, office = Revocations(), Office([ended("s1"), ended(version=5, user_id="u2")], fails=3)
    with pytest.raises(Unavailable):
        revocations.check(session("s9"))
    await asyncio.wait_for(revocations.load(office), 10)
    assert office.asked == 4
    revocations.check(session("s9"))
    assert revocations.covers(session("s1"))
    assert revocations.covers(session(user_id="u2", version=4))


async def test_that_users_does_not_answer_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.gateway.revocations._ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("services.gateway.revocations._WORTH_SAYING_S", -1.0)
    await Revocations().load(Office(fails=5))
    assert caplog.text.count("still not to be had") == 1


async def test_events_before_the_answer_count() -> None:
    revocations = Revocations()
    revocations.note(ended("s1"))
    await revocations.load(Office())
    assert revocations.covers(session("s1"))


async def test_an_entry_is_kept_for_as_long_as_a_token_can_live() -> None:
    clock = Clock()
    revocations = await known(ended("s1"), ended(version=2), clock=clock, ttl_s=100)
    clock.now = 105.0  # verifiers allow for clocks that differ
    revocations.note(ended("s2"))
    assert revocations.covers(session("s1", version=2))
    assert len(revocations) == 3
    clock.now = 200.0
    revocations.note(ended("s3"))
    assert len(revocations) == 2
    assert not revocations.covers(session("s1"))


async def test_many_logouts_do_not_pile_up() -> None:
    clock = Clock()
    revocations = Revocations(clock)
    revocations.note(ended("before users answered"))
    await revocations.load(Office(ttl_s=10))
    for number in range(10_000):
        clock.now += 1.0
        revocations.note(ended(f"s{number}"))
        revocations.note(ended(user_id=f"u{number}"))
    assert len(revocations) <= 2 * (10 + 60 + 1)


async def test_listeners_hear_of_each() -> None:
    revocations, heard = await known(), list[Revocation]()
    revocations.listen(heard.append)
    revocations.note(ended("s1"))
    assert [each.session_id for each in heard] == ["s1"]


async def test_what_is_only_marked_is_worth_nothing_and_nobody_is_told_yet() -> None:
    revocations = await known()
    heard: list[Revocation] = []
    revocations.listen(heard.append)
    revocations.mark(ended("s1"))
    assert heard == []
    with pytest.raises(Unauthenticated):
        revocations.check(session("s1"))
    revocations.note(ended("s1"))
    assert len(heard) == 1


async def test_the_verifier_refuses_what_is_revoked() -> None:
    users, revocations = FakeUsers(), Revocations()
    verifier = Verifier(users, revocations=revocations)
    assert not await revocations.known()
    with pytest.raises(Unavailable):
        await verifier.verify(users.token())
    await revocations.load(users)
    assert await revocations.known()
    revocations.doubt()
    with pytest.raises(Unavailable):
        await verifier.verify(users.token())
    await revocations.load(users)
    assert (await verifier.verify(users.token())).session_id == "s1"
    revocations.note(ended("s1"))
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(users.token())
    assert refused.value.code == "token_revoked"
    assert (await verifier.verify(users.token(sid="s2"))).session_id == "s2"
    with pytest.raises(Unauthenticated) as bad:
        await verifier.verify(users.token(exp=1))
    assert bad.value.code == "token_expired"
