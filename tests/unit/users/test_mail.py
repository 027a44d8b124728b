"""What SMTP_URL says, and what letters are made of."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from services.users.config import Settings
from services.users.core.mail import MOST_SUBJECT, PostOffice, letter, mailbox, post_office


@pytest.mark.parametrize(
    ("url", "office"),
    [
        ("smtp://mail.example.org", PostOffice("mail.example.org", 587, "required")),
        ("smtps://mail.example.org", PostOffice("mail.example.org", 465, "implicit")),
        ("smtp://u%40x:p%2Fw@mail.example.org:2525", PostOffice("mail.example.org", 2525, "required", "u@x", "p/w")),
        ("smtp://127.0.0.1:1025", PostOffice("127.0.0.1", 1025, "offered")),
        ("smtp://[::1]:1025", PostOffice("::1", 1025, "offered")),
        ("smtp://localhost:1025/", PostOffice("localhost", 1025, "offered")),
    ],
)
def test_where_an_smtp_url_leads(url: str, office: PostOffice) -> None:
    assert post_office(url) == office


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.org", "http://mail.example.org", "smtp://", "smtp://x:port", "smtp://x/path", "smtp://x?a"],
)
def test_what_is_no_smtp_url(url: str) -> None:
    with pytest.raises(ValueError, match="accepts smtp"):
        post_office(url)


def test_its_password_is_shown_to_nobody() -> None:
    assert "hunter" not in repr(post_office("smtp://u:hunter@mail.example.org"))


@pytest.mark.parametrize("address", ["", "ada", "Ada <ada@example.org>", "a@b\nc", "a@" + "x" * 63 + "é.org"])
def test_what_is_no_mailbox(address: str) -> None:
    with pytest.raises(ValueError, match="no e-mail address"):
        mailbox(address)


def test_a_subject_is_one_line() -> None:
    ada, now = mailbox("ada@example.org"), datetime(2026, 5, 1, tzinfo=UTC)
    written = letter(ada, ada, " a\r\nBcc:\x00b\u2028c " + "x" * 500, "text", message_id="m", written_at=now)
    assert written["Subject"] == ("a Bcc: b c " + "x" * 500)[:MOST_SUBJECT]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"smtp_url": "http://x"}, "smtp"),
        ({"smtp_url": "smtp://mail.example.org"}, "MAIL_FROM"),
        ({"mail_from": "nobody"}, "mail_from"),
        ({"public_url": "tickroom.example.org"}, "public_url"),
        ({"public_url": "https://tickroom.example.org/?x=1"}, "public_url"),
    ],
)
def test_bad_settings_stop_the_start(settings: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings.model_validate(settings)


def test_good_settings() -> None:
    given = {"smtp_url": "smtp://u:hunter@x", "mail_from": "t@example.org", "public_url": "https://t.example.org/"}
    settings = Settings.model_validate(given)
    assert settings.public_url == "https://t.example.org"
    assert "hunter" not in repr(settings)
