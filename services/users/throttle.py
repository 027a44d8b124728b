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
        """Counts a try for each key (empty ones aside).

        Raises TooMany where one of them is over the limit, Unavailable where the cache does not answer.
        """
        if not self.limit:
            return
        counts = [await self.cache.count(self._name(key), self.window_s) for key in keys if key]
        over = [each.left_s for each in counts if each.total > self.limit]
        if over:
            raise TooMany("too many attempts, try later", code="too_many_attempts", retry_after_s=max(over))

    def _name(self, key: str) -> str:
        # hashed: addresses of people do not belong into a cache
        return f"users:{self.kind}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
