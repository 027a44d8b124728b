"""Files on disk: the bundled bars, and FEED=csv:PATH."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from services.shared.errors import StartFailed
from services.stock_data.core import instants
from services.stock_data.feeds import replay
from services.stock_data.feeds.base import ReplayFeed
from services.stock_data.feeds.catalogue import open_feed
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.tick_file import TickFeed

DAILY = "ticker,sector,date,close,open,low,high,volume\nAAPL,Tech,2024-07-02,11,10,9,12,100\n"
TICKS = "timestamp,symbol,price,size\n2024-07-02T14:00:00Z,AAPL,10.5,3\n"


def opened(path: Path) -> ReplayFeed:
    return open_feed(f"csv:{path}", symbols=(), start=None)


def test_the_shape_is_told_by_the_header(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(DAILY)
    (tmp_path / "b").write_text(TICKS)
    assert isinstance(opened(tmp_path / "a"), DailyFeed)
    assert isinstance(opened(tmp_path / "b"), TickFeed)


@pytest.mark.parametrize("content", [DAILY, TICKS])
def test_packed_files_and_byte_order_marks_make_no_difference(tmp_path: Path, content: str) -> None:
    plain, packed, marked = tmp_path / "plain.csv", tmp_path / "any name", tmp_path / "marked.csv"
    plain.write_text(content)
    packed.write_bytes(gzip.compress(content.encode()))
    marked.write_text(content, "utf-8-sig")
    assert list(opened(plain).items()) == list(opened(packed).items()) == list(opened(marked).items())


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", r"the header has no column ticker"),
        (DAILY.encode()[:46], r"has no usable row$"),
        (DAILY.replace(",11,", ",0,").encode(), r"has no usable row \(line 2: a price is not above 0\)"),
        (DAILY.encode("utf-16"), r"is not UTF-8"),
        (b"\x1f\x8b\x08" + b"x" * 50, r"is not a whole gzip file"),
        (gzip.compress(DAILY.encode(), mtime=0)[:-12], r"is not a whole gzip file"),
        (TICKS.encode()[:28], r"has no usable row$"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(StartFailed, match=rf"^FEED: .*bad\.csv.*{line}") as failed:
        opened(path)
    assert "\n" not in failed.value.detail


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"^FEED: .*nowhere can't be read: No such file or directory$"):
        opened(tmp_path / "nowhere")
    with pytest.raises(StartFailed, match="Is a directory"):
        opened(tmp_path)


def test_the_bundled_bars() -> None:
    feed = open_feed("replay", symbols=(), start=None)
    assert sorted(feed.sectors) == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert feed.started == instants.midnight(date(2012, 6, 1))
    assert feed.name == "replay"


def test_the_bundled_bars_from_elsewhere() -> None:
    feed = open_feed("replay", symbols=("Apple",), start=date(2010, 1, 4))
    assert (feed.started, list(feed.sectors)) == (instants.midnight(date(2010, 1, 4)), ["AAPL"])


def test_without_the_package_the_start_fails_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "find_spec", lambda name: None)
    with pytest.raises(StartFailed, match="bokeh_sampledata"):
        open_feed("replay", symbols=(), start=None)
