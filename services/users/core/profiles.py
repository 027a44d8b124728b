"""What a person may change about their account, and what they are told of it."""

from dataclasses import dataclass

from services.shared.errors import FieldError, InvalidInput
from services.users.core.accounts import (
    same_email,
    same_name,
    same_password,
    wrong_email,
    wrong_name,
    wrong_password,
)
from services.users.core.preferences import checked as preferences_checked


@dataclass(frozen=True, slots=True)
class Change:
    """None: left as it is. preferences: a JSON object as text, which replaces the one before."""

    name: str | None = None
    email: str | None = None
    password: str | None = None
    preferences: str | None = None

    @property
    def needs_password(self) -> bool:
        """Is it one that only those may make who know the current password?"""
        return self.email is not None or self.password is not None

    @property
    def columns(self) -> dict[str, str]:
        """What is stored as it is, by name."""
        given = {"name": self.name, "email": self.email, "preferences": self.preferences}
        return {column: value for column, value in given.items() if value is not None}

    @property
    def events(self) -> list[str]:
        """What the user is told; not of the password, whose change ends every login."""
        profile = ["profile_changed"] if self.name is not None or self.preferences is not None else []
        return profile + (["email_changed"] if self.email is not None else [])


def checked(asked: Change, *, name: str, email: str, preferences: str) -> Change:
    """What of `asked` differs from what there is (the arguments), in the form to keep.

    Raises InvalidInput that names every field that is wrong.
    """
    new_name = None if asked.name is None else same_name(asked.name)
    new_email = None if asked.email is None else same_email(asked.email)
    password = None if asked.password is None else same_password(asked.password)
    about = (new_name or name, new_email or email, (new_email or email).partition("@")[0])
    new_preferences, wrong_preferences = (
        (None, None) if asked.preferences is None else preferences_checked(asked.preferences)
    )
    wrong = {
        "name": None if new_name is None else wrong_name(new_name),
        "email": None if new_email is None else wrong_email(new_email),
        "password": None if password is None else wrong_password(password, about),
        "preferences": wrong_preferences,
    }
    errors = tuple(FieldError(loc, msg) for loc, msg in wrong.items() if msg is not None)
    if errors:
        raise InvalidInput(f"{errors[0].loc} {errors[0].msg}", code="bad_account", errors=errors)
    return Change(
        name=None if new_name == name else new_name,
        email=None if new_email == email else new_email,
        password=password,
        preferences=None if new_preferences == preferences else new_preferences,
    )
