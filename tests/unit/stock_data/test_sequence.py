from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.events import Bar, Record, Split, Tick, decode_record, encode
from services.stock_data.core import instants, sequence
from services.stock_data.core.sequence import Numbering, Playback
from services.stock_data.core.start import Share
from services.stock_data.core.ticks import Gate, Quote
from services.stock_data.feeds.base import ReplayFeed
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.tick_file import TickFeed
from tests.unit.stock_data.samples import FIRST, daily_feed, day_row, tick_feed


def records(feed: ReplayFeed) -> Iterator[Record]:
    return sequence.records(
        feed.items(), Numbering("e", "replay"), Gate(), started=feed.started, aggregate=feed.aggregate
    )


def tell(feed: ReplayFeed) -> list[tuple[str, str, int]]:
    return [(type(record).__name__, record.symbol, record.seq) for record in records(feed)]


def test_each_symbol_counts_its_own_records() -> None:
    assert tell(daily_feed(days=1)) == [
        ("Tick", "A", 1), ("Tick", "B", 1), ("Tick", "A", 2), ("Tick", "B", 2), ("Bar", "A", 3), ("Bar", "B", 3),
    ]  # fmt: skip


def test_a_daily_tick_and_its_bar_on_the_wire() -> None:
    tick, _, _, _, bar, _ = (decode_record(encode(record)) for record in records(daily_feed(days=1)))
    assert tick == Tick(
        symbol="A", price=10.0, timestamp="2024-07-01T13:30:00Z", epoch="e", seq=1,
        time="2024-07-01T13:30:00.000000Z", volume=None, source="replay",
    )  # fmt: skip
    assert bar == Bar(
        symbol="A", timeframe="1d", start="2024-07-01T13:30:00.000000Z", open=10.0, high=12.0, low=9.0, close=11.0,
        volume=100.0, final=True, epoch="e", seq=3, time="2024-07-01T20:00:00.000000Z", date="2024-07-01",
        source="replay",
    )  # fmt: skip


def test_a_split_counts_too_and_comes_before_its_day() -> None:
    second = FIRST + timedelta(days=1)
    rows = [day_row("A", FIRST, 20.0, adjusted=10.5), day_row("A", second, 10.0, adjusted=11.0)]
    found = list(records(DailyFeed("csv", rows, "d", symbols=(), start=None)))
    assert found[3] == Split(
        symbol="A", ratio=2.0, effective="2024-07-02", epoch="e", seq=4, time="2024-07-02T04:00:00.000000Z",
        source="replay",
    )  # fmt: skip
    assert sequence.split_found(found[3]) in list(DailyFeed("csv", rows, "d", symbols=(), start=None).items())


def test_rows_before_the_start_are_history_and_have_no_record() -> None:
    feed = daily_feed(start=FIRST + timedelta(days=2))
    bars, _ = sequence.history(feed.items(), Gate(), started=feed.started, aggregate=False)
    assert [(bar.symbol, bar.date) for bar in bars] == [
        ("A", "2024-07-01"), ("B", "2024-07-01"), ("A", "2024-07-02"), ("B", "2024-07-02"),
    ]  # fmt: skip
    assert next(records(feed)).time == instants.text(instants.open_of(FIRST + timedelta(days=2)))


def test_bars_of_ticks_come_before_the_tick_that_ended_them() -> None:
    assert tell(tick_feed([0, 1, 61, 62], symbols=("A",))) == [
        ("Tick", "A", 1), ("Tick", "A", 2), ("Bar", "A", 3), ("Tick", "A", 4), ("Tick", "A", 5),
        ("Bar", "A", 6), ("Bar", "A", 7),
    ]  # fmt: skip


def test_a_bar_under_way_at_the_start_knows_its_ticks_of_before() -> None:
    feed = tick_feed([0, 30, 59, 90], Share(0.5), symbols=("A",))
    bar = next(record for record in records(feed) if isinstance(record, Bar))
    assert (bar.start, bar.volume) == (instants.text(instants.open_of(FIRST)), 3.0)


def test_what_the_gate_refuses_has_no_number() -> None:
    quotes = [Quote("A", 1.0, 1), Quote("A", -1.0, 2), Quote("A", 1.0, 3)]
    gate = Gate()
    made = sequence.records(quotes, Numbering("e", "s"), gate, started=0, aggregate=False)
    assert [record.seq for record in made] == [1, 2]
    assert gate.refused.total() == 1


def test_a_trade_id_travels() -> None:
    made = sequence.records([Quote("A", 1.0, 1, None, "77")], Numbering("e", "s"), Gate(), started=0, aggregate=False)
    assert [record.trade_id for record in made if isinstance(record, Tick)] == ["77"]


def test_a_stored_bar_is_the_bar_that_was_told() -> None:
    feed = daily_feed()
    told = [sequence.final_bar(record) for record in records(feed) if isinstance(record, Bar)]
    assert told == [item for item in feed.items() if not isinstance(item, Quote)]


