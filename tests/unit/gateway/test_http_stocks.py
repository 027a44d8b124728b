"""History and tickers: exact shapes, and what a bad question gets."""

import pytest

from services.shared.errors import InvalidInput, NotFound, Unavailable
from services.shared.rpc.status import TimedOut
from tests.unit.gateway.http_fakes import Front, problem_of


async def test_history_has_the_shape_of_the_contract() -> None:
    async with Front().client() as client:
        answer = await client.get("/api/stocks/history", params={"symbol": "AAPL"})
    assert answer.status_code == 200
    assert answer.json() == {
        "items": [
            {
                "symbol": "AAPL",
                "date": "2012-06-01",
                "open": 569.16,
                "high": 572.65,
                "low": 560.52,
                "close": 560.99,
                "volume": 18606700,
                "source": "replay",
            }
        ],
        "next_page_token": None,
    }


async def test_history_passes_the_question_on() -> None:
    front = Front()
    async with front.client() as client:
        asked = "symbol=Apple&start=2012-01-01&end=2012-06-01&timeframe=1m&adjustment=split&limit=1&page_token=p"
        answer = await client.get(f"/api/stocks/history?{asked}")
    (question,) = front.stock_data.asked
    assert (question.symbol, question.start, question.end) == ("Apple", "2012-01-01", "2012-06-01")
    assert (question.timeframe, question.split_adjusted, question.limit, question.page_token) == ("1m", True, 1, "p")
    assert answer.json()["next_page_token"] == "next"
    assert answer.json()["items"][0]["time"] == "2012-06-01T13:30:00Z"
    assert "date" not in answer.json()["items"][0]


async def test_empty_parameters_count_as_not_given() -> None:
    front = Front()
    async with front.client() as client:
        await client.get("/api/stocks/history?symbol=AAPL&start=&end=&timeframe=1d&adjustment=raw&limit=&page_token=")
    (question,) = front.stock_data.asked
    assert (question.start, question.limit, question.split_adjusted) == ("", 100, False)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", None])
async def test_a_get_with_the_symbol_in_its_body_is_tolerated(kind: str | None) -> None:
    front = Front()
    headers = {} if kind is None else {"Content-Type": kind}
    async with front.client() as client:
        answer = await client.request(
            "GET", "/api/stocks/history?limit=5", content=b'{"symbol":"Apple"}', headers=headers
        )
    assert answer.status_code == 200
    assert (front.stock_data.asked[0].symbol, front.stock_data.asked[0].limit) == ("Apple", 5)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "symbol"),
        ("symbol=AAPL&limit=0", "limit"),
        ("symbol=AAPL&limit=10001", "limit"),
        ("symbol=AAPL&limit=many", "limit"),
        ("symbol=AAPL&adjustment=dividend", "adjustment"),
        (f"symbol={'A' * 65}", "symbol"),
    ],
)
async def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    async with Front().client() as client:
        body = problem_of(await client.get(f"/api/stocks/history?{query}"), 422, "invalid")
    assert [each["loc"] for each in body["errors"]] == [field]
    assert body["instance"] == "/api/stocks/history"


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with Front().client() as client:
        problem_of(await client.request("GET", "/api/stocks/history", content=b"[1]"), 422)
        problem_of(await client.request("GET", "/api/stocks/history", content=b"{"), 400, "unreadable")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no such symbol", code="unknown_symbol"), 404),
        (InvalidInput("bad dates", code="bad_dates"), 422),
        (Unavailable("stock_data can't be reached", retry_after_s=2.4), 503),
        (TimedOut("too late", retry_after_s=1.0), 504),
    ],
)
async def test_errors_of_the_room_behind_keep_their_meaning(error: Exception, status: int) -> None:
    front = Front()
    front.stock_data.fails = error
    async with front.client() as client:
        answer = await client.get("/api/stocks/history?symbol=AAPL")
    problem_of(answer, status)
    if status in (503, 504):
        assert answer.headers["retry-after"] == {503: "3", 504: "1"}[status]


async def test_tickers_are_listed() -> None:
    async with Front().client() as client:
        answer = await client.get("/tickers")
    assert answer.json() == {
        "items": [
            {"ticker": "AAPL", "sector": "Technology", "rows": 250, "first": "2012-01-03", "last": "2012-06-01"},
            {"ticker": "IBM", "sector": None, "rows": 0, "first": None, "last": None},
        ],
        "next_page_token": None,
    }


async def test_reads_demand_a_token_where_the_setting_says_so() -> None:
    front = Front(anonymous_market_data=False)
    async with front.client() as client:
        refused = await client.get("/tickers")
        problem_of(refused, 401, "token_missing")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        problem_of(await client.get("/api/stocks/history?symbol=AAPL"), 401)
        problem_of(await client.get("/predict/AAPL"), 401)
        problem_of(await client.get("/model/status/AAPL"), 401)
    async with front.client(signed_in=True) as client:
        assert (await client.get("/tickers")).status_code == 200


async def test_a_bad_token_is_refused_also_where_none_is_needed() -> None:
    async with Front().client() as client:
        problem_of(await client.get("/tickers", headers={"Authorization": "Bearer nonsense"}), 401, "bad_token")
