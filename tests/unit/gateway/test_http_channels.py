"""Channels beyond the socket of one person."""

from typing import Any

import pytest

from services.gateway.channel_backends import ChannelTest, ChannelWish, Delivery
from tests.unit.gateway.http_fakes import Front, problem_of

PATH = "/api/v1/channels"
HOOK = {"url": "https://example.org/hook"}
SUBSCRIPTION: dict[str, Any] = {
    "endpoint": "https://push.example.org/x",
    "expirationTime": None,
    "keys": {"p256dh": "p", "auth": "a"},
}


async def test_a_webhook_shows_its_secret_once() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post("/api/v1/webhooks", json=HOOK, headers={"Idempotency-Key": "k1"})
        again = await client.get(f"{PATH}/c1")
        listed = await client.get(PATH)
    assert answer.status_code == 201
    assert answer.json() == {"id": "c1", "url": HOOK["url"], "secret": "signing-secret"}
    assert answer.headers["location"] == f"{PATH}/c1"
    assert front.users.channel_wishes == [("u1", ChannelWish("webhook", HOOK["url"], idempotency_key="k1"))]
    assert "secret" not in again.json()
    assert listed.json() == {"items": [again.json()], "next_page_token": None}
    assert again.json() == {
        "id": "c1",
        "kind": "webhook",
        "name": "webhook:c1",
        "leads_to": HOOK["url"],
        "enabled": True,
        "reason": None,
        "failures": 0,
        "failing_since": None,
        "delivered_at": None,
        "created_at": "2024-09-21T14:23:00Z",
    }


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({"kind": "webhook", **HOOK}, ChannelWish("webhook", HOOK["url"])),
        ({"kind": "email"}, ChannelWish("email")),
        (
            {"kind": "ntfy", "server": "https://ntfy.sh", "topic": "mine", "token": None},
            ChannelWish("ntfy", server="https://ntfy.sh", topic="mine"),
        ),
        (
            {"kind": "push", "subscription": SUBSCRIPTION, "key": "BPublicKey"},
            ChannelWish("push", endpoint=SUBSCRIPTION["endpoint"], p256dh="p", auth="a", vapid="BPublicKey"),
        ),
        ({"kind": "apprise", "url": "tgram://1/2"}, ChannelWish("apprise", "tgram://1/2")),
    ],
)
async def test_every_kind_reaches_the_room_behind(body: dict[str, Any], wish: ChannelWish) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        answer = await client.post(PATH, json=body)
    assert answer.status_code == 201
    assert ("secret" in answer.json()) == (wish.kind == "webhook")
    assert front.users.channel_wishes == [("u1", wish)]


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("/api/v1/webhooks", {}, "url"),
        ("/api/v1/webhooks", {**HOOK, "secret": "mine"}, "secret"),
        ("/api/v1/webhooks", {"url": 1}, "url"),
        ("/api/v1/webhooks", {"url": "https://example.org/" + "x" * 2048}, "url"),
        (PATH, {}, "kind"),
        (PATH, {"kind": "webhook", "adress": "x"}, "adress"),
        (PATH, {"kind": "push", "subscription": {"endpoint": "x"}}, "subscription.keys"),
    ],
)
async def test_what_can_not_be_a_channel(path: str, body: dict[str, Any], loc: str) -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        found = problem_of(await client.post(path, json=body), 422, "invalid")
    assert [each["loc"] for each in found["errors"]] == [loc]
    assert front.users.channel_wishes == []


async def test_a_channel_is_switched_tested_and_deleted() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/webhooks", json=HOOK)
        off = await client.patch(f"{PATH}/c1", json={"enabled": False})
        tested = await client.post(f"{PATH}/c1/test")
        front.users.test_ends = ChannelTest(False, None, "timeout")
        failed = await client.post(f"{PATH}/c1/test")
        deleted = await client.delete(f"{PATH}/c1")
        unknown = [
            await client.get(f"{PATH}/c1"),
            await client.delete(f"{PATH}/c1"),
            await client.patch(f"{PATH}/c1", json={"enabled": True}),
            await client.post(f"{PATH}/c1/test"),
            await client.get(f"{PATH}/c1/deliveries"),
        ]
    assert (off.json()["enabled"], off.json()["reason"], off.json()["failures"]) == (False, "by_owner", 3)
    assert tested.json() == {"delivered": True, "code": 204, "error": None}
    assert failed.json() == {"delivered": False, "code": None, "error": "timeout"}
    assert deleted.status_code == 204
    for each in unknown:
        problem_of(each, 404, "unknown_channel")


async def test_the_log_of_a_channel() -> None:
    front = Front()
    front.users.log = [
        Delivery("m2", None, 7, "2024-09-21T14:24:00.000000Z", 1, "delivered", 200, ""),
        Delivery("n1", "n1", 1, "2024-09-21T14:23:00.000000Z", 3, "dead", None, "timeout"),
    ]
    async with front.client(signed_in=True) as client:
        await client.post("/api/v1/webhooks", json=HOOK)
        answer = await client.get(f"{PATH}/c1/deliveries?limit=1")
        both = await client.get(f"{PATH}/c1/deliveries")
    assert answer.json()["next_page_token"] == "next"
    assert both.json()["items"] == [
        {
            "time": "2024-09-21T14:24:00Z",
            "message_id": "m2",
            "notification_id": None,
            "count": 7,
            "attempt": 1,
            "status": "delivered",
            "code": 200,
            "error": None,
        },
        {
            "time": "2024-09-21T14:23:00Z",
            "message_id": "n1",
            "notification_id": "n1",
            "count": 1,
            "attempt": 3,
            "status": "dead",
            "code": None,
            "error": "timeout",
        },
    ]


async def test_the_key_for_push_or_none() -> None:
    front = Front()
    async with front.client(signed_in=True) as client:
        on = await client.get("/api/v1/push-key")
        front.users.vapid = ""
        off = await client.get("/api/v1/push-key")
    assert (on.json(), off.json()) == ({"public_key": "BPublicKey"}, {"public_key": None})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/webhooks"),
        ("GET", PATH),
        ("POST", PATH),
        ("GET", f"{PATH}/c1"),
        ("PATCH", f"{PATH}/c1"),
        ("DELETE", f"{PATH}/c1"),
        ("POST", f"{PATH}/c1/test"),
        ("GET", f"{PATH}/c1/deliveries"),
        ("GET", "/api/v1/push-key"),
    ],
)
async def test_channels_are_their_owners(method: str, path: str) -> None:
    async with Front().client() as client:
        problem_of(await client.request(method, path), 401, "token_missing")
