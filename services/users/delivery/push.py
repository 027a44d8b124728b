"""Web Push to browsers: encrypted for the browser, signed by VAPID; the push service sees neither text nor user."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import Push
from services.users.core.delivery_messages import Message, fitting
from services.users.delivery.http import Poster
from services.users.delivery.vapid import Vapid

KEPT_S: Final = 86_400
"""So long a push service holds a message for a browser that is not there."""

MOST_TEXT_BYTES: Final = 2_000
"""Of 4,096 that every push service takes, JSON's escapes included."""

_SIGNED_FOR: Final = timedelta(hours=12)
_GONE: Final = (404, 410)


async def send_push(poster: Poster, vapid: Vapid, contact: str, to: Push, message: Message, now: datetime) -> Outcome:
    """contact: a mailto: or https: address of who runs this server, which push services want to know."""
    key = vapid.key(to.vapid)
    if key is None:
        return Outcome("key_changed", gone=True)  # the page subscribes anew when it is opened
    text = {"id": message.id, "title": message.title, "body": fitting(message.lines, MOST_TEXT_BYTES)}
    headers, body = await asyncio.to_thread(_encrypted, to, key, contact, msgspec.json.encode(text), now)
    # of messages with the same topic a push service keeps the last: a repeated attempt replaces the first one
    outcome = await poster.post(to.endpoint, {**headers, "Topic": message.id.replace("-", "")[:32]}, body)
    return replace(outcome, gone=True) if outcome.code in _GONE else outcome


def _encrypted(
    to: Push, key: ec.EllipticCurvePrivateKey, contact: str, text: bytes, now: datetime
) -> tuple[dict[str, str], bytes]:
    # with all that they need these take 40 MB: only where somebody has subscribed
    from py_vapid import Vapid02
    from pywebpush import WebPusher

    endpoint = urlsplit(to.endpoint)
    subscription = {"endpoint": to.endpoint, "keys": {"p256dh": to.p256dh, "auth": to.auth}}
    encoded: Any = WebPusher(subscription).encode(text)
    claims = {
        "aud": f"{endpoint.scheme}://{endpoint.netloc}",
        "sub": contact,
        "exp": int((now + _SIGNED_FOR).timestamp()),
    }
    headers = {
        **Vapid02(private_key=key).sign(claims),
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "aes128gcm",
        "TTL": str(KEPT_S),
        "Urgency": "high",
    }
    return headers, encoded["body"]
