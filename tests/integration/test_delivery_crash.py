"""`python -m services` killed again and again while alerts fire: every firing reaches its webhook, under one id."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.house import Person, embedded, login, register
from tests.integration.delivery_house import receiver

QUICK = {
    "WEBHOOK_ALLOW_LOOPBACK": "true",
    "REPLAY_START": "2003-01-02",
    "REPLAY_RATE": "200",
    "REPLAY_LOOP": "false",
    "REPLAY_DELAY_S": "3",
    "LOGIN_ATTEMPTS_PER_MINUTE": "0",
}


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_killed_in_between_nothing_is_lost(tmp_path: Path) -> None:
    async with receiver() as hook:
        async with embedded(tmp_path, **QUICK) as (process, base):
            ada = await register(base)
            made = await _post(ada, "/api/v1/webhooks", {"url": hook.url})
            for level in (14.5, 15.0, 15.5):
                await ada.alert("AAPL", "crossing", level, trigger="every_time", channels=[f"webhook:{made['id']}"])
            await hook.wait(2, within_s=60)
            process.kill()
        for seen in (4, 6):
            async with embedded(tmp_path, **QUICK) as (process, _):
                await hook.wait(seen, within_s=60)
                process.kill()
        async with embedded(tmp_path, **QUICK) as (_, base):
            ada = await login(base)
            told: set[str] = set()
            async with asyncio.timeout(100):
                while len(told) < 6 or _arrived(hook.requests) != told:  # the receiver got some of the first twice
                    await asyncio.sleep(1)
                    told = await _told(ada)
            bodies: dict[str, set[bytes]] = {}
            for request in hook.requests:
                bodies.setdefault(request.headers["x-tickroom-id"], set()).add(request.body)
            assert {len(each) for each in bodies.values()} == {1}
            assert len(told) >= 6


def _arrived(requests: list[Any]) -> set[str]:
    """The ids of all notifications that came, by themselves or in digests."""
    said = [json.loads(each.body) for each in requests]
    return {one["id"] for each in said for one in (each["notifications"] if each["type"] == "digest" else [each])}


async def _told(person: Person) -> set[str]:
    async with httpx.AsyncClient(base_url=person.base, trust_env=False, timeout=15) as http:
        reply = await http.get("/api/v1/notifications?limit=1000", headers=person.headers)
    return {each["id"] for each in reply.json()["items"] if each["type"] == "alert_triggered"}


async def _post(person: Person, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=person.base, trust_env=False, timeout=15) as http:
        reply = await http.post(path, json=body, headers=person.headers)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made
