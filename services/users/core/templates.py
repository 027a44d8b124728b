"""A rule's own message: text with a few fixed placeholders in braces. Nothing in it is ever evaluated."""

import re
from collections.abc import Mapping
from typing import Final

from services.shared.alert_limits import PLACEHOLDERS

_PART: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def wrong_template(text: str) -> str | None:
    """What is wrong with the braces of a message; None where nothing is. `{{` and `}}` stand for braces as such."""
    for part in _PART.finditer(text):
        name = part[1]
        if name is None and part[0] in "{}":
            return "has a single brace; write {{ or }} for a brace as such"
        if name is not None and name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            return f"has a placeholder that is not one of {known}"
    return None


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its placeholders replaced, once: what comes in is not looked at again."""

    def value(part: re.Match[str]) -> str:
        whole, name = part[0], part[1]
        return {"{{": "{", "}}": "}"}.get(whole, whole) if name is None else values.get(name, whole)

    return _PART.sub(value, text)
