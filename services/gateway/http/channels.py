"""A person's own ways to be reached beyond the socket: webhooks, ntfy, e-mail, browsers, and what apprise knows."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import msgspec
from pydantic import Field, model_validator
from starlette.routing import Route

from services.gateway.backends import Users
from services.gateway.channel_backends import Channel, ChannelWish, Delivery
from services.gateway.http.alerts import PageQuery
from services.gateway.http.bodies import Body, ExactBody, Text
from services.gateway.http.callers import CHANGES, READS, Callers
from services.gateway.http.routing import Answer, Id, IdempotencyKey, Listing, Who, endpoint, listing, resource
from services.gateway.tokens import Caller
from services.shared.events import seconds

PATH: Final = "/api/v1/channels"
KINDS: Final = ["webhook", "ntfy", "email", "push", "apprise"]
_MOST_URL: Final = 2048
_EXAMPLE_ID: Final = "0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11"


class WebhookBody(ExactBody):
    """url: https on port 443."""

    example: ClassVar[str] = '{"url":"https://example.org/hooks/tickroom"}'

    url: Text = Field(max_length=_MOST_URL)


class PushKeysBody(Body):
    p256dh: Text = Field(max_length=128)
    auth: Text = Field(max_length=64)


class PushBody(Body):
    """What a browser's `PushSubscription.toJSON()` gives."""

    endpoint: Text = Field(max_length=_MOST_URL)
    keys: PushKeysBody


class ChannelBody(ExactBody):
    """kind: `webhook` and `apprise` with `url`; `ntfy` with `topic`, and where need be `server` and `token`; `email`;
    `push` with `subscription`, and `key`, which the browser subscribed with."""

    example: ClassVar[str] = '{"kind":"ntfy","server":"https://ntfy.sh","topic":"my-alerts-k3x9","token":null}'

    kind: Text = Field(max_length=16)
    url: Text | None = Field(None, max_length=_MOST_URL)
    server: Text | None = Field(None, max_length=_MOST_URL)
    topic: Text | None = Field(None, max_length=64)
    token: Text | None = Field(None, max_length=256)
    subscription: PushBody | None = None
    key: Text | None = Field(None, max_length=128)

    @model_validator(mode="after")
    def _subscribed(self) -> "ChannelBody":
        if self.kind == "push" and self.subscription is None:
            raise ValueError("push needs a subscription")
        return self

    def wish(self, idempotency_key: str) -> ChannelWish:
        push = self.subscription
        return ChannelWish(
            kind=self.kind,
            url=self.url or "",
            server=self.server or "",
            topic=self.topic or "",
            token=self.token or "",
            endpoint="" if push is None else push.endpoint,
            p256dh="" if push is None else push.keys.p256dh,
            auth="" if push is None else push.keys.auth,
            vapid=self.key or "",
            idempotency_key=idempotency_key,
        )


class ChannelChange(ExactBody):
    """enabled: false drops what waits for the channel; true begins anew."""

    example: ClassVar[str] = '{"enabled":true}'

    enabled: bool


class WebhookMade(msgspec.Struct, frozen=True, kw_only=True):
    """secret: signs every message, and is shown this once."""

    example: ClassVar[str] = (
        f'{{"id":"{_EXAMPLE_ID}","url":"https://example.org/hooks/tickroom",'
        '"secret":"Zm9yIGV4YW1wbGUgb25seSwgbm90IGEgc2VjcmV0IQo"}'
    )

    id: str
    url: str
    secret: str

    def __repr__(self) -> str:
        return f"WebhookMade({self.id})"


class ChannelShown(msgspec.Struct, frozen=True, kw_only=True):
    """name: what rules name in `channels`. leads_to: its address, without secrets. reason: why it is not enabled.

    failures: attempts in a row that failed, since `failing_since`; delivered_at: the last one that did not.
    """

    example: ClassVar[str] = (
        f'{{"id":"{_EXAMPLE_ID}","kind":"ntfy","name":"ntfy:{_EXAMPLE_ID}",'
        '"leads_to":"https://ntfy.sh/my-alerts-k3x9","enabled":true,"reason":null,"failures":0,"failing_since":null,'
        '"delivered_at":"2024-09-21T14:23:00Z","created_at":"2024-09-20T08:00:00Z"}'
    )

    id: str
    kind: Annotated[str, msgspec.Meta(extra_json_schema={"enum": KINDS})]
    name: str
    leads_to: str
    enabled: bool
    reason: str | None
    failures: int
    failing_since: str | None
    delivered_at: str | None
    created_at: str


class ChannelMade(ChannelShown, frozen=True, kw_only=True):
    """secret: of a webhook; it signs every message, and is shown this once."""

    example: ClassVar[str] = ChannelShown.example

    secret: str | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return f"ChannelMade({self.name})"


class TestShown(msgspec.Struct, frozen=True, kw_only=True):
    """How a test ended. code: the HTTP status that was answered; error: a word such as `timeout`, null if delivered."""

    example: ClassVar[str] = '{"delivered":false,"code":503,"error":"http_503"}'

    delivered: bool
    code: int | None
    error: str | None


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. message_id: the same at each attempt (`X-Tickroom-Id`). notification_id: null for a digest of
    `count` notifications, and for a test. code: the HTTP status that was answered; error: null where delivered."""

    example: ClassVar[str] = (
        f'{{"time":"2024-09-21T14:23:00Z","message_id":"{_EXAMPLE_ID}","notification_id":"{_EXAMPLE_ID}","count":1,'
        '"attempt":2,"status":"retrying","code":503,"error":"http_503"}'
    )

    time: str
    message_id: str
    notification_id: str | None
    count: int
    attempt: int
    status: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["delivered", "retrying", "dead"]})]
    code: int | None
    error: str | None


class PushKeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """public_key: `applicationServerKey` of the browser's Push API, base64url; null where push is off."""

    public_key: str | None


