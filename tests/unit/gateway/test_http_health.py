"""Health, readiness and metrics."""

import asyncio

import httpx
import pytest

from services.gateway.config import Settings
from services.gateway.http.admission import Admission
from services.gateway.http.callers import Callers
from services.gateway.http.health import Health
from services.gateway.http.rest import application
from services.gateway.tokens import Verifier
from tests.unit.gateway.http_fakes import BASE, FakeUsers, Front, problem_of


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def _broken() -> bool:
    raise OSError("unreachable")


async def _hangs() -> bool:
    await asyncio.Event().wait()
    return True


async def test_health_is_exactly_this() -> None:
    async with Front(checks={"kafka": _no}).client() as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.text) == (200, '{"status":"healthy"}')
        assert (await client.get("/health/live")).status_code == 200


async def test_ready_names_each_dependency() -> None:
    async with Front(checks={"kafka": _yes, "users": _yes}).client() as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "dependencies": {"kafka": "ready", "users": "ready"}}


@pytest.mark.parametrize("check", [_no, _broken])
async def test_one_that_is_not_ready_makes_503_with_the_same_body(check: object) -> None:
    async with Front(checks={"kafka": _yes, "users": check}).client() as client:  # type: ignore[dict-item]
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "dependencies": {"kafka": "ready", "users": "not_ready"}}


async def test_one_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.http.health._CHECK_S", 0.01)
    async with Front(checks={"kafka": _hangs}).client() as client:
        answer = await client.get("/health/ready")
    assert answer.json()["dependencies"] == {"kafka": "not_ready"}


async def test_while_everybody_is_shown_out_it_is_not_ready_whatever_is_behind() -> None:
    draining = False
    callers = Callers(Verifier(FakeUsers()), anonymous=True, open=True)
    health = Health({"kafka": _yes}, callers, lambda: draining)
    app = application(health.routes(), Admission(Settings(_env_file=None)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        assert (await client.get("/health/ready")).status_code == 200
        draining = True
        answer = await client.get("/health/ready")
        assert (await client.get("/health")).status_code == 200
    assert answer.status_code == 503
    assert answer.json() == {"status": "draining", "dependencies": {"kafka": "ready"}}


@pytest.mark.parametrize("role", [None, "user", "operator"])
async def test_a_strict_door_keeps_details_and_metrics_for_operators(role: str | None) -> None:
    front = Front(auth_mode="strict")
    headers = {} if role is None else {"Authorization": f"Bearer {front.users.token(role=role)}"}
    async with front.client() as client:
        ready = (await client.get("/health/ready", headers=headers)).json()
        metrics = await client.get("/metrics", headers=headers)
    if role == "operator":
        assert ready == {"status": "ready", "dependencies": {"kafka": "ready"}}
        assert metrics.status_code == 200
    else:
        assert ready == {"status": "ready"}
        problem_of(metrics, 401 if role is None else 403, "token_missing" if role is None else "operator_only")


async def test_ready_answers_also_whom_it_does_not_know() -> None:
    async with Front(auth_mode="strict").client() as client:
        answer = await client.get("/health/ready", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_metrics_are_prometheus_text() -> None:
    async with Front().client() as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE gateway_http_requests_total counter" in answer.text
