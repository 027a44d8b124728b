"""What became of each row of a CSV file: used, repaired or rejected, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Issue:
    """line: of the file, the header is line 1; ticker: None where it can't be read."""

    line: int
    ticker: str | None
    action: Literal["repaired", "rejected"]
    reason: str


@dataclass(slots=True)
class Counts:
    """Rows of one ticker. accepted: all usable ones, `repaired` among them."""

    accepted: int = 0
    repaired: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Report:
    """What became of each row. issues: the first `most_issues`; unlisted: how many more there were."""

    most_issues: int = 10_000
    tickers: dict[str, Counts] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    unlisted: int = 0
    unnamed: int = 0
    """Rejected rows whose ticker can't be read."""

    @property
    def accepted(self) -> int:
        return sum(counts.accepted for counts in self.tickers.values())

    @property
    def rejected(self) -> int:
        return self.unnamed + sum(counts.rejected for counts in self.tickers.values())

    def accept(self, line: int, ticker: str, repairs: Sequence[str]) -> None:
        counts = self._counts(ticker)
        counts.accepted += 1
        if repairs:
            counts.repaired += 1
            self._list(Issue(line, ticker, "repaired", "; ".join(repairs)))

    def reject(self, line: int, ticker: str | None, reason: str) -> None:
        if ticker is None:
            self.unnamed += 1
        else:
            self._counts(ticker).rejected += 1
        self._list(Issue(line, ticker, "rejected", reason))

    def _counts(self, ticker: str) -> Counts:
        if (counts := self.tickers.get(ticker)) is None:
            counts = self.tickers[ticker] = Counts()
        return counts

    def _list(self, issue: Issue) -> None:
        if len(self.issues) < self.most_issues:
            self.issues.append(issue)
        else:
            self.unlisted += 1
