from datetime import date, timedelta

import pytest

from services.shared.errors import StartFailed
from services.stock_data.core import instants
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound
from services.stock_data.core.start import Share
from services.stock_data.core.ticks import Quote
from services.stock_data.feeds.daily import DailyFeed
from tests.unit.stock_data.samples import FIRST, daily_feed, day_row

SECOND = FIRST + timedelta(days=1)


def test_a_day_is_its_opens_then_its_closes_then_its_bars() -> None:
    opens, closes = instants.open_of(FIRST), instants.close_of(FIRST)
    assert list(daily_feed(("B", "A"), days=1).items()) == [
        Quote("A", 10.0, opens),
        Quote("B", 10.0, opens),
        Quote("A", 11.0, closes),
        Quote("B", 11.0, closes),
        FinalBar("A", "1d", opens, closes, "2024-07-01", 10.0, 12.0, 9.0, 11.0, 100.0),
        FinalBar("B", "1d", opens, closes, "2024-07-01", 10.0, 12.0, 9.0, 11.0, 100.0),
    ]


def test_a_half_day_closes_at_one_and_a_sunday_has_the_usual_times() -> None:
    half, sunday = date(2024, 7, 3), date(2024, 7, 7)
    feed = DailyFeed("csv", [day_row("A", sunday), day_row("A", half)], "d", symbols=(), start=None)
    times = [item.time for item in feed.items() if isinstance(item, Quote)]
    hours = [(later - earlier) / 3600 / instants.SECOND for earlier, later in zip(times[::2], times[1::2], strict=True)]
    assert hours == [3.5, 6.5]


def test_a_split_comes_before_the_open_of_its_day() -> None:
    rows = [day_row("A", FIRST, 20.0, adjusted=10.5), day_row("A", SECOND, 10.0, adjusted=11.0)]
    items = list(DailyFeed("csv", rows, "d", symbols=(), start=None).items())
    at = next(n for n, item in enumerate(items) if isinstance(item, SplitFound))
    assert items[at] == SplitFound("A", 2.0, SECOND.isoformat(), instants.midnight(SECOND))
    assert items[at + 1] == Quote("A", 10.0, instants.open_of(SECOND))


def test_symbols_are_chosen_by_ticker_or_name() -> None:
    rows = [day_row(ticker, FIRST) for ticker in ("AAPL", "MSFT", "IBM")]
    feed = DailyFeed("csv", rows, "d", symbols=("apple", "msft"), start=None)
    assert feed.sectors == {"AAPL": "Sector", "MSFT": "Sector"}
    with pytest.raises(StartFailed, match=r"SYMBOLS: the feed has no TSLA; it has AAPL, IBM, MSFT"):
        DailyFeed("csv", rows, "d", symbols=("TSLA",), start=None)


def test_where_it_starts() -> None:
    assert daily_feed().started == instants.midnight(FIRST)
    assert daily_feed(days=5, start=Share(0.5)).started == instants.midnight(FIRST + timedelta(days=2))
    assert daily_feed(days=5, start=Share(1.0)).started == instants.midnight(FIRST + timedelta(days=4))
    assert daily_feed(start=SECOND).started == instants.midnight(SECOND)
    with pytest.raises(StartFailed, match="REPLAY_START: 2024-08-01 is after the last row, 2024-07-04"):
        daily_feed(start=date(2024, 8, 1))


def test_identity_follows_file_symbols_and_start() -> None:
    same, again = daily_feed(), daily_feed()
    others = [daily_feed(digest="other"), daily_feed(symbols=("A",)), daily_feed(start=SECOND)]
    assert same.identity == again.identity
    assert len({same.identity, *(other.identity for other in others)}) == 4
