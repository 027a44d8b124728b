"""ntfy, e-mail, Web Push and apprise against doubles of the servers that they speak to."""

import asyncio
import base64
import json
import logging
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import http_ece
import jwt
import pytest
from apprise import Apprise as Library
from apprise.manager_plugins import NotificationManager
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.shared.errors import TickroomError
from services.shared.kafka import Kafka
from services.shared.rpc import users_pb2 as pb
from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import APPRISE, Apprise, Email, Ntfy, Push
from services.users.core.delivery_messages import Message, message, trial
from services.users.delivery import apprise_extra
from services.users.delivery.senders import Senders, open_senders
from services.users.delivery.vapid import Vapid
from services.users.store import accounts
from tests.integration.delivery_house import SECRET, Receiver, receiver
from tests.integration.test_delivery_http import EVENT
from tests.integration.users_house import House, fails, register, wish
from tests.servers.smtp import post_office
from tests.unit.users.room import migrated, settings_of
from tests.unit.users.ticks import tick

NOW = datetime.now(UTC)
ONE = message("0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11", [EVENT], "")
MANY = message("0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d12", [EVENT] * 500, "2024-09-21T14:23:00Z")


@pytest.fixture
async def service() -> AsyncIterator[Receiver]:
    async with receiver(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n") as made:
        yield made


def senders(folder: Path, **settings: object) -> Senders:
    return open_senders(settings_of(folder, None, webhook_allow_loopback=True, **settings), Vapid(SECRET, None))


# -- ntfy --------------------------------------------------------------------------------------------------------------


class NtfyServer:
    """POST / as ntfy's manual tells it: a topic that may be written to with a token, messages of up to 4,096 bytes."""

    def __init__(self, service: Receiver) -> None:
        self.service = service

    def messages(self) -> list[dict[str, Any]]:
        found = []
        for request in self.service.requests:
            assert request.path == "/"
            found.append(json.loads(request.body))
            assert found[-1]["topic"] == "mine"
            assert len(found[-1]["message"].encode()) <= 4096
        return found


@pytest.mark.parametrize(("token", "authorization"), [("", None), ("tk_secret", "Bearer tk_secret")])
async def test_ntfy_gets_a_message_for_people(
    tmp_path: Path, service: Receiver, token: str, authorization: str | None
) -> None:
    to = Ntfy(f"http://127.0.0.1:{service.port}", "mine", token)
    assert await senders(tmp_path).send(to, ONE, "", NOW) == Outcome(code=201)
    assert service.requests[0].headers.get("authorization") == authorization
    (told,) = NtfyServer(service).messages()
    assert told == {"topic": "mine", "title": "Tickroom", "message": "AAPL ↑", "sequence_id": ONE.id}


async def test_a_digest_for_ntfy_lists_what_fits(tmp_path: Path, service: Receiver) -> None:
    await senders(tmp_path).send(Ntfy(f"http://127.0.0.1:{service.port}", "mine"), MANY, "", NOW)
    (told,) = NtfyServer(service).messages()
    lines = told["message"].split("\n")
    assert told["title"] == "Tickroom: 500 alerts"
    assert set(lines[:-1]) == {"AAPL ↑"}
    assert lines[-1] == f"and {500 - len(lines) + 1} more"


# -- e-mail ------------------------------------------------------------------------------------------------------------


async def test_a_letter_lists_every_firing_and_keeps_its_id(tmp_path: Path) -> None:
    async with post_office() as post:
        sends = senders(tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}", mail_from="alerts@example.net")
        for told in (ONE, MANY, MANY):
            assert await sends.send(Email(), told, "ada@example.org", NOW) == Outcome()
    assert [to for to, _ in post.letters] == [["ada@example.org"]] * 3
    one, many, again = (letter for _, letter in post.letters)
    assert (one["Subject"], many["Subject"]) == ("Tickroom: AAPL ↑", "Tickroom: 500 alerts")
    assert many.get_content().splitlines()[:501] == ["AAPL ↑"] * 500 + [""]
    assert many["Message-ID"] == again["Message-ID"] != one["Message-ID"]
    assert one["Auto-Submitted"] == "auto-generated"


async def test_mail_goes_to_nobody_who_has_not_shown_that_the_address_is_theirs(tmp_path: Path) -> None:
    async with post_office() as post:
        sends = senders(tmp_path, smtp_url=f"smtp://127.0.0.1:{post.port}", mail_from="alerts@example.net")
        assert (await sends.send(Email(), ONE, "", NOW)).error == "email_unverified"
        post.refuse = "550 no such user"
        assert await sends.send(Email(), ONE, "eve@example.org", NOW) == Outcome("mail_refused", gone=True)
    assert post.letters == []
    outcome = await sends.send(Email(), ONE, "ada@example.org", NOW)
    assert (outcome.error, outcome.gone) == ("mail_failed", False)


async def test_mail_is_offered_where_there_is_a_server_and_only_to_verified_addresses(
    tmp_path: Path, kafka_cluster: Kafka
) -> None:
    house = House(tmp_path, None, kafka_cluster)
    async with house.market(), post_office() as post:
        mail: dict[str, Any] = {"smtp_url": f"smtp://127.0.0.1:{post.port}", "mail_from": "alerts@example.net"}
        async with house.running() as users:
            ada = (await register(users)).user_id
            assert (await _refused(users.CreateChannel(_email(ada)))).code == "channel_off"
        async with house.running(**mail) as users:
            assert (await _refused(users.CreateChannel(_email(ada)))).code == "email_unverified"
            async with migrated(house.settings()) as database, database.transaction() as session:
                await accounts.change_account(session, ada, {"email_verified_at": "2024-09-21T14:23:00.000000Z"})
            made = await users.CreateChannel(_email(ada))
            assert (await users.CreateChannel(_email(ada))).id == made.id
            before = len(post.letters)
            await users.CreateAlert(wish(ada, channels=["email"]))
            await house.publish(tick(1, 149.0), tick(2, 151.0))
            async with asyncio.timeout(15):
                while len(post.letters) == before:  # noqa: ASYNC110 (nobody announces it)
                    await asyncio.sleep(0.02)
    to, letter = post.letters[-1]
    assert to == ["ada@example.org"]
    assert "AAPL" in letter["Subject"]


def _email(user_id: str) -> pb.CreateChannelRequest:
    return pb.CreateChannelRequest(user_id=user_id, kind="email")


async def _refused(call: Any) -> TickroomError:
    return await fails(call)


# -- Web Push ----------------------------------------------------------------------------------------------------------


class Browser:
    """Subscribed with a server's key; opens what its push service was given as RFC 8291 says."""

    def __init__(self, vapid: str) -> None:
        self.key, self.auth, self.vapid = ec.generate_private_key(ec.SECP256R1()), os.urandom(16), vapid

    def subscription(self, service: Receiver) -> Push:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Push(f"http://127.0.0.1:{service.port}/send/abc", _text(point), _text(self.auth), self.vapid)

    def open(self, body: bytes) -> dict[str, str]:
        opened: dict[str, str] = json.loads(
            http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm")
        )
        return opened


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_a_browser_can_open_what_its_push_service_can_not(tmp_path: Path, service: Receiver) -> None:
    sends = senders(tmp_path, mail_from="alerts@example.net", smtp_url="smtp://127.0.0.1:1")
    browser = Browser(sends.vapid.public_key)
    for told in (ONE, MANY):
        assert await sends.send(browser.subscription(service), told, "", NOW) == Outcome(code=201)
    one, many = service.requests
    assert b"AAPL" not in one.body
    assert browser.open(one.body) == {"id": ONE.id, "title": "AAPL ↑", "body": "AAPL ↑"}
    assert browser.open(many.body)["title"] == "500 alerts"
    assert len(many.body) <= 4096
    assert {name: one.headers[name] for name in ("content-encoding", "ttl", "urgency", "topic")} == {
        "content-encoding": "aes128gcm",
        "ttl": "86400",
        "urgency": "high",
        "topic": ONE.id.replace("-", ""),
    }
    claims = _verified(one.headers["authorization"], sends.vapid.public_key)
    assert claims["aud"] == f"http://127.0.0.1:{service.port}"
    assert claims["sub"] == "mailto:alerts@example.net"
    assert 0 < claims["exp"] - NOW.timestamp() <= 86_400


def _verified(authorization: str, public_key: str) -> dict[str, Any]:
    """The claims of RFC 8292's header, whose signature is of this key."""
    scheme, _, rest = authorization.partition(" ")
    parts = dict(each.strip().split("=", 1) for each in rest.split(","))
    assert (scheme, parts["k"]) == ("vapid", public_key)
    raw = base64.urlsafe_b64decode(public_key + "=" * (-len(public_key) % 4))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    claims: dict[str, Any] = jwt.decode(parts["t"], key, ["ES256"], options={"verify_aud": False})
    return claims


@pytest.mark.parametrize("status", [b"404 Not Found", b"410 Gone"])
async def test_a_subscription_that_has_ended_is_gone(tmp_path: Path, status: bytes) -> None:
    async with receiver(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as service:
        sends = senders(tmp_path)
        outcome = await sends.send(Browser(sends.vapid.public_key).subscription(service), ONE, "", NOW)
    assert (outcome.code, outcome.gone) == (int(status[:3]), True)


async def test_browsers_are_served_after_a_rotation_and_not_with_a_foreign_key(
    tmp_path: Path, service: Receiver
) -> None:
    browser = Browser(Vapid(SECRET, None).public_key)
    rotated = open_senders(settings_of(tmp_path, None, webhook_allow_loopback=True), Vapid("n" * 64, SECRET))
    assert rotated.vapid.public_key != browser.vapid == Vapid(SECRET, None).public_key
    assert (await rotated.send(browser.subscription(service), ONE, "", NOW)).delivered
    _verified(service.requests[0].headers["authorization"], browser.vapid)
    lost = open_senders(settings_of(tmp_path, None, webhook_allow_loopback=True), Vapid("x" * 64, None))
    assert await lost.send(browser.subscription(service), ONE, "", NOW) == Outcome("key_changed", gone=True)
    assert len(service.requests) == 1


# -- apprise -----------------------------------------------------------------------------------------------------------


class _Service:
    def __init__(self, told: list[dict[str, Any]], taken: bool) -> None:
        self.told, self.taken = told, taken

    def notify(self, **said: Any) -> bool:
        self.told.append(said)
        return self.taken


@pytest.mark.parametrize(("taken", "expected"), [(True, Outcome()), (False, Outcome("refused"))])
async def test_apprise_is_told_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool, expected: Outcome
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(Library, "instantiate", staticmethod(lambda url, **_: _Service(told, taken)))
    sends = senders(tmp_path)
    assert await sends.send(Apprise("tgram://1:a/2"), MANY, "", NOW) == expected
    assert (told[0]["title"], told[0]["body"].count("AAPL ↑")) == ("Tickroom: 500 alerts", 500)


async def test_a_url_that_apprise_does_not_understand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        outcome = await senders(tmp_path).send(Apprise("tgram://path-secret"), ONE, "", NOW)
    assert outcome == Outcome("bad_url", gone=True)
    assert "path-secret" not in caplog.text


async def test_a_service_that_does_not_answer_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, free = asyncio.get_running_loop(), asyncio.Event()

    def hangs(url: str, message: Message) -> Outcome:
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
        return Outcome()

    monkeypatch.setattr(apprise_extra, "TIME_LIMIT_S", 0.05)
    monkeypatch.setattr(apprise_extra, "_notify", hangs)
    assert await senders(tmp_path).send(Apprise("tgram://1:a/2"), ONE, "", NOW) == Outcome("timeout")
    free.set()


@pytest.mark.parametrize("schema", APPRISE)
def test_a_service_of_apprise_that_is_let_through_names_its_host_itself(schema: str) -> None:
    plugin = NotificationManager()[schema]
    assert plugin.enabled
    named = " ".join(plugin.template_tokens)
    assert not any(word in named for word in ("host", "port", "file", "template"))
    assert not any("{host" in str(each) for each in plugin.templates)


async def test_where_apprise_is_not_installed_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "apprise" not in senders(tmp_path).missing
    monkeypatch.setattr(apprise_extra, "installed", lambda: False)
    assert "pip install" in senders(tmp_path).missing["apprise"]


def test_a_trial_has_one_line() -> None:
    assert len(trial("m", "c", "t").lines) == 1
