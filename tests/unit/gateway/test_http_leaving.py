"""Taking everything along, and leaving."""

import json
from collections.abc import Sequence

from services.gateway.backends import Alert, AlertPage
from tests.unit.gateway.http_fakes import Front, problem_of

ACCOUNT = "/api/v1/account"
CROSSING = {"type": "crossing_up", "threshold": 150.0}


async def test_whoever_leaves_shows_the_password() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        problem_of(await client.request("DELETE", ACCOUNT), 415)
        problem_of(await client.request("DELETE", ACCOUNT, json={}), 422, "invalid")
        body = {"current_password": "wrong"}
        problem_of(await client.request("DELETE", ACCOUNT, json=body), 403, "wrong_password")
        assert front.users.closed == []
        answer = await client.request("DELETE", ACCOUNT, json={"current_password": "right"})
    assert answer.status_code == 204
    assert front.users.closed == [("u1", "127.0.0.1")]


async def test_an_export_has_everything_and_no_secret() -> None:
    front = Front()
    front.users.watched = ["AAPL"]
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/alerts", json={"symbol": "AAPL", "condition": CROSSING})
        answer = await client.get(f"{ACCOUNT}/export")
        lists = {
            "sessions": await client.get("/api/v1/sessions"),
            "api_keys": await client.get("/api/v1/api-keys"),
            "alerts": await client.get("/api/v1/alerts"),
            "channels": await client.get("/api/v1/channels"),
            "notifications": await client.get("/api/v1/notifications"),
        }
        items = {name: each.json()["items"] for name, each in lists.items()}
        tried = [
            {"channel_id": each["id"]} | delivery
            for each in items["channels"]
            for delivery in (await client.get(f"/api/v1/channels/{each['id']}/deliveries")).json()["items"]
        ]
    assert answer.headers["content-type"] == "application/json"
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert set(found) == {"exported_at", "profile", "watchlist", "deliveries", *lists}
    assert {name: found[name] for name in lists} == items
    assert found["deliveries"] == tried
    assert found["profile"]["email"] == "ada@example.org"
    assert found["profile"]["preferences"] == {"theme": "dark"}
    assert found["watchlist"] == ["AAPL"]
    assert [each["id"] for each in found["sessions"]] == ["s1", "s0"]
    assert [each["name"] for each in found["api_keys"]] == ["bot", "other"]
    assert found["alerts"][0]["conditions"] == [{"type": "crossing_up", "threshold": 150.0}]
    assert [(each["id"], each["read"]) for each in found["notifications"]] == [("n1", False), ("n1", True)]
    assert "user_id" not in found["notifications"][0]


async def test_an_export_goes_page_by_page() -> None:
    front = Front()
    rules = [Alert(f"a{n}", 1, "active", "AAPL", [], "once", 0, 0.0, None, None, []) for n in range(5)]

    async def alerts(_user_id: str, _limit: int, token: str, **_others: str) -> AlertPage:
        first = int(token or 0)
        shown: Sequence[Alert] = rules[first : first + 2]
        return AlertPage(shown, str(first + 2) if first + 2 < len(rules) else "")

    front.users.alerts = alerts  # type: ignore[method-assign, assignment]
    async with front.client(signed_in=True) as client:
        found = json.loads((await client.get(f"{ACCOUNT}/export")).content)
    assert [each["id"] for each in found["alerts"]] == ["a0", "a1", "a2", "a3", "a4"]


async def test_an_account_has_an_owner() -> None:
    async with Front().client() as client:
        problem_of(await client.get(f"{ACCOUNT}/export"), 401, "token_missing")
        problem_of(await client.request("DELETE", ACCOUNT, json={"current_password": "x"}), 401, "token_missing")
