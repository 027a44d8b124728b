"""The gRPC face of channels beyond the socket: protobuf in, protobuf out, and nothing decided here."""

from dataclasses import dataclass
from typing import Any

from services.shared.rpc import users_pb2 as pb
from services.shared.rpc.users_pb2_grpc import UsersServicer
from services.users.account_calls import check_key
from services.users.core.delivery_channels import Wish
from services.users.delivery.channels import Channels, Seen


@dataclass(frozen=True)
class ChannelCalls(UsersServicer):
    """Part of `Users` of proto/users.proto."""

    channels: Channels

    async def CreateChannel(self, request: pb.CreateChannelRequest, context: Any) -> pb.Channel:
        check_key(request.idempotency_key)
        wish = Wish(
            kind=request.kind,
            url=request.url,
            server=request.server,
            topic=request.topic,
            token=request.token,
            endpoint=request.endpoint,
            p256dh=request.p256dh,
            auth=request.auth,
            vapid=request.vapid,
        )
        return _channel(await self.channels.create(request.user_id, wish, request.idempotency_key))

    async def ListChannels(self, request: pb.ListChannelsRequest, context: Any) -> pb.ListChannelsReply:
        found, next_page_token = await self.channels.page(request.user_id, request.limit, request.page_token)
        return pb.ListChannelsReply(channels=map(_channel, found), next_page_token=next_page_token)

    async def GetChannel(self, request: pb.ChannelRequest, context: Any) -> pb.Channel:
        return _channel(await self.channels.get(request.user_id, request.channel_id))

    async def ChangeChannel(self, request: pb.ChangeChannelRequest, context: Any) -> pb.Channel:
        return _channel(await self.channels.change(request.user_id, request.channel_id, enabled=request.enabled))

    async def DeleteChannel(self, request: pb.ChannelRequest, context: Any) -> pb.DeleteChannelReply:
        await self.channels.delete(request.user_id, request.channel_id)
        return pb.DeleteChannelReply()

    async def TestChannel(self, request: pb.ChannelRequest, context: Any) -> pb.TestChannelReply:
        outcome = await self.channels.test(request.user_id, request.channel_id)
        return pb.TestChannelReply(delivered=outcome.delivered, code=outcome.code, error=outcome.error)

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Any) -> pb.ListDeliveriesReply:
        found, next_page_token = await self.channels.attempts(
            request.user_id, request.channel_id, request.limit, request.page_token
        )
        page = [
            pb.Delivery(
                message_id=each.message_id,
                notification_id=each.notification_id,
                count=each.count,
                time=each.time,
                attempt=each.attempt,
                status=each.status,
                code=each.code,
                error=each.error or "",
            )
            for each in found
        ]
        return pb.ListDeliveriesReply(deliveries=page, next_page_token=next_page_token)

    async def PushKey(self, request: pb.PushKeyRequest, context: Any) -> pb.PushKeyReply:
        return pb.PushKeyReply(public_key=self.channels.senders.vapid.public_key)


def _channel(seen: Seen) -> pb.Channel:
    channel = seen.channel
    return pb.Channel(
        id=channel.id,
        kind=channel.kind,
        name=channel.name,
        leads_to=seen.leads_to,
        secret=seen.secret,
        created_at=channel.created_at,
        enabled=channel.enabled,
        reason=channel.reason or "",
        failures=channel.failures,
        failing_since=channel.failing_since,
        delivered_at=channel.delivered_at,
    )
