"""ntfy, on ntfy.sh or somebody's own server, by its JSON interface."""

from typing import Any, Final

import msgspec

from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import Ntfy
from services.users.core.delivery_messages import Message, fitting
from services.users.delivery.http import Poster

MOST_TEXT_BYTES: Final = 4_000
"""ntfy makes a file of a message over 4,096 bytes."""

_TITLE: Final = "Tickroom"


async def send_ntfy(poster: Poster, to: Ntfy, message: Message) -> Outcome:
    headers = {"Content-Type": "application/json"}
    if to.token:
        headers["Authorization"] = f"Bearer {to.token}"
    text: dict[str, Any] = {
        "topic": to.topic,
        "title": _TITLE if len(message.lines) == 1 else f"{_TITLE}: {message.title}",
        "message": fitting(message.lines, MOST_TEXT_BYTES),
        "sequence_id": message.id,  # servers that know it show a repeated attempt once
    }
    return await poster.post(f"{to.server}/", headers, msgspec.json.encode(text))
