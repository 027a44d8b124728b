"""Times, failures and memory of late: what counts, what no longer does, and the word for it all."""

from typing import Any

import msgspec
import pytest

from services.gateway.core.performance import SPAN_S, Performance, status

PREDICT = "GET /predict/{ticker}"
NOW = "2025-08-21T13:08:46Z"


def metrics(performance: Performance, now_s: float) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(performance.metrics(now_s, NOW))
    return found


def summary(performance: Performance, now_s: float) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(performance.summary(now_s))
    return found


def test_nothing_measured_yet_is_zero_and_nothing_was_late() -> None:
    nothing = Performance()
    assert metrics(nothing, 0.0) == {
        "timestamp": NOW,
        "request_performance": {},
        "memory_usage": {"current_mb": 0.0, "avg_mb": 0.0},
        "cache_performance": {"hit_rate": 0.0, "hits": 0, "misses": 0},
        "prediction_performance": {"avg_time": 0.0, "predictions_under_100ms": 1.0},
    }
    assert summary(nothing, 0.0) == {
        "api_performance": {"p95_response_time": 0.0, "error_rate": 0.0},
        "ml_performance": {"predictions_under_100ms": 1.0},
        "cache_performance": 0.0,
        "memory_usage_mb": 0.0,
        "status": "optimal",
    }


def test_a_route_has_its_mean_its_95th_percentile_and_its_failures() -> None:
    performance = Performance()
    for number in range(1, 101):
        performance.answered(PREDICT, 1.0, number / 1000, failed=number > 98)
    performance.answered("GET /health", 1.0, 0.5, failed=False)
    routes = metrics(performance, 2.0)["request_performance"]
    assert routes[PREDICT] == {"avg_time": 0.0505, "p95_time": 0.095, "error_rate": 0.02}
    assert routes["GET /health"] == {"avg_time": 0.5, "p95_time": 0.5, "error_rate": 0.0}
    assert summary(performance, 2.0)["api_performance"] == {"p95_response_time": 0.096, "error_rate": 0.0198}


def test_what_is_old_no_longer_counts() -> None:
    performance = Performance()
    performance.answered(PREDICT, 0.0, 9.0, failed=True)
    performance.predicted(0.0, 9.0)
    performance.measured(0.0, 900 << 20)
    performance.answered("GET /health", SPAN_S, 0.001, failed=False)
    performance.measured(SPAN_S, 100 << 20)
    found = metrics(performance, SPAN_S)
    assert found["request_performance"].keys() == {"GET /health"}
    assert found["prediction_performance"]["avg_time"] == 0.0
    assert found["memory_usage"] == {"current_mb": 100.0, "avg_mb": 100.0}
    assert summary(performance, SPAN_S)["api_performance"] == {"p95_response_time": 0.001, "error_rate": 0.0}


def test_the_newest_push_the_oldest_out() -> None:
    performance = Performance()
    performance.answered(PREDICT, 0.0, 9.0, failed=True)
    for _ in range(512):
        performance.answered(PREDICT, 1.0, 0.001, failed=False)
    assert metrics(performance, 1.0)["request_performance"][PREDICT]["error_rate"] == 0.0


def test_predictions_memory_and_cache() -> None:
    performance = Performance()
    for took_s in (0.01, 0.02, 0.099, 0.1):
        performance.predicted(0.0, took_s)
    performance.measured(0.0, 100 << 20)
    performance.measured(1.0, 201 << 20)
    performance.hits, performance.misses = 2, 1
    found = metrics(performance, 1.0)
    assert found["prediction_performance"] == {"avg_time": 0.05725, "predictions_under_100ms": 0.75}
    assert found["memory_usage"] == {"current_mb": 201.0, "avg_mb": 150.5}
    assert found["cache_performance"] == {"hit_rate": 0.6667, "hits": 2, "misses": 1}
    assert summary(performance, 1.0)["cache_performance"] == 0.6667


@pytest.mark.parametrize(
    ("p95_s", "error_rate", "prompt", "word"),
    [
        (0.156, 0.013, 0.92, "optimal"),
        (0.999, 0.0499, 0.5, "optimal"),
        (1.0, 0.0, 1.0, "degraded"),
        (0.0, 0.05, 1.0, "degraded"),
        (0.0, 0.0, 0.49, "degraded"),
        (5.0, 0.0, 1.0, "critical"),
        (0.0, 0.25, 1.0, "critical"),
    ],
)
def test_the_word_for_it(p95_s: float, error_rate: float, prompt: float, word: str) -> None:
    assert status(p95_s, error_rate, prompt) == word


def test_slow_predictions_alone_degrade() -> None:
    performance = Performance()
    performance.predicted(0.0, 0.5)
    assert summary(performance, 0.0)["status"] == "degraded"
