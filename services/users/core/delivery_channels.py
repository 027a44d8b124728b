"""Channels beyond the socket: what each kind needs, how rules call it, and what its owner sees of it."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from services.shared.errors import FieldError, InvalidInput
from services.users.core.delivery_addresses import Target, target

ChannelKind = Literal["webhook", "ntfy", "email", "push", "apprise"]
WEBSOCKET: Final = "websocket"
PUBLIC_NTFY: Final = "https://ntfy.sh"

_ONLY_ONE: Final = ("email", "push")
"""Kinds that rules name without an id: everything of this kind that the user has."""
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}")
_MOST_APPRISE: Final = 2048
APPRISE: Final = (
    *("dingtalk", "discord", "feishu", "flock", "gchat", "groupme", "guilded", "ifttt", "join", "lark", "line"),
    *("msgbird", "opsgenie", "pagerduty", "pbul", "pover", "prowl", "sendgrid", "signl4", "slack", "spush", "tgram"),
    *("threema", "twilio", "twist", "viber", "vonage", "wxteams"),
)
"""Schemas of apprise that lead to hosts that they name themselves, and read no files."""


class Settings(msgspec.Struct, frozen=True, tag_field="kind"):
    """What a channel needs to know. It holds secrets, so it is stored sealed and never shows in `repr`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Webhook(Settings, frozen=True, tag="webhook"):
    """secret: signs what is sent; shown to its owner once."""

    url: str
    secret: str


class Ntfy(Settings, frozen=True, tag="ntfy"):
    """server: a URL, without a slash at its end; token: an access token of that server, empty = none."""

    server: str
    topic: str
    token: str = ""


class Email(Settings, frozen=True, tag="email"):
    """To the address that the account has when it is sent."""


class Push(Settings, frozen=True, tag="push"):
    """A browser's subscription. p256dh, auth: its keys, base64url; vapid: the public key that it was made for."""

    endpoint: str
    p256dh: str
    auth: str
    vapid: str


class Apprise(Settings, frozen=True, tag="apprise"):
    """url: as apprise writes them (`tgram://...`)."""

    url: str


AnySettings = Webhook | Ntfy | Email | Push | Apprise


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as it was asked for; empty fields were left out. url: of a webhook, or apprise's."""

    kind: str
    url: str = ""
    server: str = ""
    topic: str = ""
    token: str = ""
    endpoint: str = ""
    p256dh: str = ""
    auth: str = ""
    vapid: str = ""

    def __repr__(self) -> str:
        return f"Wish(kind={self.kind!r}, ...)"


def checked(
    wish: Wish, *, loopback: bool, missing: Mapping[str, str], new_secret: Callable[[], str], vapid: str
) -> AnySettings:
    """The settings of the channel that was asked for. Raises InvalidInput that names what is wrong.

    loopback: http and addresses of this machine are allowed (for tests). missing: kinds that are off here, and why.
    vapid: the public key that browsers subscribe with.
    """
    make = _KINDS.get(wish.kind)
    if make is None:
        raise _wrong("kind", f"must be one of {', '.join(_KINDS)}")
    if wish.kind in missing:
        raise _wrong("kind", missing[wish.kind], code="channel_off")
    return make(wish, loopback, new_secret, vapid)


def name(kind: str, channel_id: str) -> str:
    """How rules call it."""
    return kind if kind in _ONLY_ONE else f"{kind}:{channel_id}"


def shown(settings: AnySettings) -> str:
    """Where a channel leads, as its owner may see it again: no secret, and of a browser only its push service."""
    match settings:
        case Webhook(url=url):
            return url
        case Ntfy(server=server, topic=topic):
            return f"{server}/{topic}"
        case Push(endpoint=endpoint):
            return endpoint.split("/")[2]
        case Apprise(url=url):
            return url.partition(":")[0] + "://..."
        case Email():
            return ""


def _webhook(wish: Wish, loopback: bool, new_secret: Callable[[], str], vapid: str) -> Webhook:
    _reachable("url", wish.url, loopback=loopback)
    return Webhook(wish.url, new_secret())


def _ntfy(wish: Wish, loopback: bool, new_secret: Callable[[], str], vapid: str) -> Ntfy:
    server = (wish.server or PUBLIC_NTFY).rstrip("/")
    found = _reachable("server", server, loopback=loopback)
    if found.path != "/":
        raise _wrong("server", "must be a server alone, without a path")
    if not _TOPIC.fullmatch(wish.topic):
        raise _wrong("topic", "must be 1 to 64 letters, digits, - and _")
    if wish.token and not _TOKEN.fullmatch(wish.token):
        raise _wrong("token", "is no access token")
    return Ntfy(server, wish.topic, wish.token)


def _email(wish: Wish, loopback: bool, new_secret: Callable[[], str], vapid: str) -> Email:
    return Email()


def _push(wish: Wish, loopback: bool, new_secret: Callable[[], str], vapid: str) -> Push:
    _reachable("endpoint", wish.endpoint, loopback=loopback)
    if len(p256dh := _bytes(wish.p256dh)) != 65 or p256dh[0] != 4:
        raise _wrong("p256dh", "must be a point of P-256, 65 bytes in base64url")
    if len(_bytes(wish.auth)) != 16:
        raise _wrong("auth", "must be 16 bytes in base64url")
    if wish.vapid not in ("", vapid):
        raise _wrong("vapid", "the browser subscribed with another key than this server's")
    return Push(wish.endpoint, wish.p256dh, wish.auth, vapid)


def _apprise(wish: Wish, loopback: bool, new_secret: Callable[[], str], vapid: str) -> Apprise:
    schema, found, _ = wish.url.partition("://")
    if not found or len(wish.url) > _MOST_APPRISE or not wish.url.isprintable():
        raise _wrong("url", "must be a URL of apprise such as tgram://bottoken/ChatID")
    if schema.lower() not in APPRISE:
        raise _wrong("url", f"must begin with one of {', '.join(APPRISE)}")
    if "?" in wish.url:  # some parameters name files and other hosts
        raise _wrong("url", "must hold no parameters (?...)")
    return Apprise(wish.url)


_KINDS: Final[Mapping[str, Callable[[Wish, bool, Callable[[], str], str], AnySettings]]] = {
    "webhook": _webhook,
    "ntfy": _ntfy,
    "email": _email,
    "push": _push,
    "apprise": _apprise,
}


def _reachable(field: str, url: str, *, loopback: bool) -> Target:
    found = target(url, loopback=loopback)
    if isinstance(found, str):
        raise _wrong(field, found)
    return found


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _wrong(field: str, why: str, code: str = "bad_channel") -> InvalidInput:
    return InvalidInput(f"{field}: {why}", code=code, errors=(FieldError(field, why),))
