"""What letters about an account say. No link stands beside words of somebody else: a name may be anything."""

from typing import Final

_SUBJECTS: Final = {"verify": "Is this your address?", "reset": "A new password"}
_ASKS: Final = {
    "verify": "Somebody, hopefully you, uses this address with an account of Tickroom. If it was you, open this page\n"
    "within 24 hours:",
    "reset": "Somebody, hopefully you, asked for a new password of this address's account. To choose one, open this\n"
    "page within 30 minutes:",
}
_CHANGES: Final = {
    "password_changed": "The password of this address's account was changed, and every login was ended.",
    "email_changed": "This address's account has another address now, and no more mail about it comes here.",
    "closed": "This address's account was deleted, with everything in it.",
}


def code_letter(purpose: str, link: str) -> tuple[str, str]:
    """(subject, text) of a letter that carries a code. purpose: verify, reset."""
    text = f"{_ASKS[purpose]}\n\n{link}\n\nIf it was not you, nothing has happened: throw this letter away."
    return f"Tickroom: {_SUBJECTS[purpose]}", text


def news_letter(what: str, public_url: str) -> tuple[str, str]:
    """(subject, text) of a letter about what happened to an account. what: password_changed, email_changed, closed."""
    text = f"{_CHANGES[what]}\n\nIf that was not you, ask for a new password at {public_url}/account at once."
    return "Tickroom: your account was changed", text
