"""What the front door asks of users about rules beyond making them: a part of `backends.Users`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.gateway.backends import AlertWish


@dataclass(frozen=True, slots=True)
class PreviewWish:
    """A rule and what to run it over: (time, price) where they are not None, else stored bars (dates; empty = all)."""

    rule: AlertWish
    start: str
    end: str
    prices: Sequence[tuple[str, float]] | None


class AlertReports(Protocol):
    """Both are JSON as people see it (`http.alert_reports`)."""

    async def explain_alert(self, user_id: str, alert_id: str) -> bytes:
        """Raises NotFound."""
        ...

    async def preview_alert(self, user_id: str, wish: PreviewWish) -> bytes:
        """Raises InvalidInput, NotFound (unknown symbol)."""
        ...
