"""Small feeds made by hand."""

from datetime import date, timedelta

from services.stock_data.core import instants
from services.stock_data.core.csv_import import DayRow
from services.stock_data.core.start import Start
from services.stock_data.core.ticks import Quote
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.tick_file import TickFeed

FIRST = date(2024, 7, 1)


def day_row(ticker: str, day: date, price: float = 10.0, *, adjusted: float | None = None) -> DayRow:
    """Opens at `price`, closes one higher."""
    return DayRow(ticker, "Sector", day, price, price + 2, price - 1, price + 1, 100.0, adjusted)


def daily_feed(
    tickers: tuple[str, ...] = ("A", "B"),
    days: int = 4,
    start: Start | None = None,
    *,
    digest: str = "file",
    symbols: tuple[str, ...] = (),
) -> DailyFeed:
    """`days` consecutive dates from FIRST on; the price rises by one a day."""
    rows = [day_row(ticker, FIRST + timedelta(days=n), 10.0 + n) for n in range(days) for ticker in tickers]
    return DailyFeed("csv", rows, digest, symbols=symbols, start=start)


def tick_feed(
    seconds: list[float], start: Start | None = None, symbols: tuple[str, ...] = ("A", "B"), *, digest: str = "file"
) -> TickFeed:
    """A tick at each of `seconds` after the open of FIRST, the symbols by turns."""
    opens = instants.open_of(FIRST)
    ticks = [
        Quote(symbols[n % len(symbols)], 10.0 + n % 7, opens + round(second * instants.SECOND), 1.0)
        for n, second in enumerate(seconds)
    ]
    return TickFeed(ticks, digest, symbols=(), start=start)
