"""Who asks, by an API key (`X-API-Key`): asked of users, and remembered for half a minute.

A key that is revoked is forgotten at once, on every gateway: its end is told like that of a login.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from services.gateway.account_backends import SessionRef
from services.gateway.revocations import Revocations
from services.shared.errors import Unauthenticated

_KEY: Final = re.compile(r"tk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
_REMEMBERED_S: Final = 30.0  # well below the time for which revocations are known
_MOST: Final = 10_000


class Knows(Protocol):
    async def verify_api_key(self, key: str) -> SessionRef:
        """Raises Unauthenticated, Unavailable."""
        ...


class ApiKeys:
    """clock: UNIX seconds. revocations: what has ended since it was remembered; None: nothing."""

    def __init__(
        self,
        users: Knows,
        revocations: Revocations | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._revocations = revocations
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[float, SessionRef]] = OrderedDict()  # by hash: a dump shows no keys

    async def verify(self, key: str) -> SessionRef:
        """Raises Unauthenticated (`bad_api_key`, `token_revoked`), Unavailable."""
        if not _KEY.fullmatch(key):
            raise _bad()
        caller = self.remembered(key)
        if caller is None:
            caller = await self._users.verify_api_key(key)
            if self._revocations is not None:
                self._revocations.check(caller)
            self._remember(key, caller)
        if caller.expires_at <= self._clock():
            raise _bad()
        return caller

    def remembered(self, key: str) -> SessionRef | None:
        """The holder of a key that was asked about lately, and has not ended since."""
        name = _hashed(key)
        until, caller = self._known.get(name, (0.0, None))
        if caller is None:
            return None
        ended = self._revocations is not None and self._revocations.covers(caller)
        if ended or until <= self._monotonic():
            self._known.pop(name, None)
            return None
        return caller

    def _remember(self, key: str, caller: SessionRef) -> None:
        self._known[_hashed(key)] = (self._monotonic() + _REMEMBERED_S, caller)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _bad() -> Unauthenticated:
    return Unauthenticated("the API key is not one of ours, or no longer", code="bad_api_key")
