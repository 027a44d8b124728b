"""`/performance/*`: real requests in, the promised shapes out."""

import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.core.performance import Performance
from services.gateway.http.performance import Watch, memory_bytes
from services.shared.errors import Unavailable
from tests.unit.gateway.http_fakes import Front


async def _fails(_request: Request) -> Response:
    raise RuntimeError("secret")


async def test_metrics_have_the_promised_shape() -> None:
    front = Front()
    async with front.client() as client:
        for _ in range(3):
            await client.get("/predict/AAPL")
        body = (await client.get("/performance/metrics")).json()
    assert body.keys() == {
        "timestamp",
        "request_performance",
        "memory_usage",
        "cache_performance",
        "prediction_performance",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
    assert body["request_performance"].keys() == {"GET /predict/{ticker}"}
    of_route = body["request_performance"]["GET /predict/{ticker}"]
    assert of_route.keys() == {"avg_time", "p95_time", "error_rate"}
    assert 0 < of_route["avg_time"] <= of_route["p95_time"] < 10
    assert body["memory_usage"].keys() == {"current_mb", "avg_mb"}
    assert 10 < body["memory_usage"]["current_mb"] < 10_000
    assert body["cache_performance"].keys() == {"hit_rate", "hits", "misses"}
    assert body["prediction_performance"].keys() == {"avg_time", "predictions_under_100ms"}


async def test_the_summary_has_the_promised_shape() -> None:
    async with Front().client() as client:
        await client.get("/tickers")
        body = (await client.get("/performance/summary")).json()
    assert body.keys() == {
        "api_performance",
        "ml_performance",
        "cache_performance",
        "memory_usage_mb",
        "status",
    }
    assert body["api_performance"].keys() == {"p95_response_time", "error_rate"}
    assert body["ml_performance"].keys() == {"predictions_under_100ms"}
    assert isinstance(body["cache_performance"], float)
    assert body["memory_usage_mb"] > 10
    assert body["status"] == "optimal"


async def test_failures_are_those_of_500_and_above() -> None:
    front = Front([Route("/fails", _fails)])
    async with front.client() as client:
        for path in ("/fails", "/tickers", "/predict/NOPE", "/predict/AAPL"):
            await client.get(path)
        front.prediction.fails = Unavailable("prediction is away")
        await client.get("/predict/AAPL")
        routes = (await client.get("/performance/metrics")).json()["request_performance"]
        summary = (await client.get("/performance/summary")).json()
    rates = {route: found["error_rate"] for route, found in routes.items()}
    assert rates == {"GET /fails": 1.0, "GET /predict/{ticker}": 0.3333, "GET /tickers": 0.0}
    assert summary["api_performance"]["error_rate"] == pytest.approx(2 / 6, abs=1e-4)
    assert summary["status"] == "critical"


async def test_what_callers_make_up_does_not_show() -> None:
    async with Front().client() as client:
        await client.get("/made/up")
        await client.request("BREW", "/tickers")
        routes = (await client.get("/performance/metrics")).json()["request_performance"]
    assert routes.keys() == {"other /tickers"}


async def test_the_cache_that_counts_is_that_of_forecasts() -> None:
    front = Front()
    front.performance.hits, front.performance.misses = 3, 1
    async with front.client() as client:
        assert (await client.get("/performance/summary")).json()["cache_performance"] == 0.75


def test_memory_is_measured_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []
    times = iter((0.0, 0.5, 0.99, 1.0, 1.5, 2.5))
    performance = Performance()
    monkeypatch.setattr(performance, "measured", lambda at_s, held: measured.append(at_s))
    watch = Watch(performance, lambda: next(times))
    for _ in range(6):
        watch.answered("GET", "/tickers", 200, 0.001)
    assert measured == [0.0, 1.0, 2.5]


def test_memory_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    told = memory_bytes()
    monkeypatch.setattr("services.gateway.http.performance._STATM", Path("/nowhere"))
    assert told / 2 < memory_bytes()  # the most that it ever held
