"""How often somebody may try, counted in the cache that all replicas share."""

import hashlib
from dataclasses import dataclass

from services.shared.cache import Cache
from services.shared.errors import TooMany


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `limit` tries of one kind per key in `window_s` seconds; 0 = no limit."""

    cache: Cache
    kind: str
    limit: int
    window_s: int

    async def count(self, *keys: str) -> None:
        """Counts a try for each key (empty ones aside). Raises TooMany where one of them is over the limit."""
        if not self.limit:
            return
        counts = [await self.cache.incr(self._name(key), self.window_s) for key in keys if key]
        if any(count > self.limit for count in counts):
            raise TooMany("too many attempts, try later", code="too_many_attempts", retry_after_s=self.window_s)

    def _name(self, key: str) -> str:
        # hashed: addresses of people do not belong into a cache
        return f"users:{self.kind}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
