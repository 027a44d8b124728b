"""What API keys look like, and what may be asked of one."""

from datetime import UTC, datetime

import pytest

from services.shared.errors import InvalidInput
from services.shared.scopes import Scope
from services.users.core.api_keys import KeyDraft, checked, read, written

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET = "A-_z" * 10 + "abc"


def test_a_key_is_read_as_it_was_written() -> None:
    assert read(written("0123456789ab", SECRET)) == ("0123456789ab", SECRET)


@pytest.mark.parametrize(
    "key", ["", "tk_", f"tk_0123456789ab_{SECRET}x", f"xx_0123456789ab_{SECRET}", f"tk_0123456789AB_{SECRET}",
            f"tk_0123456789ab_{SECRET}\n", f"tk_0123456789ab_{SECRET[:-1]}é", "x" * 100_000]
)  # fmt: skip
def test_what_can_be_no_key(key: str) -> None:
    assert read(key) is None


def test_a_wish_in_the_form_to_keep() -> None:
    wish = checked(" My bot ", ["alerts", "read", "read"], "2026-05-01T14:00:01+02:00", now=NOW, operator=False)
    assert wish == KeyDraft("My bot", (Scope.READ, Scope.ALERTS), "2026-05-01T12:00:01.000000Z")
    assert checked("x", [], None, now=NOW, operator=False) == KeyDraft("x", (Scope.READ,), None)
    assert checked("x", ["operate"], None, now=NOW, operator=True).scopes == (Scope.OPERATE,)


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at", "wrong"),
    [
        ("", [], None, ["name"]),
        ("a\nb", [], None, ["name"]),
        ("x", ["everything"], None, ["scopes"]),
        ("x", ["read", ""], None, ["scopes"]),
        ("x", ["operate"], None, ["scopes"]),
        ("x", [], "2026-05-01T12:00:00Z", ["expires_at"]),
        ("x", [], "2030-01-01", ["expires_at"]),
        ("x", [], "soon", ["expires_at"]),
        ("x", [], "0001-01-01T00:00:00+14:00", ["expires_at"]),
        ("", ["?"], "", ["name", "scopes", "expires_at"]),
    ],
)
def test_everything_wrong_is_named(name: str, scopes: list[str], expires_at: str | None, wrong: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(name, scopes, expires_at, now=NOW, operator=False)
    assert [each.loc for each in caught.value.errors] == wrong
