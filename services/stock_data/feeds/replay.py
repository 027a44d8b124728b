"""FEED=replay: the real daily bars (AAPL, FB, GOOG, IBM, MSFT; raw, 2000-2013) in the package `bokeh_sampledata`.

The package's file is read as CSV where it lies: importing the package would import pandas.
"""

from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from services.shared.errors import StartFailed
from services.stock_data.core.start import Start
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.files import digest, open_csv, readable, told

DEFAULT_START: Final = date(2012, 6, 1)


def bundled_file() -> Path:
    """Where the bundled bars lie. Raises StartFailed."""
    spec = find_spec("bokeh_sampledata")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "_data" / "stocks.csv.gz").is_file():
            return path
    raise StartFailed("FEED: replay needs the package bokeh_sampledata (2026.1 or later); it is not installed")


def read_bundled(*, symbols: Sequence[str], start: Start | None) -> DailyFeed:
    """The bundled bars as a feed. Raises StartFailed."""
    path = bundled_file()
    with readable(path), open_csv(path) as file:
        rows = told(path, file.days(), file.report)
        return DailyFeed("replay", rows, digest(path), symbols=symbols, start=start or DEFAULT_START)
