"""How the front door has been doing of late. Times in seconds; the clock is an argument (any steady one).

What is older than five minutes, or pushed out by newer ones, no longer counts. A time or share of nothing is 0.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Final, Literal, NamedTuple

Status = Literal["optimal", "degraded", "critical"]

SPAN_S: Final = 300.0
PROMPT_S: Final = 0.1
_MOST_OF_A_ROUTE: Final = 512
_MOST_IN_ALL: Final = 4096
_MEBIBYTE: Final = 1 << 20

_CRITICAL_P95_S, _CRITICAL_ERRORS = 5.0, 0.25
_DEGRADED_P95_S, _DEGRADED_ERRORS, _DEGRADED_PROMPT = 1.0, 0.05, 0.5


class Request(NamedTuple):
    """took_s: until the answer began; failed: with a status of 500 and above."""

    at_s: float
    took_s: float
    failed: bool


class Performance:
    """The measurements of one process."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._routes: dict[str, deque[Request]] = {}
        self._requests: deque[Request] = deque(maxlen=_MOST_IN_ALL)
        self._predictions: deque[Request] = deque(maxlen=_MOST_OF_A_ROUTE)
        self._memory: deque[tuple[float, int]] = deque(maxlen=_MOST_OF_A_ROUTE)

    def answered(self, route: str, at_s: float, took_s: float, *, failed: bool) -> None:
        """route: method and template of the path, such as `GET /predict/{ticker}`: never what a caller made up."""
        kept = self._routes.get(route)
        if kept is None:
            kept = self._routes[route] = deque(maxlen=_MOST_OF_A_ROUTE)
        request = Request(at_s, took_s, failed)
        kept.append(request)
        self._requests.append(request)

    def predicted(self, at_s: float, took_s: float) -> None:
        """A forecast was answered, made or remembered."""
        self._predictions.append(Request(at_s, took_s, False))

    def measured(self, at_s: float, memory_bytes: int) -> None:
        """What this process holds of the machine's memory."""
        self._memory.append((at_s, memory_bytes))

    def metrics(self, now_s: float) -> dict[str, Any]:
        """`GET /performance/metrics` without its timestamp."""
        routes = {route: recent for route, kept in self._routes.items() if (recent := _recent(kept, now_s))}
        predictions = _recent(self._predictions, now_s)
        return {
            "request_performance": {
                route: {
                    "avg_time": _time(_mean(each.took_s for each in recent)),
                    "p95_time": _time(_p95(recent)),
                    "error_rate": _share(recent, lambda each: each.failed),
                }
                for route, recent in sorted(routes.items())
            },
            "memory_usage": {
                "current_mb": self._current_mb(),
                "avg_mb": _mb(_mean(held for at_s, held in self._memory if at_s > now_s - SPAN_S)),
            },
            "cache_performance": {"hit_rate": self._hit_rate(), "hits": self.hits, "misses": self.misses},
            "prediction_performance": {
                "avg_time": _time(_mean(each.took_s for each in predictions)),
                "predictions_under_100ms": _share(predictions, _is_prompt),
            },
        }

    def summary(self, now_s: float) -> dict[str, Any]:
        """`GET /performance/summary`."""
        requests, predictions = _recent(self._requests, now_s), _recent(self._predictions, now_s)
        p95_s, errors = _p95(requests), _share(requests, lambda each: each.failed)
        prompt = _share(predictions, _is_prompt)
        return {
            "api_performance": {"p95_response_time": _time(p95_s), "error_rate": errors},
            "ml_performance": {"predictions_under_100ms": prompt},
            "cache_performance": self._hit_rate(),
            "memory_usage_mb": self._current_mb(),
            "status": status(p95_s, errors, prompt if predictions else 1.0),
        }

    def _hit_rate(self) -> float:
        asked = self.hits + self.misses
        return round(self.hits / asked, 4) if asked else 0.0

    def _current_mb(self) -> float:
        return _mb(self._memory[-1][1]) if self._memory else 0.0


def status(p95_s: float, error_rate: float, prompt: float) -> Status:
    """critical: from 5 s at the 95th percentile, or a quarter of failures; degraded: from 1 s, 5 % of failures, or less
    than half of the predictions within 100 ms; else optimal."""
    if p95_s >= _CRITICAL_P95_S or error_rate >= _CRITICAL_ERRORS:
        return "critical"
    if p95_s >= _DEGRADED_P95_S or error_rate >= _DEGRADED_ERRORS or prompt < _DEGRADED_PROMPT:
        return "degraded"
    return "optimal"


def _is_prompt(request: Request) -> bool:
    return request.took_s < PROMPT_S


def _recent(kept: Iterable[Request], now_s: float) -> list[Request]:
    return [each for each in kept if each.at_s > now_s - SPAN_S]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _p95(requests: list[Request]) -> float:
    """By nearest rank: a time that was really measured."""
    times = sorted(each.took_s for each in requests)
    return times[ceil(0.95 * len(times)) - 1] if times else 0.0


def _share(requests: list[Request], counts: Callable[[Request], bool]) -> float:
    return round(sum(map(counts, requests)) / len(requests), 4) if requests else 0.0


def _time(seconds: float) -> float:
    return round(seconds, 6)


def _mb(held: float) -> float:
    return round(held / _MEBIBYTE, 1)
