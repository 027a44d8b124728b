"""What a refusal says of a field: what JSON was expected, in no class's name."""

from typing import Any

import pytest

from tests.unit.gateway.http_fakes import Front, problem_of

ALERTS = "/api/v1/alerts"
LINE = {"type": "crossing", "threshold": 150.0}
RULE = {"symbol": "AAPL", "condition": LINE}


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/api/users/login", [], {"body": "must be a JSON object"}),
        (ALERTS, [], {"body": "must be a JSON object"}),
        (ALERTS, {}, {"symbol": "is missing"}),
        (ALERTS, RULE | {"symbol": 5}, {"symbol": "must be a string"}),
        (ALERTS, RULE | {"symbol": ""}, {"symbol": "must have at least 1 character"}),
        (ALERTS, RULE | {"condition": 5}, {"condition": "must be a JSON object"}),
        (ALERTS, {"symbol": "AAPL", "conditions": LINE}, {"conditions": "must be a JSON array"}),
        (ALERTS, {"symbol": "AAPL", "conditions": [LINE, 5]}, {"conditions.1": "must be a JSON object"}),
        (
            ALERTS,
            {"symbol": "AAPL", "conditions": [{"type": "crossing", "threshold": "1", "treshold": 1}]},
            {
                "conditions.0.threshold": "must be a number",
                "conditions.0.treshold": "is not a field that is known here",
            },
        ),
        (ALERTS, RULE | {"condition": {"type": "crossing"}}, {"condition.threshold": "is missing"}),
        (ALERTS, RULE | {"condition": LINE | {"threshold": 0}}, {"condition.threshold": "must be above 0"}),
        (
            ALERTS,
            RULE | {"trigger": "never", "cooldown_s": 1.5, "market_hours_only": "yes", "channels": []},
            {
                "trigger": "must be 'once', 'every_time', 'once_per_minute' or 'once_per_bar'",
                "cooldown_s": "must be a whole number",
                "market_hours_only": "must be true or false",
                "channels": "must have at least 1 item",
            },
        ),
        (ALERTS, RULE | {"cooldown_s": -1}, {"cooldown_s": "must be at least 0"}),
        (ALERTS, RULE | {"message": "x" * 501}, {"message": "must have at most 500 characters"}),
        (ALERTS, RULE | {"channels": ["x" * 65]}, {"channels.0": "must have at most 64 characters"}),
        (ALERTS, RULE | {"expires_at": "soon"}, {"expires_at": "not a time such as 2030-01-31T16:00:00Z"}),
        (ALERTS + "/preview", RULE | {"ticks": [5]}, {"ticks.0": "must be a JSON object"}),
        ("/api/v1/channels", {"kind": "push", "subscription": 5}, {"subscription": "must be a JSON object"}),
        ("/api/v1/channels", {"kind": "push"}, {"body": "push needs a subscription"}),
    ],
)
async def test_a_body(path: str, body: Any, wrong: dict[str, str]) -> None:
    async with Front().client(signed_in=True) as client:
        refused = problem_of(await client.post(path, json=body), 422, "invalid")
    assert {each["loc"]: each["msg"] for each in refused["errors"]} == wrong
    loc, msg = next(iter(wrong.items()))
    assert refused["detail"] == f"{loc}: {msg}"


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        (ALERTS + "?limit=many", {"limit": "must be a whole number"}),
        (
            ALERTS + "?limit=1001&status=gone",
            {"limit": "must be at most 1000", "status": "must be 'active', 'pending', 'paused', 'fired' or 'expired'"},
        ),
        (
            "/api/v1/notifications?unread=maybe&since=x",
            {"unread": "must be true or false", "since": "must be a time such as 2030-01-31T16:00:00Z"},
        ),
    ],
)
async def test_a_query(query: str, wrong: dict[str, str]) -> None:
    async with Front().client(signed_in=True) as client:
        refused = problem_of(await client.get(query), 422, "invalid")
    assert {each["loc"]: each["msg"] for each in refused["errors"]} == wrong
