"""Letters to a real SMTP server."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.shared.errors import InvalidInput, Unavailable
from services.users.core.mail import PostOffice
from services.users.mailing import Mailer
from tests.servers.smtp import PASSWORD, USER, Post, post_office

SENDER = "tickroom@example.org"


def mailer(post: Post, **others: object) -> Mailer:
    office = {"host": "127.0.0.1", "port": post.port, "encryption": "offered"} | others
    return Mailer(PostOffice(**office), SENDER)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its certificate for 127.0.0.1."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "mail.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_letter_arrives_as_it_was_written() -> None:
    async with post_office() as post:
        text = "Grüße, 李小龍\n.\n" + "a long line " * 200
        await mailer(post).send("Ada@Example.org", "Alert: AAPL über 150", text, message_id="n1")
        ((recipients, letter),) = post.letters
    assert recipients == ["ada@example.org"]
    assert letter["From"] == SENDER
    assert letter["To"] == "ada@example.org"
    assert letter["Subject"] == "Alert: AAPL über 150"
    assert letter["Message-ID"] == "<n1@example.org>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"] is not None
    assert letter.get_content().replace("\r\n", "\n").rstrip("\n") == text


async def test_no_text_becomes_a_header_or_another_recipient() -> None:
    async with post_office() as post:
        await mailer(post).send(
            "ada@example.org", "hello\r\nBcc: eve@example.org\n\nbody", "text\r\n.\r\nRCPT TO:<eve@x>"
        )
        ((recipients, letter),) = post.letters
        assert recipients == ["ada@example.org"]
        assert letter["Bcc"] is None
        assert letter["Subject"] == "hello Bcc: eve@example.org body"
        for address in ("ada@example.org\r\nRCPT TO:<eve@example.org>", "ada@example.org, eve@example.org", "x"):
            with pytest.raises(InvalidInput):
                await mailer(post).send(address, "hello", "text")
        assert len(post.letters) == 1


async def test_addresses_in_any_script() -> None:
    async with post_office() as post:
        await mailer(post).send("用户@例え.jp", "hello", "text")
        ((recipients, _),) = post.letters
    assert recipients == ["用户@xn--r8jz45g.jp"]


async def test_starttls_and_a_login(tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with post_office(tls=tls, login=True) as post:
        await mailer(post, encryption="required", username=USER, password=PASSWORD).send("a@example.org", "s", "t")
        with pytest.raises(Unavailable):
            await mailer(post, encryption="required", username=USER, password="wrong").send("a@example.org", "s", "t")
    assert post.encrypted == [True]


async def test_tls_from_the_first_byte(tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with post_office(tls=tls, implicit=True) as post:
        with pytest.raises(Unavailable):  # nobody vouches for it
            await mailer(post, encryption="implicit").send("a@example.org", "s", "t")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await mailer(post, encryption="implicit").send("a@example.org", "s", "t")
        assert len(post.letters) == 1


async def test_where_tls_is_required_nothing_is_said_without_it() -> None:
    async with post_office() as post:
        with pytest.raises(Unavailable):
            await mailer(post, encryption="required", username=USER, password=PASSWORD).send("a@example.org", "s", "t")
    assert post.letters == []
    assert post.logins == []


@pytest.mark.parametrize(
    ("refuse", "data", "error", "code"),
    [
        ("550 5.1.1 no such user", "", InvalidInput, "mail_refused"),
        ("450 4.2.1 try later", "", Unavailable, "mail_failed"),
        ("", "554 5.7.1 spam", InvalidInput, "mail_refused"),
        ("", "451 4.3.0 try later", Unavailable, "mail_failed"),
    ],
)
async def test_refused_for_good_or_for_now(
    refuse: str, data: str, error: type[InvalidInput | Unavailable], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with post_office() as post:
        post.refuse, post.data = refuse, data
        with pytest.raises(error) as caught:
            await mailer(post).send("ada@example.org", "subject", "text")
    assert caught.value.code == code
    assert "ada@example.org" not in caplog.text + caught.value.detail


async def test_a_server_that_is_not_there() -> None:
    async with post_office() as post:
        pass
    with pytest.raises(Unavailable) as caught:
        await mailer(post).send("ada@example.org", "subject", "text")
    assert caught.value.code == "mail_failed"


async def test_without_a_server_no_mail_is_sent() -> None:
    off = Mailer(None, "")
    assert not off.on
    with pytest.raises(Unavailable) as caught:
        await off.send("ada@example.org", "subject", "text")
    assert caught.value.code == "mail_off"
