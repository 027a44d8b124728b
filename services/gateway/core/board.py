"""What hangs in the hall: of every symbol the last price and prediction, and its records of late."""

from services.gateway.core.tape import Tape
from services.gateway.core.wire import Update


class Board:
    """entries: records kept of each symbol; Tape says of which kinds."""

    def __init__(self, entries: int = 300) -> None:
        self._entries = entries
        self._tapes: dict[str, Tape] = {}

    def of(self, symbol: str) -> Tape:
        """What is known of `symbol`; an empty tape where nothing is."""
        return self._tapes.get(symbol) or Tape(self._entries)

    def advance(self, update: Update) -> bool:
        """Takes one record in; False where its symbol has been as far already."""
        return self._tape(update.symbol).advance(update)

    def learn(self, update: Update) -> bool:
        """Takes in what a backend remembers; False where anything is known already."""
        return self._tape(update.symbol).learn(update)

    def symbols(self) -> list[str]:
        """Those of which anything is known, sorted."""
        return sorted(self._tapes)

    def forget_before(self, arrived_s: float) -> None:
        """Lets go records that came before that instant; last prices and predictions stay."""
        for tape in self._tapes.values():
            tape.forget_before(arrived_s)

    def _tape(self, symbol: str) -> Tape:
        tape = self._tapes.get(symbol)
        if tape is None:
            tape = self._tapes[symbol] = Tape(self._entries)
        return tape