_UNKNOWN: Final = {404: "unknown_channel: none of yours has this id"}
_MAKING: Final = {409: "the idempotency key was used for something else", 429: "too_many_channels"}


@dataclass(frozen=True, slots=True)
class Channels:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        one = PATH + "/{channel_id}"
        return [
            resource("/api/v1/webhooks", self.callers, POST=self.create_webhook),
            resource(PATH, self.callers, GET=self.page, POST=self.create),
            resource(one, self.callers, GET=self.one, PATCH=self.change, DELETE=self.delete),
            resource(one + "/test", self.callers, POST=self.test),
            resource(one + "/deliveries", self.callers, GET=self.deliveries),
            resource("/api/v1/push-key", self.callers, GET=self.push_key),
        ]

    @endpoint("Make a webhook", who=Who.OWNER, scopes=CHANGES, status=201, errors=_MAKING)
    async def create_webhook(self, caller: Caller, key: IdempotencyKey, body: WebhookBody) -> Answer[WebhookMade]:
        """Rules name it as `webhook:<id>`. Each notification is posted to it as JSON, with `X-Tickroom-Id`,
        `X-Tickroom-Timestamp` and `X-Tickroom-Signature: v1=<hex HMAC-SHA256 of "<id>.<timestamp>.<body>">`; tried
        again for a day until the answer is 2xx, under the same id."""
        wish = ChannelWish(kind="webhook", url=body.url, idempotency_key=key)
        made = await self.users.create_channel(caller.user_id, wish)
        once = WebhookMade(id=made.id, url=made.leads_to, secret=made.secret)
        return Answer(once, {"Location": f"{PATH}/{made.id}"})

    @endpoint("Make a channel", who=Who.OWNER, scopes=CHANGES, status=201, errors=_MAKING)
    async def create(self, caller: Caller, key: IdempotencyKey, body: ChannelBody) -> Answer[ChannelMade]:
        """One that you have already (the same browser, or e-mail) is given again, enabled."""
        made = await self.users.create_channel(caller.user_id, body.wish(key))
        secret = made.secret or msgspec.UNSET
        with_secret = ChannelMade(**msgspec.structs.asdict(shown(made)), secret=secret)
        return Answer(with_secret, {"Location": f"{PATH}/{made.id}"})

    @endpoint("Your channels, oldest first", who=Who.OWNER, scopes=READS)
    async def page(self, caller: Caller, wish: PageQuery) -> Listing[ChannelShown]:
        found = await self.users.channels(caller.user_id, wish.limit, wish.page_token)
        return listing(map(shown, found.channels), found.next_page_token)

    @endpoint("One channel", who=Who.OWNER, scopes=READS, errors=_UNKNOWN)
    async def one(self, caller: Caller, channel_id: Id) -> ChannelShown:
        return shown(await self.users.channel(caller.user_id, channel_id))

    @endpoint("Enable or disable a channel", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def change(self, caller: Caller, channel_id: Id, body: ChannelChange) -> ChannelShown:
        return shown(await self.users.change_channel(caller.user_id, channel_id, enabled=body.enabled))

    @endpoint("Delete a channel", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def delete(self, caller: Caller, channel_id: Id) -> None:
        """What waits for it is dropped. Rules that name it stay."""
        await self.users.delete_channel(caller.user_id, channel_id)

    @endpoint("Test a channel", who=Who.OWNER, scopes=CHANGES, errors=_UNKNOWN)
    async def test(self, caller: Caller, channel_id: Id) -> TestShown:
        """Sends a test now and waits for how that ends. One that comes through enables a channel that was given up."""
        found = await self.users.test_channel(caller.user_id, channel_id)
        return TestShown(delivered=found.delivered, code=found.code, error=found.error or None)

    @endpoint("What was delivered over a channel, newest first", who=Who.OWNER, scopes=READS, errors=_UNKNOWN)
    async def deliveries(self, caller: Caller, channel_id: Id, wish: PageQuery) -> Listing[DeliveryShown]:
        """Every attempt of the last 30 days."""
        found = await self.users.deliveries(caller.user_id, channel_id, wish.limit, wish.page_token)
        return listing(map(attempt_shown, found.deliveries), found.next_page_token)

    @endpoint("The key for Web Push", who=Who.OWNER, scopes=READS)
    async def push_key(self, caller: Caller) -> PushKeyShown:
        return PushKeyShown(public_key=await self.users.push_key() or None)


def shown(channel: Channel) -> ChannelShown:
    return ChannelShown(
        id=channel.id,
        kind=channel.kind,
        name=channel.name,
        leads_to=channel.leads_to,
        enabled=channel.enabled,
        reason=channel.reason or None,
        failures=channel.failures,
        failing_since=_seconds(channel.failing_since),
        delivered_at=_seconds(channel.delivered_at),
        created_at=seconds(channel.created_at),
    )


def attempt_shown(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(
        time=seconds(delivery.time),
        message_id=delivery.message_id,
        notification_id=delivery.notification_id,
        count=delivery.count,
        attempt=delivery.attempt,
        status=delivery.status,
        code=delivery.code,
        error=delivery.error or None,
    )


def _seconds(time: str | None) -> str | None:
    return None if time is None else seconds(time)
