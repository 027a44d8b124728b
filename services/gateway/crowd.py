"""How many may be here, over all replicas, and how fast they may come in.

Places are leases in the cache that all replicas share: one that crashes loses its own within a minute. Where that cache
does not answer, each process goes on counting for itself, and tells of its own when it is back.
"""

import asyncio
import hashlib
import itertools
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from services.gateway.config import Settings
from services.gateway.core.pace import Pace
from services.gateway.handshake import Visitor
from services.gateway.tokens import Caller
from services.shared.cache import Cache
from services.shared.errors import TooMany, Unavailable

_log = logging.getLogger("tickroom.gateway.sockets")

LEASE_S: Final = 60.0
KEEP_EVERY_S: Final = 20.0
_PATIENCE_S: Final = 1.0
_ASK_AGAIN_S: Final = 5.0
_COMPLAIN_EVERY_S: Final = 60.0
_SHORTEST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 60.0

T = TypeVar("T")


class Place:
    """One socket among the others. Where its owner becomes known only later, it counts for them from then on."""

    def __init__(self, crowd: "Crowd", holder: str, caller: Caller | None) -> None:
        self._crowd = crowd
        self._holder = holder
        self._known = caller is not None

    async def belongs_to(self, caller: Caller) -> None:
        """Raises TooMany where the owner has enough sockets already. Does nothing once the owner is known."""
        if not self._known:
            self._known = True
            await self._crowd.take(self._holder, self._crowd.places_of(caller))


class Crowd:
    """The sockets of one process among those of all. draining: raises Unavailable once nobody is let in any more."""

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        *,
        draining: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._per_user = settings.max_connections_per_user
        self._per_address = settings.max_connections_per_address
        self._rush = _Rush(settings.max_handshakes_per_second, clock, chance)
        self._draining = draining
        self._cache = cache
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._here: Counter[str] = Counter()
        self._held: dict[str, list[str]] = {}  # the keys that each socket has a place under
        self._left: list[tuple[str, str]] = []
        self._telling: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()  # or a lease could be kept after it was ended
        self._away_until = float("-inf")
        self._complained_at = float("-inf")

    async def run(self) -> None:
        """Keeps the leases until cancelled; by then those of sockets that left have ended."""
        try:
            while True:
                await asyncio.sleep(KEEP_EVERY_S)
                await self.keep()
        finally:
            if self._telling is not None:
                await self._telling

    async def keep(self) -> None:
        """Holds every lease for another LEASE_S."""
        async with self._order:
            held = [(key, holder) for holder, keys in self._held.items() for key in keys]
            if held:
                await self._try(partial(self._cache.keep, held, LEASE_S), KEEP_EVERY_S)

    def __len__(self) -> int:
        """Sockets that have a place here."""
        return len(self._held)

    def knock(self) -> None:
        """Raises Unavailable: `draining`, or `busy` where more come in than MAX_HANDSHAKES_PER_SECOND."""
        self._draining()
        self._rush.check()

    @asynccontextmanager
    async def admit(self, visitor: Visitor) -> AsyncIterator[Place]:
        """A place as long as this lasts. Raises TooMany (`too_many_connections`)."""
        holder = f"{self._process}.{next(self._numbers)}"
        places = self._places_at(visitor.address)
        if visitor.caller is not None:
            places |= self.places_of(visitor.caller)
        try:
            await self.take(holder, places)
            yield Place(self, holder, visitor.caller)
        finally:
            self._leave(holder)

    # For `Place`

    async def take(self, holder: str, places: Mapping[str, int]) -> None:
        if any(self._here[key] >= most for key, most in places.items()):
            raise _too_many()
        self._here.update(places.keys())  # before anybody is asked: who comes meanwhile has to see it
        try:
            full = await self._lease(holder, places) if places else None
        except BaseException:  # cancelled: whether the lease was given, nobody knows
            self._free(holder, places)
            raise
        if full is not None:
            self._uncount(places)
            raise _too_many()
        self._held.setdefault(holder, []).extend(places)

    def places_of(self, caller: Caller) -> dict[str, int]:
        return {f"sockets:user:{caller.user_id}": self._per_user} if self._per_user else {}

    def _places_at(self, address: str) -> dict[str, int]:
        # hashed: addresses of people do not belong into a cache
        name = hashlib.sha256(address.encode()).hexdigest()[:32]
        return {f"sockets:address:{name}": self._per_address} if self._per_address else {}

    def _leave(self, holder: str) -> None:
        self._free(holder, self._held.pop(holder, []))

    def _free(self, holder: str, keys: Iterable[str]) -> None:
        self._uncount(keys)
        self._left += [(key, holder) for key in keys]
        if self._left and self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    def _uncount(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._here[key] -= 1
            if not self._here[key]:
                del self._here[key]

    # The cache

    async def _lease(self, holder: str, places: Mapping[str, int]) -> str | None:
        """The key that is full, None where a place was given, or the cache does not answer."""
        telling = self._telling
        full = await self._try(partial(self._cache.lease, holder, places, LEASE_S))
        if full is not None and telling is not None:  # one of ours had left, which was not known there yet
            await asyncio.shield(telling)
            full = await self._try(partial(self._cache.lease, holder, places, LEASE_S))
        return full

    async def _tell(self) -> None:
        """Ends what was left, as much at once as there is by then."""
        async with self._order:
            while self._left:
                left, self._left = self._left, []
                await self._try(partial(self._cache.keep, left, 0))
            self._telling = None

    async def _try(self, ask: Callable[[], Awaitable[T]], patience_s: float | None = None) -> T | None:
        """The cache's answer; None where it gives none in time, or gave none a moment ago."""
        if self._clock() < self._away_until:
            return None
        try:
            async with asyncio.timeout(patience_s or _PATIENCE_S):
                return await ask()
        except Exception as error:  # whatever the cache raises
            self._away_until = self._clock() + _ASK_AGAIN_S
            if self._clock() - self._complained_at > _COMPLAIN_EVERY_S:
                self._complained_at = self._clock()
                _log.warning(
                    "Redis does not answer (%s): sockets are counted by each process for itself", type(error).__name__
                )
            return None


class _Rush:
    """Lets `per_second` in. The others are told about when their turn is, so that they are no storm again."""

    def __init__(self, per_second: int, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._chance = chance
        self._pace = Pace(per_second, clock())
        self._sent_away = 0.0
        self._seen_s = clock()

    def check(self) -> None:
        now_s = self._clock()
        self._sent_away = max(0.0, self._sent_away - (now_s - self._seen_s) * self._per_second)
        self._seen_s = now_s
        if not self._pace.allows(now_s):
            self._sent_away += 1.0
            turn_s = min(self._sent_away / self._per_second, _LONGEST_WAIT_S)
            wait_s = _SHORTEST_WAIT_S + turn_s + self._chance()
            raise Unavailable("too many come in at once; try again soon", code="busy", retry_after_s=wait_s)


def _too_many() -> TooMany:
    return TooMany("there are enough open sockets of this user or address", code="too_many_connections")
