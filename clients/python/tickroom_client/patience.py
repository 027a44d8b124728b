"""How long to wait for what."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds, all of them.

    Attempts to reconnect wait a random time between 0 and `first_s`, then twice that and so on up to `longest_s`; a
    time that the server names is added. open_s: for a handshake; silence_s: without any frame (the server pings
    every 25 s) until a connection counts as lost; steady_s: a connection that ended sooner counts as a failure too;
    between_s: from one of our frames to the next, since servers count them. attempts: failures in a row after which
    to give up, None = never.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    open_s: float = 10.0
    silence_s: float = 60.0
    steady_s: float = 5.0
    between_s: float = 0.125
    attempts: int | None = None

    def pause_s(self, failures: int, told_s: float = 0.0, draw: Callable[[], float] = random.random) -> float:
        """How long to wait after so many `failures` in a row (1, 2 ...); draw: uniform in [0, 1)."""
        widest = self.first_s * 2.0 ** min(failures - 1, 64)
        return told_s + draw() * min(self.longest_s, widest)
