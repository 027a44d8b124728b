"""The last price and prediction of every symbol, and which records are news."""

from services.gateway.core.wire import Kind, Update


class Board:
    """What hangs in the hall: whoever comes in reads it first. Repeats and records of an older epoch change nothing."""

    def __init__(self) -> None:
        self._last: dict[Kind, dict[str, Update]] = {"price": {}, "prediction": {}}

    def advance(self, update: Update) -> bool:
        """Takes one record in; False where its symbol has been as far already."""
        last = self._last[update.kind]
        known = last.get(update.symbol)
        if known is not None and (update.epoch, update.seq) <= (known.epoch, known.seq):
            return False
        last[update.symbol] = update
        return True

    def learn(self, update: Update) -> bool:
        """Takes in what a backend remembers; False where anything is known already.

        What came live goes on from before this answer without a gap, so it is never overtaken by a remembered record.
        """
        return update.symbol not in self._last[update.kind] and self.advance(update)

    def of(self, symbol: str) -> list[Update]:
        """What is known of `symbol`: price, then prediction."""
        return [found for last in self._last.values() if (found := last.get(symbol)) is not None]

    def everything(self) -> list[Update]:
        """What is known, by symbol: price, then prediction."""
        return [update for symbol in sorted(self.symbols()) for update in self.of(symbol)]

    def symbols(self) -> set[str]:
        return set().union(*self._last.values())
