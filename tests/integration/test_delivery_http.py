"""A POST on behalf of a user: signed, to the address that was checked, and never further than that."""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.users.core.delivery import Outcome
from services.users.core.delivery_addresses import Address
from services.users.core.delivery_channels import Webhook
from services.users.core.delivery_messages import message
from services.users.delivery.http import MOST_BODY_BYTES, Poster
from services.users.delivery.webhook import send_webhook
from tests.integration.delivery_house import Receiver, receiver

NOW = datetime(2024, 9, 21, 14, 23, tzinfo=UTC)
EVENT = (
    b'{"type":"alert_triggered","id":"n1","alert_id":"a1","symbol":"AAPL","condition":"crossing_up","threshold":150.0,'
    b'"price":151.75,"message":"AAPL \xe2\x86\x91","timestamp":"2024-09-21T14:23:00Z","user_id":"u1","rule_version":1,'
    b'"epoch":"e","seq":7,"previous_price":149.0}'
)


@pytest.fixture
async def open_receiver() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def post(to: Receiver | str, *, limit_s: float = 5.0) -> Outcome:
    url = to if isinstance(to, str) else to.url
    return await Poster(loopback=True, limit_s=limit_s).post(url, {"X-One": "1"}, b"{}")


async def test_a_webhook_gets_the_notification_and_can_check_its_signature(open_receiver: Receiver) -> None:
    outcome = await send_webhook(
        Poster(loopback=True), Webhook(open_receiver.url, "secret"), message("n1", [EVENT], ""), NOW
    )
    assert outcome == Outcome(code=204)
    (request,) = open_receiver.requests
    assert request.path == "/hook?key=path-secret"
    assert request.body == EVENT[: EVENT.index(b',"user_id"')] + b"}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{open_receiver.port}"
    stamp = request.headers["x-tickroom-timestamp"]
    assert (request.headers["x-tickroom-id"], stamp) == ("n1", "2024-09-21T14:23:00Z")
    signed = b"n1." + stamp.encode() + b"." + request.body
    expected = hmac.new(b"secret", signed, hashlib.sha256).hexdigest()
    assert request.headers["x-tickroom-signature"] == f"v1={expected}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Outcome(code=200)),
        (b"HTTP/1.0 202 Accepted\r\n\r\nuntil the end", Outcome(code=202)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Outcome(code=204)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut", Outcome(code=200)),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", Outcome("redirect", 302)),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Outcome("http_404", 404)),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Outcome("http_410", 410, gone=True)),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", Outcome("http_429", 429, 120.0)),
        (b"HTTP/1.1 503 Away\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", Outcome("http_503", 503)),
        (b"", Outcome("protocol")),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Outcome("protocol")),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000, Outcome("protocol")),
        (None, Outcome("timeout")),
    ],
)
async def test_how_it_ends(answer: bytes | None, expected: Outcome) -> None:
    async with receiver(answer) as made:
        assert await post(made, limit_s=2.0) == expected
        assert made.connections == 1


async def test_retry_after_may_be_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True).encode()
    async with receiver(b"HTTP/1.1 503 Away\r\nRetry-After: " + when + b"\r\nContent-Length: 0\r\n\r\n") as made:
        outcome = await post(made)
    assert outcome.retry_after_s is not None
    assert 250 < outcome.retry_after_s <= 300


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except OSError:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await post(f"http://127.0.0.1:{port}/") == Outcome(code=200)
    server.close()
    assert sent < 100 * MOST_BODY_BYTES


async def test_nobody_listens() -> None:
    assert await post("http://127.0.0.1:1/") == Outcome("unreachable")


class Names:
    """A resolver that counts, and gives other addresses each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        return [ip_address(each) for each in self.answers.pop(0)]


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["192.168.1.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.1.1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["2002:a00:1::1"],
        ["fd00::1"],
        ["fe80::1"],
        ["93.184.216.34", "10.0.0.1"],
    ],
)
async def test_a_name_of_an_address_that_is_not_public_is_refused(addresses: list[str], loopback: bool) -> None:
    names = Names(addresses)
    assert await Poster(loopback=loopback, resolve=names).post("https://hooks.example.org/", {}, b"") == Outcome(
        "address_refused"
    )
    assert names.asked == [("hooks.example.org", 443)]


async def test_this_machine_is_refused_unless_a_test_wants_it(open_receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    assert await Poster(loopback=False).post(open_receiver.url, {}, b"") == Outcome("address_refused")
    outcome = await Poster(loopback=False, resolve=names).post("https://hooks.example.org/", {}, b"")
    assert outcome == Outcome("address_refused")
    assert open_receiver.connections == 0


async def test_a_name_that_nobody_knows() -> None:
    async def fails(host: str, port: int) -> Sequence[Address]:
        raise OSError("no such name")

    assert await Poster(loopback=True, resolve=fails).post("https://hooks.example.org/", {}, b"") == Outcome("dns")


async def test_the_address_that_was_checked_is_connected_to_and_the_name_is_what_tls_sees(tmp_path: Path) -> None:
    """The name leads here when it is looked up first, and elsewhere later: it is looked up once."""
    seen: list[str | None] = []
    server, client = _tls(tmp_path, "localhost", seen)
    async with receiver(tls=server) as made:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        poster = Poster(loopback=True, resolve=names, tls=client)
        assert await poster.post(f"https://localhost:{made.port}/hook", {}, b"{}") == Outcome(code=204)
        assert names.asked == [("localhost", made.port)]
        assert seen == ["localhost"]
        assert made.requests[0].headers["host"] == f"localhost:{made.port}"


async def test_a_certificate_of_another_name_or_of_nobody_is_refused(tmp_path: Path) -> None:
    server, client = _tls(tmp_path, "other.example.org", [])
    async with receiver(tls=server) as made:
        for tls in (client, None):
            poster = Poster(loopback=True, tls=tls)
            assert await poster.post(f"https://localhost:{made.port}/", {}, b"{}") == Outcome("tls")
        assert made.requests == []


async def test_proxies_of_the_environment_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, open_receiver: Receiver
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await post(open_receiver) == Outcome(code=204)


def test_what_is_sent_shows_no_secret_in_repr() -> None:
    shown = repr(Webhook("https://example.org/secret", "secret"))
    assert "secret" not in shown.lower().replace("webhook", "")
    assert json.loads(message("n1", [EVENT], "").body)["id"] == "n1"


def _tls(folder: Path, name: str, seen: list[str | None]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(a server with a certificate for `name`, a client that trusts it); seen: the names that are asked for by SNI."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    raw = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "pair.pem").write_bytes(pem + raw)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "pair.pem")
    server.sni_callback = lambda _socket, asked, _context: seen.append(asked)
    return server, ssl.create_default_context(cadata=pem.decode())
