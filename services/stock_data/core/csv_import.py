"""CSV as people have it, read by header name: daily bars (`ticker,sector,date,close,open,low,high,volume`) and ticks
(`timestamp,symbol,price,size`). Every row is used, repaired or rejected, and the report says which and why.

Daily rows also take `symbol` for `ticker` and an optional `adj_close` (`Adj Close`); `sector` may be left out. Other
columns are ignored. What a tick's numbers may be is decided in ticks.py; here only whether they can be read.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from math import isfinite
from typing import Final, Literal

import msgspec

from services.shared import symbols
from services.shared.errors import InvalidInput
from services.stock_data.core import instants
from services.stock_data.core.csv_report import Report
from services.stock_data.core.ticks import MAX_PRICE, Quote

Shape = Literal["daily", "ticks"]

_TICK_COLUMNS: Final = ("timestamp", "symbol", "price")
_DAILY_COLUMNS: Final = ("ticker", "date", "open", "high", "low", "close", "volume")
_FORMULA: Final = "=+-@"
"""What makes a spreadsheet take a text for a formula."""


class DayRow(msgspec.Struct, frozen=True, gc=False):
    """One usable daily row, prices as written. adj_close: None where the file has none."""

    ticker: str
    sector: str
    date: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    adj_close: float | None = None


class _Rejected(Exception):
    """Why this row can't be used."""


