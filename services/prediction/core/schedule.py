"""When a model is due, told by the data's own time alone: every replica and every rerun comes to the same answer.

A model decides about bars from its cut on, and was trained on bars before its cut. The first cut is where the feed's
epoch starts. Later ones are at the start of a month: while there is no model (too little history so far), and when as
many sessions have passed since the last cut as that model was trained on.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache

from services.shared.calendars import sessions_after
from services.shared.events import parse_time, rfc3339


@lru_cache(maxsize=1024)
def month_start(month: str) -> str:
    """RFC 3339 of the first instant of a month given as `YYYY-MM` (UTC)."""
    return rfc3339(datetime(int(month[:4]), int(month[5:7]), 1, tzinfo=UTC))


def months(after: str, through: str) -> Iterator[str]:
    """The months (`YYYY-MM`) after `after`, up to and with `through`, in order."""
    year, number = int(after[:4]), int(after[5:7])
    while True:
        year, number = (year, number + 1) if number < 12 else (year + 1, 1)
        month = f"{year:04d}-{number:02d}"
        if month > through:
            return
        yield month


def is_due(cut: str, last_cut: str | None, sessions: int) -> bool:
    """Should a model be trained at `cut`? last_cut: of the one in effect, trained on `sessions`; None: none is."""
    if last_cut is None:
        return True
    first, day = _day(last_cut), _day(cut)
    if cut <= last_cut or (day - first).days < sessions:  # the second spares counting: a day has one session at most
        return False
    return day >= sessions_after(first, max(sessions, 1))


def _day(time: str) -> date:
    return parse_time(time).date()
