"""How the front door has been doing of late. Times in seconds; the clock is an argument (any steady one).

What is older than five minutes, or pushed out by newer ones, no longer counts. A time or share of nothing is 0, save
the share that is prompt: where nothing was asked for nothing was late, and that is 1.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil
from typing import ClassVar, Final, Literal, NamedTuple

import msgspec

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


class RoutePerformance(msgspec.Struct, frozen=True):
    """Times until the answer began; error_rate: share of answers of 500 and above."""

    avg_time: float
    p95_time: float
    error_rate: float


class MemoryUsage(msgspec.Struct, frozen=True):
    """What the process holds, in MiB: now, and the mean of late."""

    current_mb: float
    avg_mb: float


class CachePerformance(msgspec.Struct, frozen=True):
    """Forecasts found remembered, and not, since the start."""

    hit_rate: float
    hits: int
    misses: int


class PredictionPerformance(msgspec.Struct, frozen=True):
    """Times until a forecast was there, made or remembered; predictions_under_100ms: their share, 1 while none was
    asked for."""

    avg_time: float
    predictions_under_100ms: float


class PerformanceMetrics(msgspec.Struct, frozen=True):
    """request_performance: by method and template of the path."""

    example: ClassVar[str] = (
        '{"timestamp":"2025-08-21T13:08:46Z","request_performance":{"GET /predict/{ticker}":{"avg_time":0.012,'
        '"p95_time":0.031,"error_rate":0.0}},"memory_usage":{"current_mb":245.6,"avg_mb":244.9},'
        '"cache_performance":{"hit_rate":0.847,"hits":847,"misses":153},'
        '"prediction_performance":{"avg_time":0.011,"predictions_under_100ms":0.92}}'
    )

    timestamp: str
    request_performance: dict[str, RoutePerformance]
    memory_usage: MemoryUsage
    cache_performance: CachePerformance
    prediction_performance: PredictionPerformance


class ApiPerformance(msgspec.Struct, frozen=True):
    """Over all requests of late."""

    p95_response_time: float
    error_rate: float


class MlPerformance(msgspec.Struct, frozen=True):
    """As in PredictionPerformance."""

    predictions_under_100ms: float


class PerformanceSummary(msgspec.Struct, frozen=True):
    """cache_performance: the hit rate of forecasts. status: `critical` from 5 s at the 95th percentile or a quarter of
    failures on; `degraded` from 1 s, 5 % of failures, or with less than half of the predictions within 100 ms; else
    `optimal`."""

    example: ClassVar[str] = (
        '{"api_performance":{"p95_response_time":0.156,"error_rate":0.013},'
        '"ml_performance":{"predictions_under_100ms":0.92},"cache_performance":0.847,"memory_usage_mb":245.6,'
        '"status":"optimal"}'
    )

    api_performance: ApiPerformance
    ml_performance: MlPerformance
    cache_performance: float
    memory_usage_mb: float
    status: Status


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

    def metrics(self, now_s: float, timestamp: str) -> PerformanceMetrics:
        """All of it; timestamp: what the wall clock says."""
        routes = {route: recent for route, kept in self._routes.items() if (recent := _recent(kept, now_s))}
        predictions = _recent(self._predictions, now_s)
        memory = _mean(held for at_s, held in self._memory if at_s > now_s - SPAN_S)
        return PerformanceMetrics(
            timestamp=timestamp,
            request_performance={
                route: RoutePerformance(_time(_mean_time(recent)), _time(_p95(recent)), _share(recent, _has_failed))
                for route, recent in sorted(routes.items())
            },
            memory_usage=MemoryUsage(self._current_mb(), _mb(memory)),
            cache_performance=CachePerformance(self._hit_rate(), self.hits, self.misses),
            prediction_performance=PredictionPerformance(_time(_mean_time(predictions)), _prompt(predictions)),
        )

    def summary(self, now_s: float) -> PerformanceSummary:
        """In a few numbers and a word."""
        requests, predictions = _recent(self._requests, now_s), _recent(self._predictions, now_s)
        p95_s, errors = _p95(requests), _share(requests, _has_failed)
        prompt = _prompt(predictions)
        return PerformanceSummary(
            api_performance=ApiPerformance(_time(p95_s), errors),
            ml_performance=MlPerformance(prompt),
            cache_performance=self._hit_rate(),
            memory_usage_mb=self._current_mb(),
            status=status(p95_s, errors, prompt),
        )

    def _hit_rate(self) -> float:
        asked = self.hits + self.misses
        return round(self.hits / asked, 4) if asked else 0.0

    def _current_mb(self) -> float:
        return _mb(self._memory[-1][1]) if self._memory else 0.0


def status(p95_s: float, error_rate: float, prompt: float) -> Status:
    """The word for these numbers, as `PerformanceSummary` says."""
    if p95_s >= _CRITICAL_P95_S or error_rate >= _CRITICAL_ERRORS:
        return "critical"
    if p95_s >= _DEGRADED_P95_S or error_rate >= _DEGRADED_ERRORS or prompt < _DEGRADED_PROMPT:
        return "degraded"
    return "optimal"


def _prompt(predictions: list[Request]) -> float:
    """The share of those within PROMPT_S. A 0 where none was asked for would read as an alarm."""
    return _share(predictions, _is_prompt) if predictions else 1.0


def _is_prompt(request: Request) -> bool:
    return request.took_s < PROMPT_S


def _has_failed(request: Request) -> bool:
    return request.failed


def _recent(kept: Iterable[Request], now_s: float) -> list[Request]:
    return [each for each in kept if each.at_s > now_s - SPAN_S]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _mean_time(requests: list[Request]) -> float:
    return _mean(each.took_s for each in requests)


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
