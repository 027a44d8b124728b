"""What a client says: the few frames that mean something in the plain profile."""

from typing import Any, Final, TypeVar

import msgspec


class Garbled(ValueError):
    """What came is no JSON."""


class Ack(msgspec.Struct, frozen=True):
    """These notifications are read: those named (up to 100), or everything up to and including one."""

    notification_ids: list[str] = []
    up_to: str = ""
    id: str | None = None


class Auth(msgspec.Struct, frozen=True):
    """A fresh token for this connection."""

    token: str
    id: str | None = None


Said = Ack | Auth
S = TypeVar("S", Ack, Auth)

_MOST_IDS: Final = 100
_MOST_ID_CHARACTERS: Final = 64
_decode = msgspec.json.Decoder().decode


def understand(text: str | bytes) -> Said | None:
    """What `text` means; None for JSON that says nothing to us. Raises Garbled."""
    try:
        said = _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Garbled(str(error)) from None
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "ack":
        return _ack(said)
    return _convert(said, Auth) if kind == "auth" else None


def answer(kind: str, to: Said) -> str:
    """The frame `{"type": kind}`, with the `id` of what it answers where that had one."""
    said = {"type": kind} if to.id is None else {"type": kind, "id": to.id}
    return msgspec.json.encode(said).decode()


def _ack(said: Any) -> Ack | None:
    ack = _convert(said, Ack)
    if ack is None or bool(ack.notification_ids) == bool(ack.up_to) or len(ack.notification_ids) > _MOST_IDS:
        return None
    named = ack.notification_ids or [ack.up_to]
    return ack if all(len(each) <= _MOST_ID_CHARACTERS for each in named) else None


def _convert(said: Any, kind: type[S]) -> S | None:
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError:
        return None
