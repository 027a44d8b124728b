"""All rules of one partition: records go to the rules of their symbol."""

from collections.abc import Iterable, Mapping

from services.shared.events import Correction, Record, Split, Tick
from services.users.core.journal import Journal, Watch
from services.users.core.symbol_alerts import SymbolAlerts


class Alerts:
    """The engine. It remembers the side of every symbol it has seen, also without rules: somebody may make one."""

    def __init__(self, stored: Mapping[str, bytes] | None = None) -> None:
        """stored: by symbol, what `state` returned."""
        self.journal = Journal()
        self._symbols = {symbol: SymbolAlerts(symbol, self.journal, state) for symbol, state in (stored or {}).items()}

    def __len__(self) -> int:
        return sum(len(each) for each in self._symbols.values())

    def add(self, watches: Iterable[Watch]) -> None:
        """From the next record on these rules count."""
        by_symbol: dict[str, list[Watch]] = {}
        for watch in watches:
            by_symbol.setdefault(watch.rule.symbol, []).append(watch)
        for symbol, group in by_symbol.items():
            self._of(symbol).add(group)

    def remove(self, symbol: str, rule_id: str) -> None:
        """From the next record on this rule does not count."""
        if (rules := self._symbols.get(symbol)) is not None:
            rules.remove(rule_id)

    def price(self, symbol: str) -> float | None:
        """The price that the next one of `symbol` is compared with."""
        rules = self._symbols.get(symbol)
        return None if rules is None else rules.price

    def apply(self, record: Record, *, new_epoch: bool) -> None:
        """One record, in the order of its symbol. new_epoch: it is the symbol's first of its epoch."""
        rules = self._of(record.symbol)
        if new_epoch:
            rules.begin_epoch(record)
        if isinstance(record, Tick):
            rules.tick(record)
        elif isinstance(record, Split):
            rules.split(record)
        elif isinstance(record, Correction):
            rules.correct(record)

    def state(self, symbol: str) -> bytes:
        """What to hand to a later Alerts, so that it goes on as if nothing had happened."""
        return self._symbols[symbol].state()

    def _of(self, symbol: str) -> SymbolAlerts:
        rules = self._symbols.get(symbol)
        if rules is None:
            rules = self._symbols[symbol] = SymbolAlerts(symbol, self.journal)
        return rules
