"""Hashes passwords with argon2id, in threads behind a semaphore: each one takes tens of milliseconds and 19 MiB."""

import asyncio
import os
from typing import Any, Final

from services.shared.errors import Unavailable
from services.users import metrics

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
"""What OWASP's cheat sheet asks of argon2id at least."""

UNKNOWN: Final = "$argon2id$v=19$m=19456,t=2,p=1$spYyZkyJEeLcWwvhXItRKg$j/ntSqUkQni1plNXQIy3f1BLR+T1UutVI3UxLXt2zwY"
"""Verified where there is no account, so that an unknown address takes as long as a wrong password. Nobody has it."""

_MOST_WAITING: Final = 64


class Passwords:
    """at_once: hashes computed at the same time; more than 64 waiting ones are refused."""

    def __init__(self, at_once: int | None = None) -> None:
        self._free = asyncio.Semaphore(at_once or min(4, os.cpu_count() or 1))
        self._in_hand = 0

    async def hash(self, password: str) -> str:
        """The hash to store, with its salt and parameters. Raises Unavailable when too many wait."""
        return str(await self._in_thread("hash", password))

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Is it the password of `stored`? None takes as long as a wrong one. Raises Unavailable when too many wait.

        Beside a yes: a new hash, where `stored` was made with parameters of another day; else None.
        """
        right, fresh = await self._in_thread("verify", password, stored or UNKNOWN)
        return (right, fresh) if stored is not None else (False, None)

    async def _in_thread(self, what: str, *arguments: str) -> Any:
        if self._in_hand >= _MOST_WAITING:
            raise Unavailable("too many logins at once", retry_after_s=1.0)
        self._in_hand += 1
        metrics.HASHING.inc()
        try:
            async with self._free:
                return await asyncio.to_thread(_call, what, arguments)
        finally:
            self._in_hand -= 1
            metrics.HASHING.dec()


def _call(what: str, arguments: tuple[str, ...]) -> Any:
    import passlib.hash  # 0.15 s to import: not on the way to the first price

    schemes: Any = passlib.hash
    hasher = schemes.argon2.using(type="ID", memory_cost=MEMORY_KIB, time_cost=PASSES, parallelism=LANES)
    if what == "hash":
        return hasher.hash(*arguments)
    password, stored = arguments
    right = hasher.verify(password, stored)
    return right, hasher.hash(password) if right and hasher.needs_update(stored) else None
