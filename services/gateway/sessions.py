"""How long an open socket may stay: a minute's warning, the end of its token, and logouts anywhere.

All sockets share one timer and one check a minute: thousands that stand idle cost nothing. A logout reaches us three
ways, each enough by itself: as an event (at once), as the answer to `check` (whoever joined while it happened), and as
the answer to the check of everybody, should an event ever be lost.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final, Protocol

from services.gateway.backends import Revocation, SessionRef
from services.gateway.drain import Close
from services.gateway.revocations import Revocations, ends, revoked
from services.gateway.tokens import Caller
from services.shared.errors import Denied, TickroomError, Unauthenticated

_log = logging.getLogger("tickroom.gateway.sockets")

WARN_S: Final = 60
CHECK_EVERY_S: Final = 60.0
_LOOK_EVERY_S: Final = 60.0  # at least: the clock of a machine may jump
_MOST_AT_ONCE: Final = 1000  # that users takes in one call

Warn = Callable[[int], None]
"""Tells a client in how many seconds its token expires."""


class Checks(Protocol):
    async def check_sessions(self, sessions: Sequence[SessionRef]) -> Sequence[bool]:
        """Is each of up to 1,000 still worth something? May raise a TickroomError."""
        ...


class Timer(Protocol):
    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Calls a function in so many seconds, unless cancelled."""


def _of_the_loop(delay_s: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(delay_s, call)


class Watched:
    """The token of one open socket. caller: as of the newest token."""

    __slots__ = ("_open", "_warned", "caller", "close", "due", "warn")

    def __init__(self, among: "OpenSessions", caller: Caller, warn: Warn, close: Close) -> None:
        self._open: OpenSessions | None = among
        self._warned = False
        self.caller = caller
        self.due = 0
        self.warn = warn
        self.close = close

    async def check(self) -> None:
        """Asks users whether the login still stands, and closes the socket where not. No answer is no verdict."""
        if self._open is not None:
            await self._open.ask(self.caller)

    def renew(self, caller: Caller) -> None:
        """A fresh token. Raises Denied for that of somebody else."""
        if caller.user_id != self.caller.user_id:
            raise Denied("this is the token of another user")
        if self._open is not None:
            self._warned = self._warned and caller.expires_at == self.caller.expires_at
            self.caller = caller
            self._open.plan(self)

    def end(self) -> None:
        """The socket is gone, or going."""
        if self._open is not None:
            self._open.forget(self)
            self._open = None

    # For `OpenSessions`

    def turn_out(self, error: TickroomError) -> None:
        if self._open is not None:
            self.end()
            self.close(error)

    @property
    def next_due(self) -> int:
        """When something has to be said, in UNIX seconds."""
        return self.caller.expires_at - (0 if self._warned else WARN_S)

    def ring(self, now: float) -> None:
        """Its time has come."""
        if self._open is None:
            return
        left_s = self.caller.expires_at - now
        if left_s <= 0:
            self.turn_out(Unauthenticated("the token has expired", code="token_expired"))
            return
        if not self._warned:
            self._warned = True
            self.warn(round(left_s))
        self._open.plan(self)


class OpenSessions:
    """The tokens of all sockets of one process. clock: UNIX seconds."""

    def __init__(
        self,
        users: Checks,
        revocations: Revocations,
        clock: Callable[[], float] = time.time,
        call_later: CallLater = _of_the_loop,
    ) -> None:
        self._users = users
        self._revocations = revocations
        self._clock = clock
        self._call_later = call_later
        self._of_user: dict[str, set[Watched]] = {}
        self._due: dict[int, set[Watched]] = {}  # by second, so that one who leaves is found without a search
        self._seconds: list[int] = []  # a heap
        self._timer: Timer | None = None
        self._wakes_at = float("inf")
        self._questions: dict[SessionRef, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._complained_at = float("-inf")
        revocations.listen(self._revoke)

    def __len__(self) -> int:
        return sum(map(len, self._of_user.values()))

    def watch(self, caller: Caller, *, warn: Warn, close: Close) -> Watched:
        """From now on until `end`, or until `close` was called. Neither is called before this returns."""
        watched = Watched(self, caller, warn, close)
        self._of_user.setdefault(caller.user_id, set()).add(watched)
        self.plan(watched)
        if self._revocations.covers(caller):  # since the token was verified
            asyncio.get_running_loop().call_soon(watched.turn_out, revoked())
        return watched

    async def run(self) -> None:
        """Asks about everybody once a minute, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await self.check_all()

    async def check_all(self) -> None:
        """Asks about everybody now; returns when all answers are there."""
        for watched in [each for sockets in self._of_user.values() for each in sockets]:
            self._question(watched.caller)
        if self._asking is not None:
            await asyncio.shield(self._asking)

    # For `Watched`

    async def ask(self, caller: Caller) -> None:
        """Returns once users has answered, or did not."""
        await asyncio.shield(self._question(caller))

    def plan(self, watched: Watched) -> None:
        self._due.get(watched.due, set()).discard(watched)
        watched.due = watched.next_due
        if watched.due not in self._due:
            self._due[watched.due] = set()
            heappush(self._seconds, watched.due)
        self._due[watched.due].add(watched)
        self._set_timer()

    def forget(self, watched: Watched) -> None:
        self._due.get(watched.due, set()).discard(watched)
        sockets = self._of_user.get(watched.caller.user_id, set())
        sockets.discard(watched)
        if not sockets:
            self._of_user.pop(watched.caller.user_id, None)

    # Time

    def _set_timer(self) -> None:
        if not self._seconds or self._seconds[0] >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = self._seconds[0]
        wait_s = min(max(0.0, self._wakes_at - self._clock()), _LOOK_EVERY_S)
        self._timer = self._call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._wakes_at = float("inf")
        now = self._clock()
        while self._seconds and self._seconds[0] <= now:
            for watched in self._due.pop(heappop(self._seconds)):
                watched.ring(now)
        self._set_timer()

    # Logouts

    def _revoke(self, revocation: Revocation) -> None:
        for watched in list(self._of_user.get(revocation.user_id, ())):
            if ends(revocation, watched.caller):
                watched.turn_out(revoked())

    def _question(self, caller: Caller) -> asyncio.Future[None]:
        """Whoever asks while a call is on its way shares the next one."""
        if caller not in self._questions:
            self._questions[caller] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return self._questions[caller]

    async def _ask(self) -> None:
        try:
            while self._questions:
                batch = dict(islice(self._questions.items(), _MOST_AT_ONCE))
                for caller in batch:
                    del self._questions[caller]
                try:
                    await self._verdicts(list(batch))
                finally:
                    for answered in batch.values():
                        answered.set_result(None)
        finally:
            self._asking = None

    async def _verdicts(self, callers: Sequence[Caller]) -> None:
        try:
            verdicts = await self._users.check_sessions(callers)
        except TickroomError as error:  # no verdict: asked again in a minute
            if self._clock() - self._complained_at > CHECK_EVERY_S:
                self._complained_at = self._clock()
                _log.warning("logins of open sockets can't be checked now: %s", error.detail)
            return
        for caller, stands in zip(callers, verdicts, strict=True):
            if not stands:
                self._turn_out(caller)

    def _turn_out(self, caller: Caller) -> None:
        for watched in list(self._of_user.get(caller.user_id, ())):
            if (watched.caller.session_id, watched.caller.version) == (caller.session_id, caller.version):
                watched.turn_out(revoked())
