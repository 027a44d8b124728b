"""How often a message is tried again, when a channel is given up, and how many messages a storm becomes.

A message is one notification, or a digest of several. It is tried again with full jitter for a day, then it is dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

TRIED_FOR: Final = timedelta(hours=24)
"""From the first attempt on; the last one is made when it ends."""

WINDOW: Final = timedelta(seconds=60)
SINGLES: Final = 5
"""So many notifications in one window go out one by one; what is beyond becomes a digest."""

MOST_IN_DIGEST: Final = 500

_FIRST_S: Final = 10.0
_LONGEST_S: Final = 3600.0
_BROKEN_AFTER: Final = 3
_GIVE_UP_AFTER: Final = 20
_GIVE_UP_TIME: Final = timedelta(hours=24)

Status = Literal["delivered", "retrying", "dead"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. error: a word, empty = delivered; code: the HTTP status that was answered, if any.

    retry_after_s: what the receiver asked for. gone: the receiver says that it will never come back.
    """

    error: str = ""
    code: int | None = None
    retry_after_s: float | None = None
    gone: bool = False

    @property
    def delivered(self) -> bool:
        return not self.error


def next_attempt(
    outcome: Outcome, attempt: int, first_at: datetime, now: datetime, random: float
) -> tuple[Status, datetime]:
    """What becomes of a message after its attempt number `attempt` (1, 2 ...), and when the next one is due.

    random: 0 to 1, full jitter: clients that failed together don't come back together. The receiver's Retry-After is
    the least that is waited.
    """
    if outcome.delivered:
        return "delivered", now
    deadline = first_at + TRIED_FOR
    if outcome.gone or now >= deadline:
        return "dead", now
    ceiling_s = min(_LONGEST_S, _FIRST_S * 2.0 ** min(attempt - 1, 20))
    wait_s = max(random * ceiling_s, outcome.retry_after_s or 0.0, 1.0)
    left_s = (deadline - now).total_seconds()
    return "retrying", now + timedelta(seconds=min(wait_s, left_s))


@dataclass(frozen=True, slots=True)
class Health:
    """How a channel fares. failures: attempts in a row that failed, the first of them at `since`."""

    failures: int = 0
    since: datetime | None = None

    def after(self, outcome: Outcome, now: datetime) -> "Health":
        return Health() if outcome.delivered else Health(self.failures + 1, self.since or now)

    @property
    def broken(self) -> bool:
        """Is it better to try one message at a time? What is new waits with the one that failed."""
        return self.failures >= _BROKEN_AFTER

    def hopeless(self, now: datetime) -> bool:
        """Nothing came through for a day, however often it was tried: the channel is disabled."""
        return self.failures >= _GIVE_UP_AFTER and self.since is not None and now - self.since >= _GIVE_UP_TIME


@dataclass(frozen=True, slots=True)
class Window:
    """What went out lately. sent: messages since `began`; more than SINGLES: the window's digest has gone too."""

    began: datetime | None = None
    sent: int = 0

    def at(self, now: datetime) -> "Window":
        """The window in force now."""
        return self if self.began is not None and now < self.began + WINDOW else Window(now, 0)

    def ends(self, now: datetime) -> datetime:
        return (self.began or now) + WINDOW


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with fresh notifications: `messages` of these (by their numbers), and the window then.

    wait_until: when to look again at those that are left out; None where all are in `messages`.
    """

    messages: Sequence[Sequence[int]] = field(default_factory=tuple)
    window: Window = field(default_factory=Window)
    wait_until: datetime | None = None


def plan(fresh: Sequence[int], window: Window, now: datetime, *, gathered: bool) -> Plan:
    """How these notifications (numbers, oldest first) go to a channel other than the socket.

    | in this window | fresh ones |
    |---|---|
    | up to SINGLES with them | one message each |
    | more, and no digest yet | one digest of all (a lone one stays itself) |
    | its digest has gone | wait for the next window |

    gathered: they were held back (quiet hours, a broken channel) and go together, whatever the window says.
    """
    window = window.at(now)
    if not fresh:
        return Plan((), window)
    if gathered:
        return Plan(_digests(fresh), Window(window.began, SINGLES + 1))
    if window.sent + len(fresh) <= SINGLES:
        return Plan([(each,) for each in fresh], Window(window.began, window.sent + len(fresh)))
    if window.sent > SINGLES:
        return Plan((), window, window.ends(now))
    return Plan(_digests(fresh), Window(window.began, SINGLES + 1))


def _digests(fresh: Sequence[int]) -> list[Sequence[int]]:
    return [fresh[first : first + MOST_IN_DIGEST] for first in range(0, len(fresh), MOST_IN_DIGEST)]
