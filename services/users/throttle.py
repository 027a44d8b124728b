"""How often somebody may try, counted in the cache that all replicas share."""

import hashlib
import logging
from dataclasses import dataclass

from services.shared.cache import Cache
from services.shared.errors import TooMany, Unavailable

_log = logging.getLogger("tickroom.users.throttle")


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
        try:
            counts = [await self.cache.incr(self._name(key), self.window_s) for key in keys if key]
        except Exception as error:  # whatever the cache raises: a try that can't be counted is not allowed
            _log.warning("attempts can't be counted: %s", type(error).__name__)
            raise Unavailable("attempts can't be counted just now", retry_after_s=1.0) from error
        if any(count > self.limit for count in counts):
            raise TooMany("too many attempts, try later", code="too_many_attempts", retry_after_s=self.window_s)

    def _name(self, key: str) -> str:
        # hashed: addresses of people do not belong into a cache
        return f"users:{self.kind}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