class CsvFile:
    """A file's lines, its shape known from the header. Read `days` or `ticks` once; `report` is complete after it."""

    def __init__(self, lines: Iterable[str], report: Report | None = None) -> None:
        """Raises InvalidInput where there is no header of either shape."""
        self.report = report or Report()
        self._reader = csv.reader(lines)
        self._names: dict[str, str | None] = {}
        self._columns = self._header()
        self.shape = _shape(self._columns)

    def days(self) -> Iterator[DayRow]:
        """The usable daily rows in the order of the file. Raises InvalidInput where the file stops being CSV."""
        seen: dict[str, set[date]] = {}
        read = _day_reader(self._columns)
        for line, row in self._rows():
            ticker: str | None = None
            repairs: list[str] = []
            try:
                ticker = self._ticker(self._cell(row, "ticker"))
                self._check_length(row)
                day = read(row, ticker, repairs)
                if day.date in (dates := seen.setdefault(ticker, set())):
                    raise _Rejected(f"{day.date} was there before")
                dates.add(day.date)
            except _Rejected as rejected:
                self.report.reject(line, ticker, str(rejected))
                continue
            self.report.accept(line, ticker, repairs)
            yield day

    def ticks(self) -> Iterator[Quote]:
        """The readable ticks in the order of the file. Raises InvalidInput where the file stops being CSV."""
        columns = self._columns
        at_time, at_price, at_size = columns["timestamp"], columns["price"], columns.get("size")
        for line, row in self._rows():
            symbol: str | None = None
            try:
                symbol = self._ticker(self._cell(row, "symbol"))
                self._check_length(row)
                size = "" if at_size is None else row[at_size].strip()
                quote = Quote(
                    symbol,
                    _number(row[at_price], "price"),
                    _instant(row[at_time].strip()),
                    _number(size, "size") if size else None,
                )
            except _Rejected as rejected:
                self.report.reject(line, symbol, str(rejected))
                continue
            self.report.accept(line, symbol, ())
            yield quote

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, each with the line it begins at."""
        reader = self._reader
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InvalidInput(f"line {line} is not CSV: {error}", code="bad_csv") from None
            if any(row) and any(cell.strip() for cell in row):
                yield line, row

    def _header(self) -> dict[str, int]:
        _, names = next(self._rows(), (0, []))
        columns: dict[str, int] = {}
        for number, name in enumerate(names):
            columns.setdefault(name.strip().lstrip("\ufeff").strip('"').lower().replace(" ", "_"), number)
        self._width = len(names)
        return columns

    def _check_length(self, row: list[str]) -> None:
        if len(row) < self._width:
            raise _Rejected("a cell is missing")
        if len(row) > self._width and any(cell.strip() for cell in row[self._width :]):
            raise _Rejected("more cells than the header has")

    def _cell(self, row: list[str], column: str) -> str:
        number = self._columns[column]
        return row[number] if number < len(row) else ""

    def _ticker(self, cell: str) -> str:
        if cell not in self._names:
            self._names[cell] = _ticker_or_none(cell)
        name = self._names[cell]
        if name is None:
            raise _Rejected("the ticker is missing" if not cell.strip() else "impossible ticker")
        return name


def _shape(columns: dict[str, int]) -> Shape:
    if all(column in columns for column in _TICK_COLUMNS):
        return "ticks"
    if "ticker" not in columns and "symbol" in columns:
        columns["ticker"] = columns["symbol"]
    missing = [column for column in _DAILY_COLUMNS if column not in columns]
    if missing:
        raise InvalidInput(
            f"the header has no column {', '.join(missing)}: daily bars need"
            " ticker,sector,date,close,open,low,high,volume and ticks need timestamp,symbol,price,size",
            code="bad_csv",
        )
    return "daily"


def _day_reader(columns: dict[str, int]) -> Callable[[list[str], str, list[str]], DayRow]:
    """A function that makes a DayRow of cells, notes repairs, and raises _Rejected."""
    at_date, at_volume, at_sector = columns["date"], columns["volume"], columns.get("sector")
    at_adjusted = columns.get("adj_close")
    at_prices = [(name, columns[name]) for name in ("open", "high", "low", "close")]
    dates: dict[str, date] = {}

    def read(row: list[str], ticker: str, repairs: list[str]) -> DayRow:
        sector = "" if at_sector is None else _text(row[at_sector], "sector", repairs)
        written = row[at_date].strip()
        if (day := dates.get(written)) is None:
            day = dates[written] = _date(written)
        open_, high, low, close = (_number(row[number], name, repairs) for name, number in at_prices)
        volume = _number(row[at_volume], "volume", repairs)
        adjusted = None if at_adjusted is None else _number(row[at_adjusted], "adj_close", repairs)
        _check_prices(open_, high, low, close)
        if volume < 0:
            raise _Rejected("volume is below 0")
        if adjusted is not None and adjusted <= 0:
            raise _Rejected("adj_close is not above 0")
        return DayRow(ticker, sector, day, open_, high, low, close, volume, adjusted)

    return read


def _check_prices(open_: float, high: float, low: float, close: float) -> None:
    if min(open_, high, low, close) <= 0:
        raise _Rejected("a price is not above 0")
    if max(open_, high, low, close) >= MAX_PRICE:
        raise _Rejected(f"a price is not below {MAX_PRICE:,.0f}")
    if high < low:
        raise _Rejected("high is below low")
    if not (low <= open_ <= high and low <= close <= high):
        raise _Rejected("open or close is outside low to high")


def _ticker_or_none(cell: str) -> str | None:
    try:
        return symbols.normalise(cell)
    except InvalidInput:
        return None


def _text(cell: str, column: str, repairs: list[str]) -> str:
    text = cell.strip()
    if text[:1] and text[0] in _FORMULA:
        text = text.lstrip(_FORMULA + " \t")
        repairs.append(f"{column} began like a formula")
    if not text:
        raise _Rejected(f"{column} is missing")
    return text


def _number(cell: str, column: str, repairs: list[str] | None = None) -> float:
    """A finite number. Thousands separators are removed where repairs are allowed."""
    cell = cell.strip()
    if not cell:
        raise _Rejected(f"{column} is missing")
    if "," in cell and repairs is not None and _has_thousands(cell):
        cell = cell.replace(",", "")
        repairs.append(f"{column} had thousands separators")
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    # float() also takes 1_000 and digits of other scripts
    if not isfinite(number) or "_" in cell or not cell.isascii():
        raise _Rejected(f"{column} is not a number")
    return number


def _has_thousands(cell: str) -> bool:
    first, *groups = cell.lstrip("+-").split(".")[0].split(",")
    return 1 <= len(first) <= 3 and all(len(group) == 3 for group in groups)


def _date(written: str) -> date:
    if not written:
        raise _Rejected("date is missing")
    try:
        return instants.parse_date(written)
    except ValueError:
        raise _Rejected("impossible date (dates are YYYY-MM-DD)") from None


def _instant(written: str) -> int:
    try:
        return instants.parse(written)
    except ValueError:
        raise _Rejected("unreadable timestamp" if written else "timestamp is missing") from None
