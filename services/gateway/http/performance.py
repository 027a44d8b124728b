"""How this process is doing: times and failures of its requests, its memory, its forecasts.

Every process tells of itself alone; `/metrics` is there for adding them up.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Final

from starlette.routing import Route

from services.gateway.core.performance import Performance, PerformanceMetrics, PerformanceSummary
from services.gateway.http.middleware import UNMATCHED
from services.gateway.http.routing import endpoint, resource
from services.shared.events import rfc3339, seconds

_STATM: Final = Path("/proc/self/statm")
_SAMPLE_EVERY_S: Final = 1.0


class Watch:
    """Measures, and tells what was measured. performance: where that is kept."""

    def __init__(self, performance: Performance, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._performance = performance
        self._monotonic = monotonic
        self._sampled_at_s = float("-inf")

    def routes(self) -> list[Route]:
        return [
            resource("/performance/metrics", GET=self.metrics),
            resource("/performance/summary", GET=self.summary),
        ]

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """Called for each answer; those of paths that lead nowhere don't count: nobody waits for them."""
        now_s = self._monotonic()
        if route != UNMATCHED:
            self._performance.answered(f"{method} {route}", now_s, took_s, failed=status >= 500)
        if now_s - self._sampled_at_s >= _SAMPLE_EVERY_S:
            self._sample(now_s)

    @endpoint("Times, memory and forecasts of this process")
    async def metrics(self) -> PerformanceMetrics:
        """Times in seconds, of the last five minutes. A time or share of nothing is 0, that of prompt predictions 1."""
        now_s = self._monotonic()
        self._sample(now_s)
        return self._performance.metrics(now_s, seconds(rfc3339(datetime.now(UTC))))

    @endpoint("The same in a few numbers and a word")
    async def summary(self) -> PerformanceSummary:
        now_s = self._monotonic()
        self._sample(now_s)
        return self._performance.summary(now_s)

    def _sample(self, now_s: float) -> None:
        self._sampled_at_s = now_s
        self._performance.measured(now_s, memory_bytes())


def memory_bytes() -> int:
    """What this process holds of the machine's memory; where the system does not tell, the most it ever held."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = getrusage(RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
