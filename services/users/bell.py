"""How the two roles wake one another up where they run in one process. Without it they only look a little later."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


class Bell:
    """Rung when there is something to look at. Rings while nobody waits are kept, as one. It wakes up one who waits."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, at_most_s: float) -> bool:
        """Returns when it rings, or after `at_most_s` seconds (with 0 at once): has it rung?"""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), at_most_s)
        rung = self._rung.is_set()
        self._rung.clear()
        return rung


class Takings:
    """Tells who waits for a rule that it was taken in."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Bell]] = {}

    @contextmanager
    def of(self, rule_id: str) -> Iterator[Bell]:
        """A bell that rings when this rule is taken in; several may wait for the same one."""
        bell, waiting = Bell(), self._waiting.setdefault(rule_id, set())
        waiting.add(bell)
        try:
            yield bell
        finally:
            waiting.discard(bell)
            if not waiting:
                self._waiting.pop(rule_id, None)

    def tell(self, rule_ids: Iterable[str]) -> None:
        for rule_id in rule_ids:
            for bell in self._waiting.get(rule_id, ()):
                bell.ring()
