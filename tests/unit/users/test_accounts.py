"""What names, addresses and passwords may be."""

import pytest

from services.shared.errors import InvalidInput
from services.users.core.accounts import new_account, same_email, wrong_email, wrong_name, wrong_password

GOOD = "plum-tarmac-otter"


def test_an_account_is_kept_in_one_form() -> None:
    # a decomposed u with two dots, and a full-width letter, are what some keyboards send
    name, email, password = new_account("  Zoe\u0308  ", " Ada@Example.ORG ", "\uff50lum-tarmac-otter")
    assert (name, email, password) == ("Zoë", "ada@example.org", GOOD)


@pytest.mark.parametrize("name", ["Ada", "李小龍", "Αθηνά", "محمد", "O'Brien-Łukasz", "நா.முத்துக்குமார்", "می‌خواهم", "X"])
def test_names_in_any_script(name: str) -> None:
    assert wrong_name(name) is None


@pytest.mark.parametrize("name", ["", "\u200d", "a\nb", "a\x00b", "abc\u202etxt", "x" * 101, "\u2028"])
def test_names_that_are_none(name: str) -> None:
    assert wrong_name(name) is not None


@pytest.mark.parametrize(
    "email", ["ada@example.org", "a+tag@sub.example.co.uk", "用户@例え.jp", "o'brien@x.ie", "ada@localhost"]
)
def test_addresses(email: str) -> None:
    assert wrong_email(same_email(email)) is None


@pytest.mark.parametrize(
    "email",
    ["", "ada", "@example.org", "ada@", "a b@example.org", "ada@exam ple.org", "ada@@example.org", "ada@.org",
     "ada@example..org", ".ada@example.org", "ada@-x.org", "ada@1.2.3.4", "a" * 65 + "@example.org",
     "ada@" + "x" * 64 + ".org", "ada@" + "abc." * 80 + "org", "ada\x00@example.org", "<ada@example.org>"],
)  # fmt: skip
def test_addresses_that_are_none(email: str) -> None:
    assert wrong_email(same_email(email)) is not None


@pytest.mark.parametrize(
    "password",
    [GOOD, "correct horse battery staple", "Tr0ub4dor&3x", "пароль-из-четырёх", "z" * 3 + GOOD, "a plum in tar " * 20],
)
def test_passwords(password: str) -> None:
    assert wrong_password(password) is None


@pytest.mark.parametrize(
    "password",
    ["short77", "x" * 1025, "aaaaaaaa", "abababab", "abcabcabc", "12345678", "87654321", "abcdefgh", "password",
     "Password1!", "p@ssw0rd123", "qwertyuiop", "letmein2024", "iloveyou!!", "tickroom-1", "monkeymonkey",
     "asdfghjkl1", "null\x00null-null"],
)  # fmt: skip
def test_passwords_that_anybody_would_try(password: str) -> None:
    assert wrong_password(password) is not None


def test_a_password_must_not_be_its_owner() -> None:
    assert wrong_password("lovelace1815", ("Ada Lovelace", "ada@example.org")) is not None
    assert wrong_password("ada@example.org", ("Ada", "ada@example.org")) is not None
    assert wrong_password("lovelace1815") is None


def test_everything_wrong_is_named_and_nothing_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        new_account("", "nobody", "short")
    assert [error.loc for error in caught.value.errors] == ["name", "email", "password"]
    assert "nobody" not in str(caught.value.errors)
