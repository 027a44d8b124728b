"""How many requests somebody may send in a minute: counted per user, or per address where nobody valid is named.

Counts live in the cache that all replicas share. Where that does not answer, each process counts alone until it does:
market data and all else is served on, and no process lets more than the limit through. (Logins and registrations are
counted by users too, which refuses what it can't count.)
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.middleware import refuse
from services.shared.cache import Cache, Counted, MemoryCache
from services.shared.errors import TooMany, Unavailable

_log = logging.getLogger("tickroom.gateway.limits")

_LIMITED = Counter("gateway_limited_requests", "Requests refused because their sender had sent too many")
_ALONE = Counter("gateway_requests_counted_alone", "Requests counted by this process alone: Redis did not answer")

WINDOW_S: Final = 60
_EXEMPT: Final = frozenset({"/", "/docs", "/health", "/metrics"})
_EXEMPT_BELOW: Final = ("/health/", "/static/")
_PATIENCE_S: Final = 0.5
_ASK_AGAIN_S: Final = 1.0
_COMPLAIN_EVERY_S: Final = 60.0

Who = Callable[[Scope], Awaitable[str]]
"""Whom a request counts for: a text that names one user, or one address."""


class Counts:
    """Requests by whom they count for. cache: that all replicas share, or the memory of this process."""

    def __init__(self, cache: Cache, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shared = None if isinstance(cache, MemoryCache) else cache
        self._own = cache if isinstance(cache, MemoryCache) else MemoryCache()
        self._monotonic = monotonic
        self._away = False
        self._ask_from_s = float("-inf")
        self._complained_at_s = float("-inf")

    async def add(self, who: str) -> Counted:
        """One more request, in a window of a minute. Never fails."""
        # hashed: addresses of people do not belong into a cache
        key = f"gateway:requests:{hashlib.blake2b(who.encode(), digest_size=16).hexdigest()}"
        if self._shared is not None:
            counted = await self._ask(self._shared, key)
            if counted is not None:
                return counted
            _ALONE.inc()
        return await self._own.count(key, WINDOW_S)

    async def _ask(self, shared: Cache, key: str) -> Counted | None:
        """None where there is no answer, or was none a moment ago."""
        now_s = self._monotonic()
        if self._away:
            if now_s < self._ask_from_s:
                return None
            self._ask_from_s = now_s + _ASK_AGAIN_S  # this request finds out; nobody else waits with it
        try:
            async with asyncio.timeout(_PATIENCE_S):
                counted = await shared.count(key, WINDOW_S)
        except (Unavailable, TimeoutError) as error:
            self._away, self._ask_from_s = True, self._monotonic() + _ASK_AGAIN_S
            self._complain(error)
            return None
        self._away = False
        return counted

    def _complain(self, error: Unavailable | TimeoutError) -> None:
        now_s = self._monotonic()
        if now_s - self._complained_at_s >= _COMPLAIN_EVERY_S:
            self._complained_at_s = now_s
            why = str(error) or "the cache does not answer in time"
            _log.warning("%s: this process counts requests alone", why)


@dataclass(frozen=True, slots=True)
class Limits:
    """Lets `limit` requests of each through in a minute, and says in every answer how many are left; where another
    limit refused, how many are left of that one (none).

    Health, metrics and the pages are free; so are WebSocket handshakes, which have limits of their own.
    """

    app: ASGIApp
    limit: int
    counts: Counts
    who: Who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_exempt(scope["path"]):
            await self.app(scope, receive, send)
            return
        counted = await self.counts.add(await self.who(scope))
        told = _headers(self.limit, counted)
        ours = counted.total > self.limit

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                elsewhere = message["status"] == 429 and not ours
                headers = message["headers"]
                message["headers"] = [*headers, *(_refused(Headers(raw=headers)) if elsewhere else told)]
            await send(message)

        if not ours:
            await self.app(scope, receive, marked)
            return
        _LIMITED.inc()
        error = TooMany(
            f"more than {self.limit} requests in a minute", code="too_many_requests", retry_after_s=counted.left_s
        )
        await refuse(error, scope, receive, marked)


def _is_exempt(path: str) -> bool:
    return path in _EXEMPT or path.startswith(_EXEMPT_BELOW)


def _refused(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Of an answer that some other limit refused, of logins or of streams: what is left there, not here.

    That limit's size is known where it is counted; people are told the wait alone.
    """
    wait_s = int(headers["retry-after"])
    return [
        (b"ratelimit", b'"refusal";r=0;t=%d' % wait_s),
        (b"x-ratelimit-remaining", b"0"),
        (b"x-ratelimit-reset", b"%d" % ceil(time.time() + wait_s)),
    ]


def _headers(limit: int, counted: Counted) -> list[tuple[bytes, bytes]]:
    """The fields of the IETF draft "RateLimit header fields for HTTP", and those that came before it.

    `t` and `Retry-After` are seconds from now, `X-RateLimit-Reset` is a UNIX time.
    """
    left, reset_s = max(0, limit - counted.total), max(1, ceil(counted.left_s))
    return [
        (b"ratelimit", b'"default";r=%d;t=%d' % (left, reset_s)),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit, WINDOW_S)),
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % left),
        (b"x-ratelimit-reset", b"%d" % ceil(time.time() + counted.left_s)),
    ]
