"""One sender for each kind of channel, and which kinds are off here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import AnySettings, Webhook
from services.users.core.delivery_messages import Message
from services.users.delivery.http import Poster
from services.users.delivery.webhook import send_webhook


class Sends(Protocol):
    """Sends one message. Raises nothing: how it ended is the outcome."""

    async def send(self, settings: AnySettings, message: Message, email: str, now: datetime) -> Outcome:
        """email: the account's address."""
        ...


@dataclass(frozen=True, slots=True)
class Senders:
    """`Sends` for every kind that is on here."""

    poster: Poster
    vapid: str = ""

    async def send(self, settings: AnySettings, message: Message, email: str, now: datetime) -> Outcome:
        match settings:
            case Webhook():
                return await send_webhook(self.poster, settings, message, now)
            case _:
                return Outcome("channel_off")

    @property
    def missing(self) -> Mapping[str, str]:
        """Kinds that are off here, and why, as the end of a sentence."""
        off = "is off: this server is not set up for it"
        return {"email": off, "ntfy": off, "push": off, "apprise": off}
