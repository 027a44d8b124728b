"""All rules of one partition: records go to the rules of their symbol."""

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from services.shared.events import Bar, Correction, Record, Signal, Split, Tick
from services.users.core.bars import Past
from services.users.core.hours import Hours
from services.users.core.journal import Journal, Watch
from services.users.core.moment import Timeframe
from services.users.core.symbol_alerts import SymbolAlerts


class Alerts:
    """The engine. It remembers the side of every symbol it has seen, also without rules: somebody may make one."""

    def __init__(self, stored: Mapping[str, bytes] | None = None, bar: Timeframe = "1d") -> None:
        """stored: by symbol, what `state` returned. bar: whose volumes are compared, and what once_per_bar means."""
        self.journal = Journal()
        self._bar: Timeframe = bar
        self._hours = Hours()
        self._symbols = {symbol: self._made(symbol, state) for symbol, state in (stored or {}).items()}
        self._clock = max((each.time for each in self._symbols.values()), default="")
        self._silences: list[tuple[str, str]] = []
        self._asleep: set[str] = set()

    def __len__(self) -> int:
        return sum(len(each) for each in self._symbols.values())

    def add(self, watches: Iterable[Watch]) -> None:
        """From the next record on these rules count. One that is there in the same version keeps its state."""
        self._add(watches, known=True)

    def load(self, watches: Iterable[Watch]) -> None:
        """Like `add`, of rules none of which is there: much faster."""
        self._add(watches, known=False)

    def remove(self, symbol: str, rule_id: str) -> None:
        """From the next record on this rule does not count."""
        if (rules := self._symbols.get(symbol)) is not None:
            rules.remove(rule_id)

    def price(self, symbol: str) -> float | None:
        """The price that the next one of `symbol` is compared with."""
        rules = self._symbols.get(symbol)
        return None if rules is None else rules.price

    def known_before(self, symbol: str) -> str:
        """Bars that were final before that instant have been seen, later ones are yet to come; empty at the start."""
        rules = self._symbols.get(symbol)
        return "" if rules is None else rules.time

    def looks_back(self, symbol: str) -> tuple[int, int]:
        """How many completed days, and how many final bars beside them, the rules of `symbol` are to be given."""
        rules = self._symbols.get(symbol)
        return (0, 0) if rules is None else (rules.days, rules.volumes)

    def give(self, symbol: str, days: Iterable[Past], bars: Iterable[Past]) -> None:
        """What `looks_back` asks for, of today's shares, up to the symbol's last record or later."""
        self._of(symbol).give(days, bars)

    def apply(self, record: Record | Signal, *, new_epoch: bool) -> None:
        """One record, in the order of its symbol. new_epoch: it is the symbol's first of its epoch."""
        symbol = record.symbol
        rules = self._of(symbol)
        if new_epoch:
            if record.time < rules.time:
                self._clock = min(self._clock, record.time)
            rules.begin_epoch(record)
        if self._silences and record.time > self._clock:
            self.pass_time(record.time)
        if isinstance(record, Tick):
            rules.tick(record)
        elif isinstance(record, Bar):
            rules.bar(record)
        elif isinstance(record, Split):
            rules.split(record)
        elif isinstance(record, Correction):
            rules.correct(record)
        else:
            rules.signal(record)
        if symbol in self._asleep:
            self._listen(symbol)

    def is_silent(self, clock: str) -> bool:
        """Has `pass_time` something to do?"""
        return bool(self._silences) and self._silences[0][0] < clock

    def pass_time(self, clock: str) -> None:
        """It is `clock` by the feed: symbols without a tick for too long are told of."""
        self._clock = max(self._clock, clock)
        while self._silences and self._silences[0][0] < clock:
            _, symbol = heappop(self._silences)
            self._symbols[symbol].silent(clock)
            self._asleep.add(symbol)
            self._listen(symbol)

    def state(self, symbol: str) -> bytes:
        """What to hand to a later Alerts, so that it goes on as if nothing had happened."""
        return self._symbols[symbol].state()

    def _add(self, watches: Iterable[Watch], *, known: bool) -> None:
        by_symbol: dict[str, list[Watch]] = {}
        for watch in watches:
            by_symbol.setdefault(watch.rule.symbol, []).append(watch)
        for symbol, group in by_symbol.items():
            rules = self._of(symbol)
            rules.add(group, known=known)
            if rules.listens:
                self._asleep.add(symbol)
                self._listen(symbol)

    def _listen(self, symbol: str) -> None:
        """Puts down when the symbol will have been silent for long enough; until then ticks only put that off."""
        due = self._symbols[symbol].next_silence()
        if due is not None:
            heappush(self._silences, (due, symbol))
            self._asleep.discard(symbol)

    def _of(self, symbol: str) -> SymbolAlerts:
        rules = self._symbols.get(symbol)
        if rules is None:
            rules = self._symbols[symbol] = self._made(symbol)
        return rules

    def _made(self, symbol: str, stored: bytes = b"") -> SymbolAlerts:
        return SymbolAlerts(symbol, self.journal, self._hours, self._bar, stored)
