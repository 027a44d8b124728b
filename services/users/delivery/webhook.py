"""Webhooks: the message as JSON, signed."""

from datetime import datetime

from services.shared.events import rfc3339, seconds
from services.users.core import delivery_signature
from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import Webhook
from services.users.core.delivery_messages import Message
from services.users.delivery.http import Poster


async def send_webhook(poster: Poster, to: Webhook, message: Message, now: datetime) -> Outcome:
    """Signs anew at each attempt, so that a receiver may refuse what is old."""
    timestamp = seconds(rfc3339(now))
    signed = delivery_signature.headers(to.secret, message.id, timestamp, message.body)
    return await poster.post(to.url, {"Content-Type": "application/json", **signed}, message.body)
