"""Which feeds there are: FEED -> the feed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.stock_data.core.start import Start
from services.stock_data.feeds.base import ReplayFeed
from services.stock_data.feeds.csv_file import read_csv
from services.stock_data.feeds.replay import read_bundled

CSV: Final = "csv:"
BUNDLED: Final = "replay"


def open_feed(feed: str, *, symbols: Sequence[str], start: Start | None) -> ReplayFeed:
    """Reads the feed that FEED names (checked by config.py). Raises StartFailed. Slow: call it in a thread."""
    if feed.startswith(CSV):
        return read_csv(Path(feed.removeprefix(CSV)).expanduser(), symbols=symbols, start=start)
    return read_bundled(symbols=symbols, start=start)
