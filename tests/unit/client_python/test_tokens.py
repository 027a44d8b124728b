import asyncio

import pytest

from tickroom_client import Ticket
from tickroom_client.tokens import Tokens


class _Office:
    """Gives out t1, t2 ..., and notes instead of what."""

    def __init__(self, kind: type[str] = str) -> None:
        self.asked: list[str | None] = []
        self._kind = kind

    async def __call__(self, old: str | None) -> str:
        self.asked.append(old)
        await asyncio.sleep(0)
        return self._kind(f"t{len(self.asked)}")


async def test_a_fixed_token_has_no_other() -> None:
    tokens = Tokens("t")
    assert await tokens.current() == "t"
    assert await tokens.instead_of("t") is None
    assert await Tokens(None).current() is None
    assert await Tokens(None).instead_of(None) is None


async def test_the_provider_is_asked_when_there_is_need() -> None:
    office = _Office()
    tokens = Tokens(office)
    assert [await tokens.current(), await tokens.current()] == ["t1", "t1"]
    assert await tokens.instead_of("t1") == "t2"
    assert await tokens.current() == "t2"
    assert office.asked == [None, "t1"]


async def test_streams_that_lose_one_token_together_get_one_new_one() -> None:
    office = _Office()
    tokens = Tokens(office)
    await tokens.current()
    assert await asyncio.gather(*(tokens.instead_of("t1") for _ in range(5))) == ["t2"] * 5
    assert office.asked == [None, "t1"]


async def test_a_provider_that_has_nothing_new() -> None:
    async def stubborn(_old: str | None) -> str:
        return "t"

    tokens = Tokens(stubborn)
    assert await tokens.current() == "t"
    assert await tokens.instead_of("t") is None


async def test_each_connection_has_a_ticket_of_its_own() -> None:
    office = _Office(Ticket)
    tokens = Tokens(office)
    assert [await tokens.current(), await tokens.current()] == ["t1", "t2"]
    assert await tokens.instead_of("t2") == "t3"
    assert await tokens.current() == "t3"
    assert office.asked == [None, None, "t2"]


async def test_a_provider_that_fails_is_asked_again() -> None:
    answers: list[str | OSError] = [OSError("no network"), "t"]

    async def shaky(_old: str | None) -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    tokens = Tokens(shaky)
    with pytest.raises(OSError, match="no network"):
        await tokens.current()
    assert await tokens.current() == "t"