FEEDS: st.SearchStrategy[ReplayFeed] = st.one_of(
    st.builds(
        daily_feed,
        st.sampled_from([("A",), ("A", "B"), ("C", "A", "B")]),
        st.integers(1, 6),
        st.none() | st.floats(0, 1).map(Share),
    ),
    st.builds(
        tick_feed,
        st.lists(st.integers(0, 400).map(float), min_size=1, max_size=40),
        st.none() | st.floats(0, 1).map(Share),
    ),
)


@given(FEEDS)
@settings(deadline=None, max_examples=50)
def test_the_same_feed_gives_the_same_records(feed: ReplayFeed) -> None:
    assert list(records(feed)) == list(records(feed))


@given(FEEDS)
@settings(deadline=None, max_examples=50)
def test_records_are_numbered_without_holes_in_order_of_time(feed: ReplayFeed) -> None:
    made = list(records(feed))
    for symbol in feed.sectors:
        own = [record.seq for record in made if record.symbol == symbol]
        assert own == list(range(1, len(own) + 1))
    assert [record.time for record in made] == sorted(record.time for record in made)


@given(FEEDS)
@settings(deadline=None, max_examples=50)
def test_history_and_records_share_all_bars_between_them(feed: ReplayFeed) -> None:
    whole = tick_feed_from_start(feed) if isinstance(feed, TickFeed) else None
    bars, _ = sequence.history(feed.items(), Gate(), started=feed.started, aggregate=feed.aggregate)
    told = [sequence.final_bar(record) for record in records(feed) if isinstance(record, Bar)]
    assert all(bar.end <= feed.started for bar in bars)
    assert all(bar.end > feed.started for bar in told)
    if whole is None:
        assert bars + told == [item for item in feed.items() if not isinstance(item, Quote)]
    else:
        assert bars + told == whole


def tick_feed_from_start(feed: TickFeed) -> list[object]:
    """All bars of the file, as a replay of all of it tells them."""
    made = sequence.records(feed.items(), Numbering("e", "s"), Gate(), started=instants.EARLIEST, aggregate=True)
    return [sequence.final_bar(record) for record in made if isinstance(record, Bar)]


@given(FEEDS, st.data())
@settings(deadline=None, max_examples=60)
def test_for_any_cut_the_rest_is_exactly_what_is_missing(feed: ReplayFeed, data: st.DataObject) -> None:
    made = list(records(feed))
    cut = data.draw(st.integers(0, len(made)))
    playback, seen = Playback(records(feed)), list[Record]()
    playback.skip(cut, seen.append)
    assert (seen, playback.taken) == (made[:cut], cut)
    assert playback.take(len(made), len(made)) == made[cut:]
    assert playback.ended


@given(FEEDS, st.data())
@settings(deadline=None, max_examples=60)
def test_readers_that_stopped_anywhere_get_all_they_miss(feed: ReplayFeed, data: st.DataObject) -> None:
    """Each reader has worked through some records of each symbol; partitions make them stop at different points."""
    made = list(records(feed))
    last = {symbol: sum(record.symbol == symbol for record in made) for symbol in feed.sectors}
    readers = [
        {symbol: data.draw(st.integers(0, count)) for symbol, count in last.items()}
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    playback, seen = Playback(records(feed)), list[Record]()
    playback.skip_worked(readers, seen.append)
    rest = playback.take(len(made), len(made))

    assert seen + rest == made
    assert all(reader[record.symbol] >= record.seq for reader in readers for record in seen)
    assert not rest or any(reader[rest[0].symbol] < rest[0].seq for reader in readers)


def test_a_reader_that_has_seen_nothing_gets_everything() -> None:
    playback = Playback(records(daily_feed()))
    playback.skip_worked([{}, {"A": 99, "B": 99}], lambda _: pytest.fail("nothing may be left out"))
    assert playback.taken == 0


@given(FEEDS, st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=40, max_size=40))
@settings(deadline=None, max_examples=50)
def test_takes_add_up_and_keep_to_their_limits(feed: ReplayFeed, takes: list[tuple[int, int]]) -> None:
    made, playback, out = list(records(feed)), Playback(records(feed)), list[Record]()
    for ticks, most in takes:
        batch = playback.take(ticks, most)
        assert sum(isinstance(record, Tick) for record in batch) <= ticks
        assert len(batch) <= most
        assert batch or playback.ended
        out += batch
    assert out == list(islice(made, len(out)))
    assert playback.ended == (len(out) == len(made))


def test_bars_go_with_the_tick_before_them() -> None:
    playback = Playback(records(daily_feed(days=2)))
    assert [type(record).__name__ for record in playback.take(4, 100)] == ["Tick"] * 4 + ["Bar"] * 2
