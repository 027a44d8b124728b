"""What a name, an address and a password may be. Addresses and passwords never stand in an error's text."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from services.shared.errors import FieldError, InvalidInput
from services.users.core.weak_passwords import is_weak

MOST_NAME: Final = 100
MOST_EMAIL: Final = 254
MOST_LOCAL_PART: Final = 64
LEAST_PASSWORD: Final = 8
MOST_PASSWORD: Final = 1024

_JOINERS: Final = "\u200c\u200d"  # several scripts can't be written without them


def same_email(email: str) -> str:
    """The form in which addresses are stored and compared: trimmed, in lower case, characters composed."""
    return unicodedata.normalize("NFKC", email.strip()).lower()


def same_name(name: str) -> str:
    """The form in which names are kept: trimmed, characters composed."""
    return unicodedata.normalize("NFC", name.strip())


def same_password(password: str) -> str:
    """The form in which passwords are hashed: two keyboards may write one character in different ways."""
    return unicodedata.normalize("NFKC", password)


def new_account(name: str, email: str, password: str) -> tuple[str, str, str]:
    """(name, email, password) in the form to keep. Raises InvalidInput that names every field that is wrong."""
    name, email, password = same_name(name), same_email(email), same_password(password)
    wrong = {"name": wrong_name(name), "email": wrong_email(email)}
    wrong["password"] = wrong_password(password, (name, email, email.partition("@")[0]))
    errors = tuple(FieldError(loc, msg) for loc, msg in wrong.items() if msg is not None)
    if errors:
        raise InvalidInput(f"{errors[0].loc} {errors[0].msg}", code="bad_account", errors=errors)
    return name, email, password


def wrong_name(name: str) -> str | None:
    """What is wrong with a (trimmed) name; None where nothing is. Any script will do."""
    if not 1 <= len(name) <= MOST_NAME:
        return f"must have 1 to {MOST_NAME} characters"
    if any(unicodedata.category(each)[0] == "C" and each not in _JOINERS for each in name) or "\u2028" in name:
        return "must not have control characters"
    if all(unicodedata.category(each)[0] in "CMZ" for each in name):
        return "must have a visible character"
    return None


def wrong_email(email: str) -> str | None:
    """What is wrong with an address as `same_email` gives it; None where it may exist."""
    local, at, domain = email.rpartition("@")
    labels = domain.split(".")
    fine = (
        at
        and len(email) <= MOST_EMAIL
        and 1 <= len(local) <= MOST_LOCAL_PART
        and _plain(local, '()<>[]:;,\\"@')
        and all(local.split("."))
        and all(_is_label(label) for label in labels)
        and not labels[-1].isdigit()
    )
    return None if fine else "must be an e-mail address such as ada@example.org"


def wrong_password(password: str, about: Iterable[str] = ()) -> str | None:
    """What is wrong with a password; None where it will do. about: what others know of its owner."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        return f"must have {LEAST_PASSWORD} to {MOST_PASSWORD} characters"
    if "\0" in password:
        return "must not have a null character"
    if is_weak(password, about):
        return "is too easy to guess"
    return None


def readable(password: str) -> bool:
    """Could it be anybody's password? Anything else is not worth hashing."""
    return len(password) <= MOST_PASSWORD and "\0" not in password


def _plain(text: str, special: str) -> bool:
    return all(unicodedata.category(each)[0] not in "CZ" and each not in special for each in text)


def _is_label(label: str) -> bool:
    fine = all(each == "-" or unicodedata.category(each)[0] in "LMN" for each in label)
    return 1 <= len(label) <= 63 and fine and label[0] != "-" and label[-1] != "-"
