"""How far each symbol has come: nothing twice, everything in order, and nothing missing without saying so."""

from dataclasses import dataclass
from typing import Any, Literal

from tickroom_client.messages import Gap, Message, Prediction, Record

Kind = Literal["records", "predictions"]


@dataclass(slots=True)
class _Sequence:
    """The last one seen of one kind. rejoins: the next one is taken as it comes, however far ahead."""

    epoch: str = ""
    seq: int = 0
    rejoins: bool = True

    def is_repeat(self, epoch: str, seq: int) -> bool:
        return (epoch, seq) <= (self.epoch, self.seq)

    def joins(self, epoch: str, before: int) -> bool:
        """Does one that says that `before` came before it come next?"""
        return self.rejoins or before == (self.seq if epoch == self.epoch else 0)

    def move(self, epoch: str, seq: int) -> None:
        self.epoch, self.seq, self.rejoins = epoch, seq, False


class Ledger:
    """What was seen of every symbol."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[_Sequence, _Sequence]] = {}

    def admit(self, message: Record | Prediction) -> list[Message]:
        """What to hand on: nothing for a repeat, else the message, behind a Gap where something before it is missing.

        A record says by `conflated` how many before it were merged into it, a prediction by `prev_seq` which one was
        before it. The first of an epoch follows none.
        """
        records, predictions = self._of(message.symbol)
        kind: Kind
        if isinstance(message, Prediction):
            kind, sequence, before = "predictions", predictions, message.prev_seq
        else:
            kind, sequence, before = "records", records, message.seq - 1 - message.conflated
        if sequence.is_repeat(message.epoch, message.seq):
            sequence.rejoins = sequence.rejoins and not message.snapshot  # here it stands, so the next one joins it
            return []
        whole = sequence.joins(message.epoch, before)
        gap = None if whole else _gap(message.symbol, kind, "missing", sequence)
        sequence.move(message.epoch, message.seq)
        return [message] if gap is None else [gap, message]

    def lose(self, symbol: str) -> Gap:
        """The server can't prove what came since: whatever comes next is taken as it comes."""
        records, predictions = self._of(symbol)
        records.rejoins = predictions.rejoins = True
        return _gap(symbol, None, "not_recovered", records)

    def hold(self, symbol: str) -> None:
        """The server has proven whole what came since: the next prediction joins the last one, or is the first."""
        records, predictions = self._of(symbol)
        if not predictions.epoch:
            predictions.move(records.epoch, 0)

    def rejoin(self, symbol: str) -> None:
        """A snapshot was asked for: it need not join what was before."""
        for sequence in self._of(symbol):
            sequence.rejoins = True

    def forget(self, symbol: str) -> None:
        self._seen.pop(symbol, None)

    def position(self, symbol: str) -> dict[str, Any] | None:
        """Where `symbol` stands, as the server's `resume` wants it; None where no record was seen.

        Both kinds share one epoch, the records': of predictions that are of another one none (0) was seen in this.
        """
        records, predictions = self._seen.get(symbol, (None, None))
        if records is None or predictions is None or not records.epoch:
            return None
        seen = predictions.seq if predictions.epoch == records.epoch else 0
        return {"epoch": records.epoch, "price": records.seq, "prediction": seen}

    def symbols(self) -> list[str]:
        return list(self._seen)

    def _of(self, symbol: str) -> tuple[_Sequence, _Sequence]:
        found = self._seen.get(symbol)
        if found is None:
            found = self._seen[symbol] = (_Sequence(), _Sequence())
        return found


def _gap(symbol: str, kind: Kind | None, reason: Literal["not_recovered", "missing"], last: _Sequence) -> Gap:
    return Gap(symbol=symbol, kind=kind, reason=reason, epoch=last.epoch, after_seq=last.seq or None)
