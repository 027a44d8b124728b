from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import StartFailed
from services.stock_data.core import instants
from services.stock_data.core.start import Share
from services.stock_data.core.ticks import Quote
from services.stock_data.feeds.tick_file import TickFeed
from tests.unit.stock_data.samples import FIRST, tick_feed

QUOTES = st.lists(
    st.builds(
        Quote,
        st.sampled_from(["A", "B"]),
        st.integers(1, 10**6).map(float),
        st.integers(0, 20),
        st.none() | st.integers(0, 9).map(float),
    ),
    min_size=1,
    max_size=50,
)


@given(QUOTES)
@settings(deadline=None, max_examples=60)
def test_items_are_the_quotes_in_order_of_time_and_of_the_file_within_an_instant(quotes: list[Quote]) -> None:
    feed = TickFeed(quotes, "d", symbols=(), start=None)
    assert list(feed.items()) == sorted(quotes, key=lambda quote: quote.time)
    assert list(feed.items()) == list(feed.items())
    assert feed.started == min(quote.time for quote in quotes)


def test_only_followed_symbols() -> None:
    quotes = [Quote("A", 1.0, 1), Quote("B", 2.0, 2), Quote("A", 3.0, 3)]
    feed = TickFeed(quotes, "d", symbols=("a",), start=None)
    assert [item.symbol for item in feed.items() if isinstance(item, Quote)] == ["A", "A"]
    assert feed.sectors == {"A": ""}
    with pytest.raises(StartFailed, match="SYMBOLS: the feed has no C"):
        TickFeed(quotes, "d", symbols=("C",), start=None)


def test_where_it_starts() -> None:
    opens = instants.open_of(FIRST)
    assert tick_feed([0, 10], Share(0.5)).started == opens + 5 * instants.SECOND
    assert tick_feed([0, 10], FIRST).started == instants.midnight(FIRST)
    with pytest.raises(StartFailed, match="REPLAY_START: 2024-08-01 is after the last row"):
        tick_feed([0, 10], date(2024, 8, 1))


def test_identity_follows_file_and_start() -> None:
    assert tick_feed([0, 10]).identity == tick_feed([0, 10]).identity
    assert tick_feed([0, 10]).identity != tick_feed([0, 10], Share(0.5)).identity
    assert tick_feed([0, 10]).identity != tick_feed([0, 10], digest="other").identity
