"""Where a replay begins: REPLAY_START as people write it, and the instant that it means in a file."""

from dataclasses import dataclass
from datetime import date

from services.stock_data.core import instants


@dataclass(frozen=True, slots=True)
class Share:
    """That much of the file's time span (0.0-1.0) is history."""

    of_span: float


Start = date | Share
"""A date in New York, or a share of the file."""


def parse_start(written: str) -> Start:
    """`2012-06-01`, or `25%`. Raises ValueError."""
    written = written.strip()
    if written.endswith("%"):
        try:
            percent = float(written[:-1])
        except ValueError:
            percent = -1.0
        if 0 <= percent <= 100:
            return Share(percent / 100)
    else:
        try:
            return instants.parse_date(written)
        except ValueError:
            pass
    raise ValueError("accepts a date YYYY-MM-DD, or 0% to 100% of the file's time span")


def begin(start: Start | None, first: int, last: int) -> int:
    """The instant at which a file from `first` to `last` begins to be replayed; without `start` at its first row."""
    if start is None:
        return first
    if isinstance(start, Share):
        return first + round(start.of_span * (last - first))
    return instants.midnight(start)
