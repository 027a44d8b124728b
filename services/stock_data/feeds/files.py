"""Files of a feed: opened, unpacked, and every way in which that fails turned into one line that names the file."""

import gzip
import hashlib
import io
import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from services.shared.errors import InvalidInput, StartFailed
from services.stock_data.core.csv_import import CsvFile
from services.stock_data.core.csv_report import Report

_GZIP: Final = b"\x1f\x8b"
T = TypeVar("T")
_log = logging.getLogger("tickroom.stock_data")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises StartFailed for whatever is wrong with the file inside."""
    try:
        yield
    except UnicodeDecodeError:
        raise StartFailed(f"FEED: {path} is not UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise StartFailed(f"FEED: {path} is not a whole gzip file") from None
    except OSError as error:
        raise StartFailed(f"FEED: {path} can't be read: {error.strerror or error}") from None
    except InvalidInput as error:
        raise StartFailed(f"FEED: {path}: {error.detail}") from None


def digest(path: Path) -> str:
    """SHA-256 of the file as it is stored."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_csv(path: Path) -> Iterator[CsvFile]:
    """The CSV file at `path`, packed by gzip or not."""
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        binary = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 18) if packed else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield CsvFile(text, Report(most_issues=20))


def told(path: Path, rows: Iterable[T], report: Report) -> Iterator[T]:
    """The rows, and behind them one line in the log about what was read. Raises StartFailed where none can be used."""
    yield from rows
    first = next((issue for issue in report.issues if issue.action == "rejected"), None)
    example = "" if first is None else f" (line {first.line}: {first.reason})"
    if not report.accepted:
        raise StartFailed(f"FEED: {path} has no usable row{example}")
    repaired = sum(counts.repaired for counts in report.tickers.values())
    level = logging.WARNING if report.rejected else logging.INFO
    _log.log(
        level,
        "%s: %d rows of %d symbols, %d repaired, %d rejected%s",
        path.name,
        report.accepted,
        sum(counts.accepted > 0 for counts in report.tickers.values()),
        repaired,
        report.rejected,
        example,
    )
