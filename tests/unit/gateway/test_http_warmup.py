"""`/warmup/status`: what prediction tells of its start, in the promised shape."""

from services.gateway.backends import WarmUp
from services.shared.errors import Unavailable
from tests.unit.gateway.http_fakes import Front, problem_of


async def test_a_finished_warm_up() -> None:
    front = Front()
    front.prediction.warm = WarmUp(1692622800.5, 1692622807.2, 6.700000047, 8, 2, ["model m was lost"])
    async with front.client() as client:
        answer = await client.get("/warmup/status")
    assert answer.json() == {
        "started_at": 1692622800.5,
        "completed_at": 1692622807.2,
        "duration_seconds": 6.7,
        "models_loaded": 8,
        "models_trained": 2,
        "errors": ["model m was lost"],
    }


async def test_before_it_is_over_there_is_no_end() -> None:
    front = Front()
    front.prediction.warm = WarmUp(1692622800.5, None, None, 0, 0, [])
    async with front.client() as client:
        body = (await client.get("/warmup/status")).json()
    assert (body["completed_at"], body["duration_seconds"], body["errors"]) == (None, None, [])


async def test_without_prediction_nobody_knows() -> None:
    front = Front()
    front.prediction.fails = Unavailable("prediction does not answer")
    async with front.client() as client:
        problem_of(await client.get("/warmup/status"), 503, "unavailable")
