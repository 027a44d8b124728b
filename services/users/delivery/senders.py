"""One sender for each kind of channel, and which kinds are off here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.users.config import Settings
from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import AnySettings, Apprise, Email, Ntfy, Push, Webhook
from services.users.core.delivery_messages import Message
from services.users.delivery import apprise_extra
from services.users.delivery.apprise_extra import AppriseSender
from services.users.delivery.http import Poster
from services.users.delivery.mail import send_mail
from services.users.delivery.ntfy import send_ntfy
from services.users.delivery.push import send_push
from services.users.delivery.vapid import Vapid
from services.users.delivery.webhook import send_webhook
from services.users.mailing import Mailer, open_mailer


class Sends(Protocol):
    """Sends one message. How it ended is the outcome."""

    async def send(self, settings: AnySettings, message: Message, email: str, now: datetime) -> Outcome:
        """email: the account's address, empty where it is not verified."""
        ...


@dataclass(frozen=True, slots=True)
class Senders:
    """`Sends` for every kind. contact, public_url: who runs this server, and where people find it."""

    poster: Poster
    mailer: Mailer
    vapid: Vapid
    contact: str
    public_url: str
    apprise: AppriseSender = field(default_factory=AppriseSender)

    async def send(self, settings: AnySettings, message: Message, email: str, now: datetime) -> Outcome:
        match settings:
            case Webhook():
                return await send_webhook(self.poster, settings, message, now)
            case Ntfy():
                return await send_ntfy(self.poster, settings, message)
            case Email():
                return await send_mail(self.mailer, email, self.public_url, message)
            case Push():
                return await send_push(self.poster, self.vapid, self.contact, settings, message, now)
            case Apprise():
                return await self.apprise.send(settings, message)

    @property
    def missing(self) -> Mapping[str, str]:
        """Kinds that are off here, and why."""
        found = {} if self.mailer.on else {"email": "no mail is sent here: SMTP_URL is not set"}
        if not apprise_extra.installed():
            found["apprise"] = "apprise is not installed here: pip install tickroom[apprise]"
        return found


def open_senders(settings: Settings, vapid: Vapid) -> Senders:
    """Nothing is connected before the first message."""
    contact = settings.public_url if settings.public_url.startswith("https://") else "mailto:nobody@tickroom.invalid"
    return Senders(
        poster=Poster(loopback=settings.webhook_allow_loopback),
        mailer=open_mailer(settings),
        vapid=vapid,
        contact=f"mailto:{settings.mail_from}" if settings.mail_from else contact,
        public_url=settings.public_url,
    )
