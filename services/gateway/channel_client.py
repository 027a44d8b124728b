"""The channels half of `clients.GrpcUsers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.gateway.calls import answer
from services.gateway.channel_backends import (
    Channel,
    ChannelPage,
    ChannelTest,
    ChannelWish,
    Delivery,
    DeliveryPage,
)
from services.shared.rpc import users_pb2

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone

DELIVERY_DEADLINE_S: Final = 20.0
"""A test of a channel waits for whoever receives it."""

SAFE_TO_REPEAT: Final = ("ChangeChannel", "GetChannel", "ListChannels", "ListDeliveries", "PushKey")


class GrpcChannels:
    """`channel_backends.Channels`."""

    _stub: UsersAsyncStub

    async def create_channel(self, user_id: str, wish: ChannelWish) -> Channel:
        request = users_pb2.CreateChannelRequest(
            user_id=user_id,
            kind=wish.kind,
            url=wish.url,
            server=wish.server,
            topic=wish.topic,
            token=wish.token,
            endpoint=wish.endpoint,
            p256dh=wish.p256dh,
            auth=wish.auth,
            vapid=wish.vapid,
            idempotency_key=wish.idempotency_key,
        )
        return _channel(await answer(self._stub.CreateChannel(request)))

    async def channels(self, user_id: str, limit: int, page_token: str) -> ChannelPage:
        request = users_pb2.ListChannelsRequest(user_id=user_id, limit=limit, page_token=page_token)
        reply = await answer(self._stub.ListChannels(request))
        return ChannelPage([_channel(each) for each in reply.channels], reply.next_page_token)

    async def channel(self, user_id: str, channel_id: str) -> Channel:
        return _channel(await answer(self._stub.GetChannel(_of_channel(user_id, channel_id))))

    async def change_channel(self, user_id: str, channel_id: str, *, enabled: bool) -> Channel:
        request = users_pb2.ChangeChannelRequest(user_id=user_id, channel_id=channel_id, enabled=enabled)
        return _channel(await answer(self._stub.ChangeChannel(request)))

    async def delete_channel(self, user_id: str, channel_id: str) -> None:
        await answer(self._stub.DeleteChannel(_of_channel(user_id, channel_id)))

    async def test_channel(self, user_id: str, channel_id: str) -> ChannelTest:
        request = _of_channel(user_id, channel_id)
        reply = await answer(self._stub.TestChannel(request, timeout=DELIVERY_DEADLINE_S))
        return ChannelTest(reply.delivered, reply.code if reply.HasField("code") else None, reply.error)

    async def deliveries(self, user_id: str, channel_id: str, limit: int, page_token: str) -> DeliveryPage:
        request = users_pb2.ListDeliveriesRequest(
            user_id=user_id, channel_id=channel_id, limit=limit, page_token=page_token
        )
        reply = await answer(self._stub.ListDeliveries(request))
        return DeliveryPage([_delivery(each) for each in reply.deliveries], reply.next_page_token)

    async def push_key(self) -> str:
        return (await answer(self._stub.PushKey(users_pb2.PushKeyRequest()))).public_key


def _of_channel(user_id: str, channel_id: str) -> users_pb2.ChannelRequest:
    return users_pb2.ChannelRequest(user_id=user_id, channel_id=channel_id)


def _channel(reply: users_pb2.Channel) -> Channel:
    return Channel(
        id=reply.id,
        kind=reply.kind,
        name=reply.name,
        leads_to=reply.leads_to,
        secret=reply.secret,
        created_at=reply.created_at,
        enabled=reply.enabled,
        reason=reply.reason,
        failures=reply.failures,
        failing_since=reply.failing_since if reply.HasField("failing_since") else None,
        delivered_at=reply.delivered_at if reply.HasField("delivered_at") else None,
    )


def _delivery(reply: users_pb2.Delivery) -> Delivery:
    return Delivery(
        message_id=reply.message_id,
        notification_id=reply.notification_id if reply.HasField("notification_id") else None,
        count=reply.count,
        time=reply.time,
        attempt=reply.attempt,
        status=reply.status,
        code=reply.code if reply.HasField("code") else None,
        error=reply.error,
    )
