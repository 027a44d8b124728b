"""Whose tokens are worth nothing although they have not expired: logged out, or made before a new password.

Each entry is kept for as long as an access token made before it could live, so that there are never many.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from services.gateway.backends import Keys, Revocation, SessionRef
from services.shared.errors import TickroomError, Unauthenticated, Unavailable

_log = logging.getLogger("tickroom.gateway.tokens")

_LONGEST_TTL_S: Final = 86_400  # that users accepts as ACCESS_TOKEN_TTL_S
_MARGIN_S: Final = 60  # for clocks that differ, and events that take their time
_ASK_AGAIN_S: Final = 0.25
_WORTH_SAYING_S: Final = 10.0

Hear = Callable[[Revocation], None]


class Remembers(Protocol):
    async def keys(self) -> Keys: ...

    async def revocations(self) -> Sequence[Revocation]: ...


def ends(revocation: Revocation, session: SessionRef) -> bool:
    """Is `session` one of those that `revocation` is about?"""
    if revocation.user_id != session.user_id:
        return False
    return (
        revocation.session_id == session.session_id if revocation.session_id else session.version < revocation.version
    )


def revoked() -> Unauthenticated:
    return Unauthenticated("this login has ended, here or elsewhere", code="token_revoked")


class Revocations:
    """What one gateway knows of them. Events are heard by `note`; what was before those is fetched by `load`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ttl_s = float(_LONGEST_TTL_S)
        self._loaded = False
        self._sessions: OrderedDict[str, float] = OrderedDict()  # when it was heard of
        self._versions: OrderedDict[str, tuple[float, int]] = OrderedDict()  # by user: likewise, and the least good one
        self._listeners: list[Hear] = []

    def __len__(self) -> int:
        return len(self._sessions) + len(self._versions)

    async def known(self) -> bool:
        """Is `load` through, so that tokens can be judged?"""
        return self._loaded

    def listen(self, hear: Hear) -> None:
        """hear: is told each one at once."""
        self._listeners.append(hear)

    def note(self, revocation: Revocation) -> None:
        """Takes one in, and tells the listeners; known ones too."""
        self.mark(revocation)
        for hear in self._listeners:
            hear(revocation)

    def mark(self, revocation: Revocation) -> None:
        """Takes one in whose event is on its way, behind what tells of it: the listeners hear it then."""
        now = self._clock()
        if revocation.session_id:
            self._sessions[revocation.session_id] = now
            self._sessions.move_to_end(revocation.session_id)
        else:
            known = self._versions.get(revocation.user_id, (0.0, revocation.version))[1]
            self._versions[revocation.user_id] = (now, max(known, revocation.version))
            self._versions.move_to_end(revocation.user_id)
        self._forget()

    def check(self, session: SessionRef) -> None:
        """Raises Unauthenticated (`token_revoked`), and Unavailable before `load` is through."""
        if not self._loaded:
            raise Unavailable("who was logged out is not known yet", retry_after_s=1.0)
        if self.covers(session):
            raise revoked()

    def covers(self, session: SessionRef) -> bool:
        """Is it known to be worth nothing?"""
        _, version = self._versions.get(session.user_id, (0.0, session.version))
        return session.session_id in self._sessions or session.version < version

    def doubt(self) -> None:
        """Events may have been lost: nobody is judged until `load` is through again."""
        self._loaded = False

    async def load(self, users: Remembers) -> None:
        """Fetches what was before the first event, and asks again until users answers."""
        begun, said = self._clock(), False
        while not self._loaded:
            try:
                keys, earlier = await asyncio.gather(users.keys(), users.revocations())
            except TickroomError as error:
                if not said and self._clock() - begun > _WORTH_SAYING_S:
                    _log.warning("who was logged out is still not to be had: %s", error.detail)
                    said = True
                await asyncio.sleep(_ASK_AGAIN_S)
            else:
                self._ttl_s = float(keys.token_ttl_s)
                for each in earlier:
                    self.note(each)
                self._loaded = True

    def _forget(self) -> None:
        old = self._clock() - self._ttl_s - _MARGIN_S
        while self._sessions and next(iter(self._sessions.values())) <= old:
            self._sessions.popitem(last=False)
        while self._versions and next(iter(self._versions.values()))[0] <= old:
            self._versions.popitem(last=False)
