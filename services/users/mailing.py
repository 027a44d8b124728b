"""Sends mail by SMTP: codes to those who forgot a password, alerts to those who want them there."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final

from services.shared.errors import FieldError, InvalidInput, Unavailable
from services.users.config import Settings
from services.users.core.mail import PostOffice, letter, mailbox, post_office

_AT_ONCE: Final = 4
_TIMEOUT_S: Final = 15.0
_COME_BACK_S: Final = 60.0
_REFUSED: Final = range(500, 600)  # for good, as SMTP counts

_log = logging.getLogger("tickroom.users.mail")


class Mailer:
    """office: the SMTP server; None: no mail is sent. sender: an address. At most four letters go at once."""

    def __init__(
        self, office: PostOffice | None, sender: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._office = office
        self._sender = None if office is None else mailbox(sender)
        self._now = now
        self._free = asyncio.Semaphore(_AT_ONCE)

    @property
    def on(self) -> bool:
        """Can mail be sent at all?"""
        return self._office is not None

    async def send(self, to: str, subject: str, text: str, *, message_id: str = "") -> None:
        """Returns when the server has taken the letter. message_id: of a letter that may be sent again.

        Raises InvalidInput (`mail_refused`) where it will never be taken, Unavailable (`mail_off`, `mail_failed`).
        """
        office, sender = self._office, self._sender
        if office is None or sender is None:
            raise Unavailable("no mail is sent here: SMTP_URL is not set", code="mail_off")
        try:
            recipient = mailbox(to)
        except ValueError:
            raise _refused("must be an e-mail address") from None
        written = letter(
            sender, recipient, subject, text, message_id=message_id or str(uuid.uuid4()), written_at=self._now()
        )
        async with self._free:
            await _hand_over(office, written)


def open_mailer(settings: Settings) -> Mailer:
    """The mailer of SMTP_URL and MAIL_FROM, which does nothing before its first letter."""
    url = settings.smtp_url
    return Mailer(None if url is None else post_office(url.get_secret_value()), settings.mail_from)


async def _hand_over(office: PostOffice, message: EmailMessage) -> None:
    import aiosmtplib  # not on the way to the first price

    ways: dict[str, Any] = {
        "implicit": {"use_tls": True},
        "required": {"start_tls": True},
        "offered": {"start_tls": None},
    }
    try:
        await aiosmtplib.send(
            message,
            hostname=office.host,
            port=office.port,
            username=office.username or None,
            password=office.password or None,
            timeout=_TIMEOUT_S,
            **ways[office.encryption],
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        if all(each.code in _REFUSED for each in error.recipients):
            raise _refused("is refused by the mail server") from None
        raise _failed(error) from None
    except aiosmtplib.SMTPDataError as error:
        if error.code in _REFUSED:
            raise _refused("this letter is refused by the mail server") from None
        raise _failed(error) from None
    except aiosmtplib.SMTPNotSupported as error:
        if not message["To"].addresses[0].username.isascii():
            raise _refused("needs a mail server that takes letters beyond ASCII in addresses") from None
        raise _failed(error) from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise _failed(error) from None


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"to: {why}", code="mail_refused", errors=(FieldError("to", why),))


def _failed(error: Exception) -> Unavailable:
    # what servers say may hold addresses of people: the kind of failure is enough
    _log.warning("a letter could not be sent: %s%s", type(error).__name__, _code(error))
    return Unavailable("the mail server does not take letters now", code="mail_failed", retry_after_s=_COME_BACK_S)


def _code(error: Exception) -> str:
    code = getattr(error, "code", None)
    return "" if code is None else f" {code}"
