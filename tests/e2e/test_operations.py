"""What the running system tells of itself: how it warmed up, how it does, and what its answers say of limits."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import house


def _asking(base: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base, trust_env=False, timeout=15)


async def _warm(http: httpx.AsyncClient) -> dict[str, Any]:
    """`/warmup/status` once it is over."""
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await http.get("/warmup/status")).json()
            if found["completed_at"] is not None:
                return found
            await asyncio.sleep(0.2)


async def test_warm_up_forecasts_and_limits(tmp_path: Path) -> None:
    settings = {"REPLAY_RATE": "1", "REQUESTS_PER_MINUTE": "1000"}  # each of five symbols moves every five seconds
    began = time.time()
    async with house.embedded(tmp_path, **settings) as (_, base), _asking(base) as http:
        first = await _warm(http)
        assert began - 1 < first["started_at"] < first["completed_at"] < time.time()
        assert first["duration_seconds"] == pytest.approx(first["completed_at"] - first["started_at"], abs=0.002)
        assert (first["models_loaded"], first["models_trained"], first["errors"]) == (0, 1, [])

        answers = [await http.get("/predict/IBM") for _ in range(30)]
        assert {each.status_code for each in answers} == {200}
        metrics = (await http.get("/performance/metrics")).json()
        cache = metrics["cache_performance"]
        assert cache["hits"] + cache["misses"] == 30
        assert cache["hits"] > cache["misses"]
        assert metrics["request_performance"]["GET /predict/{ticker}"]["error_rate"] == 0.0
        assert (await http.get("/performance/summary")).json()["cache_performance"] == cache["hit_rate"]

        page = await http.get("/api/stocks/history?symbol=IBM&end=2012-03-30")
        assert page.headers["ratelimit-policy"] == '"default";q=1000;w=60'
        again = await http.get(page.url, headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    async with house.embedded(tmp_path, **settings) as (_, base), _asking(base) as http:
        again_warm = await _warm(http)
    assert (again_warm["models_loaded"], again_warm["models_trained"]) == (1, 0)


async def test_several_gateways_without_redis_do_not_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with house.process("services", log, {"DATA_DIR": str(tmp_path / "data"), "PORT": "0", "REPLICAS": "2"}) as running:
        running.handle.wait(30)
    assert running.handle.returncode == 1
    assert running.text().strip() == (
        "tickroom: REDIS_URL is required with REPLICAS=2: gateways count requests and connections there"
    )


async def test_every_metric_begins_with_its_room(tmp_path: Path) -> None:
    async with house.embedded(tmp_path) as (_, base), _asking(base) as http:
        async with house.room(base, "/websocket/stocks/all") as socket:
            await asyncio.wait_for(socket.recv(), 20)
        text = (await http.get("/metrics")).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    rooms = ("gateway_", "stock_data_", "prediction_", "users_")
    assert [name for name in names if not name.startswith(rooms)] == []
    assert {"gateway_process_resident_memory_bytes", "gateway_http_requests_total"} <= names
    assert {room for room in rooms for name in names if name.startswith(room)} == set(rooms)
