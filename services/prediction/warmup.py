"""How the start went: which models were there, which had to be trained, what went wrong meanwhile."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

_MOST_ERRORS: Final = 20


class WarmUp:
    """Begins when it is made and is over once it is known which model decides; what comes later is not counted.

    started_at, completed_at: UNIX seconds. errors: sentences, each told once.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.started_at = clock().timestamp()
        self.completed_at: float | None = None
        self.models_loaded = 0
        self.models_trained = 0
        self.errors: list[str] = []

    @property
    def duration_s(self) -> float | None:
        return None if self.completed_at is None else self.completed_at - self.started_at

    def loaded(self) -> None:
        if self.completed_at is None:
            self.models_loaded += 1

    def trained(self) -> None:
        if self.completed_at is None:
            self.models_trained += 1

    def failed(self, detail: str) -> None:
        """detail: a sentence for people, without secrets."""
        if self.completed_at is None and detail not in self.errors and len(self.errors) < _MOST_ERRORS:
            self.errors.append(detail)

    def completed(self) -> None:
        """The first time counts."""
        if self.completed_at is None:
            self.completed_at = self._clock().timestamp()
