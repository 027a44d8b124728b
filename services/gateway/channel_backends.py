"""What the front door asks of users about ways beyond the socket: a part of `backends.Users`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ChannelWish:
    """A way beyond the socket that somebody wants; empty fields are not given. vapid: what a browser subscribed with.

    kind: webhook, ntfy, email, push, apprise. url: of a webhook, or apprise's.
    """

    kind: str
    url: str = field(default="", repr=False)
    server: str = ""
    topic: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    endpoint: str = field(default="", repr=False)
    p256dh: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    vapid: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """name: what rules name; leads_to: for its owner, no secret; secret: of a webhook, in the answer that made it.

    reason: why it is not enabled, else empty. failures: attempts in a row that failed, the first at `failing_since`.
    """

    id: str
    kind: str
    name: str
    leads_to: str = field(repr=False)
    secret: str = field(repr=False)
    created_at: str
    enabled: bool
    reason: str
    failures: int
    failing_since: str | None
    delivered_at: str | None


@dataclass(frozen=True, slots=True)
class ChannelPage:
    """channels: oldest first. next_page_token: empty at the end."""

    channels: Sequence[Channel]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ChannelTest:
    """code: HTTP status that was answered, None without one; error: a word, empty where delivered."""

    delivered: bool
    code: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt. notification_id: None for a digest of `count` or a test; status: delivered, retrying, dead."""

    message_id: str
    notification_id: str | None
    count: int
    time: str
    attempt: int
    status: str
    code: int | None
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """deliveries: newest first. next_page_token: empty at the end."""

    deliveries: Sequence[Delivery]
    next_page_token: str


class Channels(Protocol):
    async def create_channel(self, user_id: str, wish: ChannelWish) -> Channel:
        """Raises InvalidInput, Conflict (idempotency key of something else), TooMany (over the limit)."""
        ...

    async def channels(self, user_id: str, limit: int, page_token: str) -> ChannelPage: ...

    async def channel(self, user_id: str, channel_id: str) -> Channel:
        """This call and those below raise NotFound, for somebody else's channel too."""
        ...

    async def change_channel(self, user_id: str, channel_id: str, *, enabled: bool) -> Channel: ...

    async def delete_channel(self, user_id: str, channel_id: str) -> None: ...

    async def test_channel(self, user_id: str, channel_id: str) -> ChannelTest:
        """Sends a test and waits for how that ends, 10 s at most. Raises TooMany."""
        ...

    async def deliveries(self, user_id: str, channel_id: str, limit: int, page_token: str) -> DeliveryPage: ...

    async def push_key(self) -> str:
        """What browsers subscribe to Web Push with; empty where that is off."""
        ...
