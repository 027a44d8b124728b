"""What may become a channel, what its owner sees of it, and how it lies in the database."""

import base64
from typing import Any

import msgspec
import pytest

from services.shared.errors import InvalidInput
from services.users.core.delivery_channels import (
    AnySettings,
    Apprise,
    Email,
    Ntfy,
    Push,
    Webhook,
    Wish,
    checked,
    name,
    shown,
)
from services.users.delivery.sealing import Sealer

POINT = base64.urlsafe_b64encode(b"\x04" + bytes(64)).rstrip(b"=").decode()
AUTH = base64.urlsafe_b64encode(bytes(16)).decode()
BROWSER = {"endpoint": "https://push.example.org/send/abc", "p256dh": POINT, "auth": AUTH}
GOOD: list[tuple[dict[str, Any], AnySettings, str]] = [
    ({"kind": "webhook", "url": "https://example.org/a"}, Webhook("https://example.org/a", "new"), "https://example.org/a"),
    ({"kind": "ntfy", "topic": "mine"}, Ntfy("https://ntfy.sh", "mine"), "https://ntfy.sh/mine"),
    (
        {"kind": "ntfy", "topic": "t-1", "server": "https://ntfy.example.org/", "token": "tk_abc"},
        Ntfy("https://ntfy.example.org", "t-1", "tk_abc"),
        "https://ntfy.example.org/t-1",
    ),
    ({"kind": "email"}, Email(), ""),
    ({"kind": "push", **BROWSER}, Push(BROWSER["endpoint"], POINT, AUTH, "ours"), "push.example.org"),
    ({"kind": "push", **BROWSER, "vapid": "ours"}, Push(BROWSER["endpoint"], POINT, AUTH, "ours"), "push.example.org"),
    ({"kind": "apprise", "url": "tgram://123:abc/1"}, Apprise("tgram://123:abc/1"), "tgram://..."),
]  # fmt: skip
BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": ""}, "kind"),
    ({"kind": "carrier pigeon"}, "kind"),
    ({"kind": "sms"}, "kind"),
    ({"kind": "webhook"}, "url"),
    ({"kind": "webhook", "url": "http://example.org/"}, "url"),
    ({"kind": "ntfy"}, "topic"),
    ({"kind": "ntfy", "topic": "a/b"}, "topic"),
    ({"kind": "ntfy", "topic": "mine", "server": "https://10.0.0.1"}, "server"),
    ({"kind": "ntfy", "topic": "mine", "server": "https://example.org/path"}, "server"),
    ({"kind": "ntfy", "topic": "mine", "token": "a\r\nX: 1"}, "token"),
    ({"kind": "push", **BROWSER, "endpoint": "https://localhost/"}, "endpoint"),
    ({"kind": "push", **BROWSER, "endpoint": "https://[::1]/"}, "endpoint"),
    ({"kind": "push", **BROWSER, "p256dh": "short"}, "p256dh"),
    ({"kind": "push", **BROWSER, "p256dh": "é"}, "p256dh"),
    ({"kind": "push", **BROWSER, "auth": ""}, "auth"),
    ({"kind": "push", **BROWSER, "vapid": "another server's"}, "vapid"),
    ({"kind": "apprise"}, "url"),
    ({"kind": "apprise", "url": "tgram"}, "url"),
    ({"kind": "apprise", "url": "json://10.0.0.1/"}, "url"),
    ({"kind": "apprise", "url": "syslog://"}, "url"),
    ({"kind": "apprise", "url": "slack://a/b/c?template=/etc/passwd"}, "url"),
]


def made(wish: dict[str, Any], **missing: str) -> AnySettings:
    return checked(Wish(**wish), loopback=False, missing=missing, new_secret=lambda: "new", vapid="ours")


@pytest.mark.parametrize(("wish", "settings", "leads_to"), GOOD)
def test_a_good_channel(wish: dict[str, Any], settings: AnySettings, leads_to: str) -> None:
    assert made(wish) == settings
    assert shown(settings) == leads_to


@pytest.mark.parametrize(("wish", "field"), BAD)
def test_a_bad_channel(wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(wish)
    assert [each.loc for each in caught.value.errors] == [field]


def test_a_kind_that_is_off_says_so() -> None:
    with pytest.raises(InvalidInput, match="no mail") as caught:
        made({"kind": "email"}, email="no mail is sent here")
    assert caught.value.code == "channel_off"


def test_rules_name_a_kind_that_is_one_for_all_by_itself() -> None:
    assert [name(kind, "id") for kind in ("webhook", "ntfy", "apprise", "email", "push")] == [
        "webhook:id", "ntfy:id", "apprise:id", "email", "push"
    ]  # fmt: skip


@pytest.mark.parametrize("settings", [each for _, each, _ in GOOD])
def test_settings_are_sealed_for_one_channel_and_show_in_no_repr(settings: AnySettings) -> None:
    old, new, other = Sealer("o" * 40, None), Sealer("n" * 40, "o" * 40), Sealer("x" * 40, None)
    sealed = old.seal("c1", settings)
    for value in msgspec.structs.asdict(settings).values():
        assert not value or value.encode() not in sealed
        assert not value or value not in repr(settings)
    assert old.open("c1", sealed) == new.open("c1", sealed) == settings
    assert (old.is_old("c1", sealed), new.is_old("c1", sealed)) == (False, True)
    assert old.open("c2", sealed) is other.open("c1", sealed) is old.open("c1", b"") is None
    assert old.open("c1", sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert old.seal("c1", settings) != sealed
    assert "http" not in repr(Wish(kind="webhook", url="https://example.org"))
