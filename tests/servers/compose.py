"""docker-compose.yml without Docker: the commands and environments of our services, for servers that run elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("stock_data", "prediction", "users", "gateway")

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Service:
    """What compose would run. environment: nothing but what the file gives it, empty values included.

    health: the command that asks whether it serves, or None for the image's own.
    """

    command: list[str]
    environment: dict[str, str]
    health: list[str] | None


def services(variables: Mapping[str, str], addresses: Mapping[str, str] | None = None) -> dict[str, Service]:
    """Our four services by name, with `.env` saying `variables`. Raises KeyError for a required one that is missing.

    addresses: what to write for an address in the file, such as `kafka:9092` or `0.0.0.0:50051`.
    """
    moves = (addresses or {}).items()

    def moved(text: str) -> str:
        for here, there in moves:
            text = text.replace(here, there)
        return text

    found = {}
    for name in SERVICES:
        service = document()["services"][name]
        environment = {key: moved(_fill_in(str(value), variables)) for key, value in service["environment"].items()}
        health = [moved(word) for word in service["healthcheck"]["test"][1:]] if "healthcheck" in service else None
        found[name] = Service(service["command"], environment, health)
    return found


def document() -> dict[str, Any]:
    """The file as YAML, anchors and merges resolved, variables not."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def _fill_in(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if given := variables.get(name):
            return given
        if kind == "?":
            raise KeyError(f"{name}: {default}")
        return default or ""

    return _VARIABLE.sub(value, text)
