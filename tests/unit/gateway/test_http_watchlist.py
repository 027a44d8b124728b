"""One's own watchlist."""

from typing import Any

import pytest

from tests.unit.gateway.http_fakes import Front, problem_of

PATH = "/api/v1/watchlist"


async def test_a_watchlist_is_put_and_read() -> None:
    async with Front().client(signed_in=True) as client:
        assert (await client.get(PATH)).json() == {"symbols": []}
        assert (await client.put(PATH, json={"symbols": ["IBM", "AAPL", "IBM"]})).json() == {"symbols": ["IBM", "AAPL"]}
        assert (await client.get(PATH)).json() == {"symbols": ["IBM", "AAPL"]}


@pytest.mark.parametrize(
    "body", [{}, {"symbols": "AAPL"}, {"symbols": [5]}, {"symbols": [""]}, {"symbols": ["x" * 65]},
             {"symbols": ["A"] * 201}, {"symbols": [], "x": 1}]
)  # fmt: skip
async def test_what_is_no_watchlist_is_422(body: dict[str, Any]) -> None:
    async with Front().client(signed_in=True) as client:
        problem_of(await client.put(PATH, json=body), 422, "invalid")


async def test_a_watchlist_has_an_owner() -> None:
    async with Front().client() as client:
        problem_of(await client.get(PATH), 401, "token_missing")
        problem_of(await client.put(PATH, json={"symbols": []}), 401, "token_missing")
