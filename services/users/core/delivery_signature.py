"""What a webhook's receiver checks: that it was us, that nothing was changed, and when it was sent."""

import hmac


def headers(secret: str, message_id: str, timestamp: str, body: bytes) -> dict[str, str]:
    """The headers that sign a message: `v1=` and the hex HMAC-SHA256 of "<id>.<timestamp>.<body>".

    secret: the text that its owner was shown, as UTF-8. message_id: the same at every attempt. timestamp: of this one.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "X-Tickroom-Id": message_id,
        "X-Tickroom-Timestamp": timestamp,
        "X-Tickroom-Signature": f"v1={hmac.digest(secret.encode(), signed, 'sha256').hex()}",
    }
