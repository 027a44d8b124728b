"""From a rule to a signed webhook through the whole office, and what owners see of their channels over gRPC."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.shared.events import AlertTriggered
from services.shared.kafka import Kafka
from services.shared.rpc import users_pb2 as pb
from tests.integration.delivery_house import receiver
from tests.integration.users_house import House, fails, register, wish
from tests.unit.users.room import until
from tests.unit.users.ticks import tick


@pytest.fixture
async def house(tmp_path: Path, database_url: str | None, kafka_cluster: Kafka) -> AsyncIterator[House]:
    made = House(tmp_path, database_url, kafka_cluster)
    async with made.market():
        yield made


async def test_a_rule_fires_and_a_signed_webhook_arrives(house: House) -> None:
    async with receiver() as hook, house.running(webhook_allow_loopback=True) as users:
        ada = (await register(users)).user_id
        made = await users.CreateChannel(pb.CreateChannelRequest(user_id=ada, kind="webhook", url=hook.url))
        assert (made.name, made.leads_to, made.enabled) == (f"webhook:{made.id}", hook.url, True)
        assert len(made.secret) >= 43
        await users.CreateAlert(wish(ada, channels=["websocket", made.name]))
        await house.publish(tick(1, 149.0), tick(2, 151.0))
        (request,) = await hook.wait(1)
        ((_, told),) = await house.published(1)
        _check(request.headers, request.body, made.secret)
        assert isinstance(told, AlertTriggered)
        assert (json.loads(request.body)["id"], request.headers["x-tickroom-id"]) == (told.id, told.id)
        of_channel = pb.ListDeliveriesRequest(user_id=ada, channel_id=made.id)

        async def logged() -> bool:
            return len((await users.ListDeliveries(of_channel)).deliveries) == 1

        await until(logged)
        (line,) = (await users.ListDeliveries(of_channel)).deliveries
        assert (line.notification_id, line.status, line.attempt, line.code) == (told.id, "delivered", 1, 204)


async def test_what_was_not_delivered_before_a_restart_is_delivered_after_it(house: House) -> None:
    async with receiver(b"HTTP/1.1 503 Away\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n") as hook:
        async with house.running(webhook_allow_loopback=True) as users:
            ada = (await register(users)).user_id
            made = await users.CreateChannel(pb.CreateChannelRequest(user_id=ada, kind="webhook", url=hook.url))
            await users.CreateAlert(wish(ada, channels=[made.name]))
            await house.publish(tick(1, 149.0), tick(2, 151.0))
            await hook.wait(1)
        hook.answers = [b"HTTP/1.1 204 No Content\r\n\r\n"]
        async with house.after_restart() as later, later.running(webhook_allow_loopback=True):
            requests = await hook.wait(2, within_s=40)
    assert len({each.headers["x-tickroom-id"] for each in requests}) == 1
    assert len({each.body for each in requests}) == 1


async def test_what_an_owner_can_do_with_a_channel(house: House) -> None:
    async with receiver() as hook, house.running(webhook_allow_loopback=True, channels_per_user=2) as users:
        ada, eve = (await register(users)).user_id, (await register(users, "eve")).user_id

        def asked(key: str = "", **others: Any) -> pb.CreateChannelRequest:
            fields = {"user_id": ada, "kind": "webhook", "url": hook.url} | others
            return pb.CreateChannelRequest(idempotency_key=key, **fields)

        made = await users.CreateChannel(asked("k1"))
        assert await users.CreateChannel(asked("k1")) == made  # the answer may not have arrived: with the secret
        assert (await fails(users.CreateChannel(asked("k1", url=hook.url + "2")))).code == "idempotency_key_reused"
        await users.CreateChannel(asked())
        full = await fails(users.CreateChannel(asked()))
        assert (full.code, full.retry_after_s) == ("too_many_channels", 3600.0)
        listed = await users.ListChannels(pb.ListChannelsRequest(user_id=ada, limit=1))
        assert [(each.id, each.secret) for each in listed.channels] == [(made.id, "")]
        assert listed.next_page_token

        mine, hers = (pb.ChannelRequest(user_id=each, channel_id=made.id) for each in (ada, eve))
        for call in (users.GetChannel, users.DeleteChannel, users.TestChannel):
            assert (await fails(call(hers))).code == "unknown_channel"
        theirs = pb.ListDeliveriesRequest(user_id=eve, channel_id=made.id)
        assert (await fails(users.ListDeliveries(theirs))).code == "unknown_channel"
        error = await fails(users.CreateAlert(wish(eve, channels=[made.name])))
        assert [each.loc for each in error.errors] == ["channels"]

        tested = await users.TestChannel(mine)
        assert (tested.delivered, tested.code, tested.error) == (True, 204, "")
        assert json.loads(hook.requests[0].body)["type"] == "test"
        _check(hook.requests[0].headers, hook.requests[0].body, made.secret)
        hook.answers = [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
        tested = await users.TestChannel(mine)
        assert (tested.delivered, tested.code, tested.error) == (False, 500, "http_500")
        log = (await users.ListDeliveries(pb.ListDeliveriesRequest(user_id=ada, channel_id=made.id))).deliveries
        assert [(each.status, each.error) for each in log] == [("dead", "http_500"), ("delivered", "")]

        off = await users.ChangeChannel(pb.ChangeChannelRequest(user_id=ada, channel_id=made.id, enabled=False))
        assert (off.enabled, off.reason) == (False, "by_owner")
        on = await users.ChangeChannel(pb.ChangeChannelRequest(user_id=ada, channel_id=made.id, enabled=True))
        assert (on.enabled, on.reason) == (True, "")
        await users.DeleteChannel(mine)
        assert (await fails(users.GetChannel(mine))).code == "unknown_channel"


async def test_the_test_button_can_be_pressed_so_often(house: House) -> None:
    async with receiver() as hook, house.running(webhook_allow_loopback=True) as users:
        ada = (await register(users)).user_id
        made = await users.CreateChannel(pb.CreateChannelRequest(user_id=ada, kind="webhook", url=hook.url))
        for _ in range(10):
            await users.TestChannel(pb.ChannelRequest(user_id=ada, channel_id=made.id))
        error = await fails(users.TestChannel(pb.ChannelRequest(user_id=ada, channel_id=made.id)))
        assert error.code == "too_many_attempts"
        assert len(hook.requests) == 10


async def test_without_the_setting_for_tests_nothing_may_lead_to_this_machine(house: House) -> None:
    async with receiver() as hook, house.running() as users:
        ada = (await register(users)).user_id
        for url in (hook.url, "https://127.0.0.1/", "https://10.0.0.1/", "https://example.org:8443/"):
            error = await fails(users.CreateChannel(pb.CreateChannelRequest(user_id=ada, kind="webhook", url=url)))
            assert (error.code, [each.loc for each in error.errors]) == ("bad_channel", ["url"])
        assert hook.connections == 0


def _check(headers: dict[str, str], body: bytes, secret: str) -> None:
    signed = f"{headers['x-tickroom-id']}.{headers['x-tickroom-timestamp']}.".encode() + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-tickroom-signature"] == f"v1={expected}"
