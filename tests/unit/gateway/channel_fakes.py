"""The channels half of the office behind the door, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.channel_backends import Channel, ChannelPage, ChannelTest, ChannelWish, Delivery, DeliveryPage
from services.shared.errors import NotFound

MADE_AT = "2024-09-21T14:23:00.123456Z"


@dataclass
class FakeChannels:
    """Keeps channels as they were asked for. test_ends: how tests end; log: of every channel."""

    channel_wishes: list[tuple[str, ChannelWish]] = field(default_factory=list)
    kept: dict[str, tuple[str, Channel]] = field(default_factory=dict)
    test_ends: ChannelTest = field(default_factory=lambda: ChannelTest(True, 204, ""))
    log: Sequence[Delivery] = ()
    vapid: str = "BPublicKey"

    async def create_channel(self, user_id: str, wish: ChannelWish) -> Channel:
        self.channel_wishes.append((user_id, wish))
        channel_id, secret = f"c{len(self.kept) + 1}", "signing-secret" if wish.kind == "webhook" else ""
        leads_to, name = wish.url or wish.topic, f"{wish.kind}:{channel_id}"
        made = Channel(channel_id, wish.kind, name, leads_to, secret, MADE_AT, True, "", 0, None, None)
        self.kept[channel_id] = user_id, made
        return made

    async def channels(self, user_id: str, limit: int, page_token: str) -> ChannelPage:
        mine = [each for owner, each in self.kept.values() if owner == user_id]
        return ChannelPage(mine[:limit], "next" if len(mine) > limit else "")

    async def channel(self, user_id: str, channel_id: str) -> Channel:
        owner, found = self.kept.get(channel_id, ("", None))
        if found is None or owner != user_id:
            raise NotFound("no such channel", code="unknown_channel")
        return found

    async def change_channel(self, user_id: str, channel_id: str, *, enabled: bool) -> Channel:
        found = await self.channel(user_id, channel_id)
        reason = "" if enabled else "by_owner"
        changed = Channel(
            found.id, found.kind, found.name, found.leads_to, "", MADE_AT, enabled, reason, 3, MADE_AT, MADE_AT
        )
        self.kept[channel_id] = user_id, changed
        return changed

    async def delete_channel(self, user_id: str, channel_id: str) -> None:
        await self.channel(user_id, channel_id)
        del self.kept[channel_id]

    async def test_channel(self, user_id: str, channel_id: str) -> ChannelTest:
        await self.channel(user_id, channel_id)
        return self.test_ends

    async def deliveries(self, user_id: str, channel_id: str, limit: int, page_token: str) -> DeliveryPage:
        await self.channel(user_id, channel_id)
        return DeliveryPage(self.log[:limit], "next" if len(self.log) > limit else "")

    async def push_key(self) -> str:
        return self.vapid
