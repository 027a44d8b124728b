"""What is said on a socket besides prices and predictions: every control frame, both ways, and how one is understood.

The schemas here are what clients' frames are validated against and what the AsyncAPI document shows. Fields that we
don't know are ignored.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

Echo = Annotated[str, Meta(max_length=64, description="echoed in the answer")]
Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Seq = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]

MOST_IDS: Final = 100
MOST_SYMBOLS: Final = 10_000


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One control frame. `id` is optional and echoed."""

    id: Echo | None = None


# What a client says


class Subscribe(Frame, frozen=True, kw_only=True, tag="subscribe"):
    """In stocks/all: from the first one on exactly the list is heard."""

    symbols: Annotated[list[Symbol], Meta(max_length=MOST_SYMBOLS)]


class Unsubscribe(Frame, frozen=True, kw_only=True, tag="unsubscribe"):
    symbols: Annotated[list[Symbol], Meta(max_length=MOST_SYMBOLS)]


class SeenPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The last position seen of one symbol; a kind that is not named is not replayed."""

    epoch: Annotated[str, Meta(min_length=1, max_length=64)]
    price: Seq | None = None
    prediction: Seq | None = None


class Resume(Frame, frozen=True, kw_only=True, tag="resume"):
    """Where this client stands, by symbol: what it missed since then follows."""

    positions: Annotated[dict[Symbol, SeenPosition], Meta(max_length=MOST_SYMBOLS)]


class SetRate(Frame, frozen=True, kw_only=True, tag="set_rate"):
    """Prices of each symbol come at most so often, conflated; 0 = as they come."""

    max_per_second: Annotated[float, Meta(ge=0, le=1000)]


class Ack(Frame, frozen=True, kw_only=True, tag="ack"):
    """These notifications are read: those named (up to 100), or everything up to and including one."""

    notification_ids: Annotated[list[Id], Meta(max_length=MOST_IDS)] = []
    up_to: Annotated[str, Meta(max_length=64)] = ""

    def __post_init__(self) -> None:
        if bool(self.notification_ids) == bool(self.up_to):
            raise ValueError("name either notification_ids or up_to")


class Auth(Frame, frozen=True, kw_only=True, tag="auth"):
    """A token for this connection: the first one, or a fresh one."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]

    def __repr__(self) -> str:
        return "Auth(...)"


class Ping(Frame, frozen=True, kw_only=True, tag="ping"):
    """Answered with `pong`. From the server: 25 s went by without another frame; any frame is an answer."""


class Pong(Frame, frozen=True, kw_only=True, tag="pong"):
    """The answer to `ping`."""


Said = Subscribe | Unsubscribe | Resume | SetRate | Ack | Auth | Ping | Pong
CLIENT_FRAMES: Final[dict[str, type[Said]]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "resume": Resume,
    "set_rate": SetRate,
    "ack": Ack,
    "auth": Auth,
    "ping": Ping,
    "pong": Pong,
}
_OF_PLAIN: Final = ("ack", "auth")

# What the server says


class Subscribed(Frame, frozen=True, kw_only=True, tag="subscribed", omit_defaults=True):
    """The whole list as it is now; snapshots of newly named symbols follow."""

    symbols: list[str]


class Resumed(Frame, frozen=True, kw_only=True, tag="resumed", omit_defaults=True):
    """recovered: `replayed` missed frames follow, and nothing is missing. Else a snapshot follows."""

    symbol: str
    recovered: bool
    replayed: int | msgspec.UnsetType = msgspec.UNSET


class RateSet(Frame, frozen=True, kw_only=True, tag="rate_set", omit_defaults=True):
    max_per_second: float


class Acked(Frame, frozen=True, kw_only=True, tag="acked", omit_defaults=True):
    """Those notifications are marked as read."""


class Authenticated(Frame, frozen=True, kw_only=True, tag="authenticated", omit_defaults=True):
    """The token counts from now on."""


class ServerPong(Frame, frozen=True, kw_only=True, tag="pong", omit_defaults=True):
    """The answer to `ping`."""


class ServerPing(Frame, frozen=True, kw_only=True, tag="ping", omit_defaults=True):
    """25 s went by without another frame; any frame of the client is an answer."""


class TokenExpiring(Frame, frozen=True, kw_only=True, tag="token_expiring", omit_defaults=True):
    """Say `auth` with a fresh token within `in_s` seconds, or this connection is closed with 4401."""

    in_s: int


class ErrorFrame(Frame, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """A frame was not understood, or is not allowed here; nothing has changed."""

    code: str
    message: str
    retryable: bool


Answer = Subscribed | Resumed | RateSet | Acked | Authenticated | ServerPong | ServerPing | TokenExpiring | ErrorFrame
SERVER_FRAMES: Final[tuple[type[Answer], ...]] = (
    Subscribed,
    Resumed,
    RateSet,
    Acked,
    Authenticated,
    ServerPong,
    ServerPing,
    TokenExpiring,
    ErrorFrame,
)

# Understanding


class Garbled(ValueError):
    """What came is no JSON."""


class Misspoken(ValueError):
    """A frame that is JSON and no frame of ours. code: `bad_message` or `unknown_type`; id: of the frame, to echo."""

    def __init__(self, code: str, message: str, echo: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.echo = echo


_decode = msgspec.json.Decoder().decode


def understand(text: str | bytes) -> list[Said | Misspoken]:
    """What a client of the extended profile says: one frame, or a JSON array of them. Raises Garbled."""
    said = _parsed(text)
    return [_one(each) for each in said] if isinstance(said, list) else [_one(said)]


def understand_plain(text: str | bytes) -> Ack | Auth | None:
    """What a client of the plain profile says; None for JSON that says nothing to us. Raises Garbled."""
    said = _parsed(text)
    if not isinstance(said, dict) or said.get("type") not in _OF_PLAIN:
        return None
    found = _one(said)
    return found if isinstance(found, Ack | Auth) else None


def spoken(answer: Answer) -> bytes:
    """The text of a frame of ours."""
    return msgspec.json.encode(answer)


def echo_of(said: Any) -> str | None:
    """The `id` of a frame, where it has one that can be echoed."""
    found = said.get("id") if isinstance(said, dict) else None
    return found if isinstance(found, str) and len(found) <= 64 else None


PING: Final = spoken(ServerPing())


def _parsed(text: str | bytes) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Garbled(str(error)) from None


def _one(said: Any) -> Said | Misspoken:
    if not isinstance(said, dict):
        return Misspoken("bad_message", "a frame is a JSON object", None)
    kind = said.get("type")
    schema = CLIENT_FRAMES.get(kind) if isinstance(kind, str) else None
    if schema is None:
        return Misspoken("unknown_type", "this type of frame is not known here", echo_of(said))
    try:
        return msgspec.convert(said, schema)
    except msgspec.ValidationError as error:
        return Misspoken("bad_message", str(error), echo_of(said))
