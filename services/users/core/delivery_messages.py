"""What goes out over a channel: one notification as it is, or a digest that lists each of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

import msgspec

from services.shared.events import NOTIFICATION_PLAIN_END, AccountUpdated, AlertTriggered, decode_notification

_NAMES: Final = UUID("1c1e2f4b-53b4-5b59-8a44-0c7f7f6f3f0a")


@dataclass(frozen=True, slots=True)
class Message:
    """id: the same at every attempt. body: JSON. title and lines: the same for people, a line each notification."""

    id: str
    body: bytes
    title: str
    lines: Sequence[str]


def message(message_id: str, events: Sequence[bytes], timestamp: str) -> Message:
    """Of notifications (as they stand on topic `notifications`), oldest first: one as it is pushed, several a digest.

    timestamp: of the digest, that of its newest notification: the same message has the same body at every attempt.
    """
    lines = [_line(each) for each in events]
    if len(events) == 1:
        return Message(message_id, plain(events[0]), lines[0], lines)
    head = {"type": "digest", "id": message_id, "count": len(events), "timestamp": timestamp}
    body = msgspec.json.encode(head | {"notifications": [msgspec.Raw(plain(each)) for each in events]})
    return Message(message_id, body, f"{len(events)} alerts", lines)


def trial(message_id: str, channel_id: str, timestamp: str) -> Message:
    """What the test button sends."""
    said = "This is a test: alerts that name this channel arrive here"
    head = {"type": "test", "id": message_id, "channel_id": channel_id, "message": said, "timestamp": timestamp}
    return Message(message_id, msgspec.json.encode(head), "Test of your channel", [said])


def digest_id(channel_id: str, first_notification_id: str) -> str:
    """The id of the digest that begins with this notification. Each is in one digest of a channel at most."""
    return str(uuid5(_NAMES, f"digest {channel_id} {first_notification_id}"))


def plain(event: bytes) -> bytes:
    """A notification as it is pushed to clients: the public keys alone."""
    return event[: event.index(NOTIFICATION_PLAIN_END)] + b"}"


def fitting(lines: Sequence[str], most_bytes: int) -> str:
    """As many of these lines as fit into so many bytes, and how many are left out."""
    room, taken = most_bytes - 40, 0
    while taken < len(lines) and (room := room - len(lines[taken].encode()) - 1) >= 0:
        taken += 1
    left = len(lines) - taken
    if not taken:
        return lines[0].encode()[:most_bytes].decode(errors="ignore")
    return "\n".join([*lines[:taken], *([f"and {left} more"] if left else [])])


def _line(event: bytes) -> str:
    told = decode_notification(event)
    if isinstance(told, AlertTriggered):
        return told.message
    return told.event.replace("_", " ") if isinstance(told, AccountUpdated) else ""
