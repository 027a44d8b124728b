"""Forecasts and model status: exact shapes."""

import pytest

from services.shared.errors import Unavailable
from tests.unit.gateway.http_fakes import Front, problem_of


async def test_predict_has_exactly_the_shape_of_the_contract() -> None:
    async with Front().client() as client:
        answer = await client.get("/predict/aapl")
    assert answer.text == (
        '{"ticker":"AAPL","current_price":226.01,'
        '"prediction":{"price_target":224.15,"confidence":0.88,"direction":"bearish"},'
        '"timestamp":"2025-08-21T13:08:46Z"}'
    )


@pytest.mark.parametrize("query", ["horizon=1d", "model=lightgbm", "horizon=1d&model=lightgbm"])
async def test_predict_names_horizon_and_model_where_one_was_asked_for(query: str) -> None:
    async with Front().client() as client:
        body = (await client.get(f"/predict/AAPL?{query}")).json()
    assert list(body) == ["ticker", "current_price", "prediction", "timestamp", "horizon", "model"]
    assert (body["horizon"], body["model"]) == ("1d", "lightgbm")


@pytest.mark.parametrize(("model", "code"), [("lstm", "model_not_trained"), ("crystal_ball", "invalid")])
async def test_another_model_is_never_passed_off_as_the_one_asked_for(model: str, code: str) -> None:
    async with Front().client() as client:
        problem_of(await client.get(f"/predict/AAPL?model={model}"), 422, code)


@pytest.mark.parametrize("ticker", ["NOPE", "%00", "..x", "%2e%2e%2fx", "a" * 300, "%ff%fe", "💥"])
async def test_an_unknown_ticker_is_404(ticker: str) -> None:
    async with Front().client() as client:
        problem_of(await client.get(f"/predict/{ticker}"), 404)
        problem_of(await client.get(f"/model/status/{ticker}"), 404)


async def test_made_up_tickers_do_not_become_load_for_the_room_behind() -> None:
    front = Front()
    async with front.client() as client:
        for number in range(20):
            await client.get(f"/predict/NOPE{number}")
    assert front.stock_data.tickers_asked == 1


async def test_model_status_has_exactly_the_shape_of_the_contract() -> None:
    async with Front().client() as client:
        answer = await client.get("/model/status/AAPL")
    assert answer.text == (
        '{"ticker":"AAPL","model_loaded":true,"service_ready":true,"model_type":"lightgbm",'
        '"metrics":{"val_mae":0.0119,"val_rmse":0.0162,"training_time":0.19,"train_samples":185,"val_samples":47}}'
    )


async def test_a_model_is_listed_with_its_skill_beside_the_baselines() -> None:
    async with Front().client() as client:
        one = (await client.get("/api/v1/models?ticker=aapl")).json()
        every = (await client.get("/api/v1/models")).json()
        problem_of(await client.get("/api/v1/models?ticker=NOPE"), 404)
    assert one == {
        "items": [
            {
                "ticker": "AAPL",
                "model_type": "lightgbm",
                "version": "v1",
                "promoted": True,
                "skill": {
                    "count": 47,
                    "hit_rate": 0.53,
                    "hit_rate_interval": [0.39, 0.67],
                    "baseline_hit_rate": 0.51,
                    "mae": 0.0119,
                    "baseline_mae": 0.0118,
                },
            }
        ],
        "next_page_token": None,
    }
    assert one["items"][0] in every["items"]


async def test_model_status_without_a_model_has_no_metrics() -> None:
    front = Front()
    front.prediction.model_loaded = False
    async with front.client() as client:
        body = (await client.get("/model/status/AAPL")).json()
    assert (body["model_loaded"], body["metrics"]) == (False, None)


async def test_a_room_that_is_away_is_503_with_when_to_come_back() -> None:
    front = Front()
    front.prediction.fails = Unavailable("no model yet", code="no_model")
    async with front.client() as client:
        answer = await client.get("/predict/AAPL")
    problem_of(answer, 503, "no_model")
    assert answer.headers["retry-after"] == "1"
