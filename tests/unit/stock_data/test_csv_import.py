import csv
import io
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.stock_data.core import instants
from services.stock_data.core.csv_import import CsvFile, DayRow
from services.stock_data.core.csv_report import Counts, Issue, Report
from services.stock_data.core.ticks import Quote

HEADER = "ticker,sector,date,close,open,low,high,volume\n"
GOOD = "AAPL,Technology,2023-01-02,182.65,181.50,180.70,183.25,35678900\n"
ROW = DayRow("AAPL", "Technology", date(2023, 1, 2), 181.5, 183.25, 180.7, 182.65, 35678900.0)


def read(text: str, report: Report | None = None) -> tuple[list[DayRow], Report]:
    file = CsvFile(io.StringIO(text, newline=""), report)
    return list(file.days()), file.report


def test_columns_are_read_by_name() -> None:
    rows, report = read(HEADER + GOOD)
    assert rows == [ROW]
    assert report.tickers == {"AAPL": Counts(accepted=1)}
    assert report.issues == []


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + GOOD,
        (HEADER + GOOD).replace("\n", "\r\n"),
        (HEADER + GOOD).replace("\n", "\r"),
        HEADER.upper() + GOOD,
        " Ticker , Sector,Date ,Close,Open,Low,High,Volume\n" + GOOD,
        HEADER + "\n , ,\n" + GOOD + "\n\n",
        "\n" + HEADER + GOOD.strip(),
        HEADER + GOOD.replace("AAPL", " aapl "),
        HEADER + GOOD.replace("35678900", " 35678900 "),
        HEADER + GOOD.strip() + ",,\n",
        "volume,high,low,open,close,date,sector,ticker,note\n"
        "35678900,183.25,180.70,181.50,182.65,2023-01-02,Technology,AAPL,whatever\n",
    ],
    ids=["bom", "crlf", "cr", "upper", "blanks", "blank lines", "lead", "lower", "spaces", "trailing", "order"],
)
def test_forms_that_mean_the_same(text: str) -> None:
    rows, report = read(text)
    assert rows == [ROW]
    assert report.rejected == 0


@pytest.mark.parametrize(
    ("change", "repaired"),
    [
        (("35678900", '"35,678,900"'), "volume had thousands separators"),
        (("Technology", "=Technology"), "sector began like a formula"),
        (("Technology", "@+-Technology"), "sector began like a formula"),
    ],
)
def test_repaired(change: tuple[str, str], repaired: str) -> None:
    rows, report = read(HEADER + GOOD.replace(*change))
    assert rows == [ROW]
    assert report.tickers == {"AAPL": Counts(accepted=1, repaired=1)}
    assert report.issues == [Issue(2, "AAPL", "repaired", repaired)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("182.65", "0"), "a price is not above 0"),
        (("182.65", "-3"), "a price is not above 0"),
        (("182.65", "1e12"), "a price is not below 1,000,000,000"),
        (("182.65", ""), "close is missing"),
        (("182.65", "abc"), "close is not a number"),
        (("182.65", "nan"), "close is not a number"),
        (("182.65", "inf"), "close is not a number"),
        (("182.65", "1_8"), "close is not a number"),
        (("182.65", "١٨٢"), "close is not a number"),
        (("182.65", '"18,2.65"'), "close is not a number"),
        (("182.65", "184"), "open or close is outside low to high"),
        (("181.50", "180"), "open or close is outside low to high"),
        (("183.25", "180"), "high is below low"),
        (("35678900", "-1"), "volume is below 0"),
        (("2023-01-02", "2023-02-30"), "impossible date (dates are YYYY-MM-DD)"),
        (("2023-01-02", "01/02/2023"), "impossible date (dates are YYYY-MM-DD)"),
        (("2023-01-02", ""), "date is missing"),
        (("Technology", ""), "sector is missing"),
        (("Technology", "=-"), "sector is missing"),
        ((",35678900", ""), "a cell is missing"),
        (("35678900", "35,678,900"), "more cells than the header has"),
    ],
)
def test_rejected(change: tuple[str, str], reason: str) -> None:
    rows, report = read(HEADER + GOOD.replace(*change) + GOOD.replace("2023-01-02", "2023-01-03"))
    assert [row.date for row in rows] == [date(2023, 1, 3)]
    assert report.tickers == {"AAPL": Counts(accepted=1, rejected=1)}
    assert report.issues == [Issue(2, "AAPL", "rejected", reason)]


@pytest.mark.parametrize("ticker", ["=AAPL", "+AAPL", "-AAPL", "@AAPL", "A PL", "A" * 16, "ÄPFEL"])
def test_an_impossible_ticker_has_no_name_in_the_report(ticker: str) -> None:
    rows, report = read(HEADER + GOOD.replace("AAPL", ticker))
    assert rows == []
    assert report.issues == [Issue(2, None, "rejected", "impossible ticker")]
    assert (report.unnamed, report.rejected, report.accepted) == (1, 1, 0)


def test_a_missing_ticker() -> None:
    assert read(HEADER + GOOD.replace("AAPL", ""))[1].issues == [Issue(2, None, "rejected", "the ticker is missing")]


def test_the_first_usable_row_of_a_day_counts() -> None:
    bad, again = GOOD.replace("182.65", "0"), GOOD.replace("35678900", "1")
    rows, report = read(HEADER + bad + GOOD + again)
    assert rows == [ROW]
    assert [(issue.line, issue.reason) for issue in report.issues] == [
        (2, "a price is not above 0"),
        (4, "2023-01-02 was there before"),
    ]


