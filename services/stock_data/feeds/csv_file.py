"""FEED=csv:PATH: a file of daily bars or of ticks, told apart by its header."""

from collections.abc import Sequence
from pathlib import Path

from services.stock_data.core.start import Start
from services.stock_data.feeds.base import ReplayFeed
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.files import digest, open_csv, readable, told
from services.stock_data.feeds.tick_file import TickFeed


def read_csv(path: Path, *, symbols: Sequence[str], start: Start | None) -> ReplayFeed:
    """The feed in the file. Raises StartFailed with one line that says what is wrong with it."""
    with readable(path):
        name = digest(path)
        with open_csv(path) as file:
            if file.shape == "ticks":
                return TickFeed(told(path, file.ticks(), file.report), name, symbols=symbols, start=start)
            return DailyFeed("csv", told(path, file.days(), file.report), name, symbols=symbols, start=start)
