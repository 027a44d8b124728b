"""Mail: where SMTP_URL leads, and letters in plain text."""

import ipaddress
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from services.users.core.accounts import same_email, wrong_email

ACCEPTED: Final = "smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465"
MOST_SUBJECT: Final = 200

_PORTS: Final = {"smtp": 587, "smtps": 465}

Encryption = Literal["implicit", "required", "offered"]
"""TLS from the first byte; by STARTTLS or not at all; by STARTTLS where the server offers it."""


@dataclass(frozen=True, slots=True)
class PostOffice:
    """An SMTP server. username and password: empty where it asks for none."""

    host: str
    port: int
    encryption: Encryption
    username: str = ""
    password: str = field(default="", repr=False)


def post_office(url: str) -> PostOffice:
    """What an SMTP_URL says. Only a server on this machine may go without TLS. Raises ValueError.

    Characters of user and password that mean something in an address are written in percents.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"accepts {ACCEPTED}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"accepts {ACCEPTED}")
    if parts.scheme == "smtps":
        encryption: Encryption = "implicit"
    else:
        encryption = "offered" if _on_this_machine(parts.hostname) else "required"
    return PostOffice(
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        encryption=encryption,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def mailbox(address: str) -> Address:
    """An address as letters carry it: the domain in ASCII. Raises ValueError for what is none."""
    address = same_email(address)
    if wrong_email(address) is not None:
        raise ValueError("no e-mail address")
    local, _, domain = address.rpartition("@")
    try:
        return Address(username=local, domain=domain.encode("idna").decode())
    except (UnicodeError, IndexError):  # IndexError: of the standard library, for some characters
        raise ValueError("no e-mail address") from None


def letter(
    sender: Address, to: Address, subject: str, text: str, *, message_id: str, written_at: datetime
) -> EmailMessage:
    """A letter that no machine should answer. message_id: the same for the same letter sent again.

    Control characters of the subject, which could begin another header, become spaces.
    """
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = _one_line(subject)
    message["Date"] = written_at
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    return message


def _one_line(text: str) -> str:
    plain = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text[: 4 * MOST_SUBJECT])
    return " ".join(plain.split())[:MOST_SUBJECT]


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