def test_lines_are_those_of_the_file() -> None:
    multi = GOOD.replace("Technology", '"Tech\nnology"')
    _, report = read(HEADER + "\n" + multi + GOOD.replace("2023-01-02", "soon"))
    assert [issue.line for issue in report.issues] == [5]


def test_weekends_and_unsorted_dates_are_taken_as_they_are() -> None:
    rows, _ = read(HEADER + GOOD + GOOD.replace("2023-01-02", "2023-01-01"))
    assert [row.date.day for row in rows] == [2, 1]


def test_an_adjusted_close_and_no_sector() -> None:
    text = "Ticker,Date,Open,High,Low,Close,Volume,Adj Close\nAAPL,2000-03-01,118.56,132.06,118.5,130.31,9616100,4.18\n"
    rows, _ = read(text)
    assert (rows[0].sector, rows[0].adj_close) == ("", 4.18)
    assert read(text.replace("4.18", "0"))[1].issues[0].reason == "adj_close is not above 0"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "ticker, date, open"),
        ("date,open,high,low,close,volume\n", "column ticker"),
        ("a,b\n1,2\n", "ticker, date"),
    ],
)
def test_another_header_is_refused(text: str, missing: str) -> None:
    with pytest.raises(InvalidInput, match=missing):
        read(text)


def test_a_quote_that_never_ends_is_no_csv() -> None:
    with pytest.raises(InvalidInput, match="line 2 is not CSV"):
        read(HEADER + 'AAPL,"' + ("x" * 100 + "\n") * 2000)


def test_long_lists_of_issues_are_cut() -> None:
    _, report = read(HEADER + GOOD.replace("182.65", "0") * 5, Report(most_issues=2))
    assert (len(report.issues), report.unlisted, report.rejected) == (2, 3, 5)


def ticks(text: str) -> tuple[list[Quote], Report]:
    file = CsvFile(io.StringIO(text, newline=""))
    assert file.shape == "ticks"
    return list(file.ticks()), file.report


def test_ticks() -> None:
    time = instants.parse("2014-09-17T13:30:00.531656Z")
    quotes, report = ticks(
        "timestamp,symbol,price,size,open\n"
        "2014-09-17T13:30:00.531656123Z,etf,23.82,3,1\n"
        "2014-09-17T13:30:00.531656Z,ETF,23.83,,\n"
        "nonsense,ETF,23.83,1,\n"
        "2014-09-17T13:30:01Z,ETF,,1,\n"
        "2014-09-17T13:30:01Z,ETF,1,many,\n"
        "2014-09-17T13:30:01Z,?,1,1,\n"
    )
    assert quotes == [Quote("ETF", 23.82, time, 3.0), Quote("ETF", 23.83, time, None)]
    assert [(issue.line, issue.ticker, issue.reason) for issue in report.issues] == [
        (4, "ETF", "unreadable timestamp"),
        (5, "ETF", "price is missing"),
        (6, "ETF", "size is not a number"),
        (7, None, "impossible ticker"),
    ]


def test_ticks_need_no_size() -> None:
    quotes, _ = ticks("price,symbol,timestamp\n1.5,A,2024-01-02T15:00:00Z\n")
    assert quotes == [Quote("A", 1.5, instants.parse("2024-01-02T15:00:00Z"), None)]


@given(st.text(max_size=300))
@settings(deadline=None, max_examples=120)
def test_any_text_is_read_or_refused(text: str) -> None:
    for header in ("", HEADER, "timestamp,symbol,price\n"):
        try:
            file = CsvFile(io.StringIO(header + text, newline=""))
            used = list(file.ticks() if file.shape == "ticks" else file.days())
        except InvalidInput:
            continue
        assert file.report.accepted == len(used)


CELLS = st.sampled_from(["AAPL", "=X", "", "2023-01-02", "5", "-5", "7.5", "1,000", "nan", "Tech", "2023-01-03"])


@given(st.lists(st.lists(CELLS, min_size=6, max_size=9), max_size=20))
@settings(deadline=None, max_examples=120)
def test_every_row_is_used_or_named_and_used_rows_are_sound(table: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    rows, report = read(HEADER + text.getvalue())
    blank = sum(not any(row) for row in table)
    assert report.accepted == len(rows)
    assert report.accepted + report.rejected == len(table) - blank
    assert all(0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high for row in rows)
    assert len({(row.ticker, row.date) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("SPY,01/03/2017,212.61,213.35,211.52,212.8,96708880", "impossible date (dates are YYYY-MM-DD)"),
        ("SPY,1/3/2017,212.61,213.35,211.52,212.8,96708880", "impossible date (dates are YYYY-MM-DD)"),
        ("SPY,2017-01-03,0.00,0.00,0.00,0.00,0.00", "a price is not above 0"),
        ("SPY,2017-01-03,212.61,,211.52,212.8,96708880", "high is missing"),
        ("SPY,2017-01-03,212.61,NaN,211.52,212.8,96708880", "high is not a number"),
        ("SPY,2017-01-03,212.61,213.35,211.52,212.8", "a cell is missing"),
    ],
)
def test_rows_of_files_that_people_have(row: str, reason: str) -> None:
    """American dates can't be told from European ones; days of zeros are no prices."""
    rows, report = read(f"Ticker,Date,Open,High,Low,Close,Volume\n{row}\n")
    assert rows == []
    assert [issue.reason for issue in report.issues] == [reason]
