"""One symbol as the gateway knows it: the last price and prediction, and its records of late, whole and in order.

Records of topic `ticks` count in one sequence (`seq` 1, 2, 3 ...), predictions in another (each names the one before).
What is kept of either never has a hole: behind a gap it begins anew, so what it can't prove it does not claim.
"""

from collections import deque
from typing import Final

from services.gateway.core.wire import Update

_MOST_TRAILING: Final = 64


class Tape:
    """epoch and seq: of the newest record of `ticks`. entries: how many records of each sequence are kept."""

    __slots__ = ("_entries", "_predictions", "_records", "_trail", "epoch", "prediction", "price", "seq")

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self.epoch = b""
        self.seq = 0
        self.price: Update | None = None
        self.prediction: Update | None = None
        self._trail: list[Update] = []
        self._records: deque[Update] = deque()
        self._predictions: deque[Update] = deque()

    def advance(self, update: Update) -> bool:
        """Takes one record in; False for a repeat, and for one of an older epoch."""
        return self._predict(update) if update.kind == "prediction" else self._record(update)

    def learn(self, update: Update) -> bool:
        """Takes in what a backend remembers; False where a price (or prediction) is known already.

        What came live goes on from before this answer without a gap, so it is never overtaken by a remembered record.
        """
        if update.kind == "prediction":
            return self.prediction is None and self._predict(update)
        if self.price is not None or update.kind != "price":
            return False
        if self.seq:  # bars came before any price
            self.price = update
            return True
        return self._record(update)

    def snapshot(self) -> list[Update]:
        """The last price, what came behind it (a bar, a split: they count in `seq` too), the last prediction."""
        price = [] if self.price is None else [self.price]
        prediction = [] if self.prediction is None else [self.prediction]
        return [*price, *self._trail, *prediction]

    def since(self, epoch: bytes, price: int | None, prediction: int | None) -> list[Update] | None:
        """What a client has missed that had seen record `price` and the prediction caused by record `prediction`.

        In order, a prediction behind the record that caused it. None for a kind: nothing of it. The answer is None
        where it can't be proven whole.
        """
        records = [] if price is None else self._records_since(epoch, price)
        predictions = [] if prediction is None else self._predictions_since(epoch, prediction)
        if records is None or predictions is None:
            return None
        return sorted([*records, *predictions], key=_in_order)

    def is_ahead(self, epoch: bytes, price: int | None, prediction: int | None) -> bool:
        """Has that client seen more than this gateway has read yet?"""
        last = self.prediction
        return (price is not None and (epoch, price) > (self.epoch, self.seq)) or (
            bool(prediction) and (last is None or (epoch, prediction) > (last.epoch, last.seq))
        )

    def forget_before(self, arrived_s: float) -> None:
        """Lets go what came before that instant."""
        for kept in (self._records, self._predictions):
            while kept and kept[0].arrived_s < arrived_s:
                kept.popleft()

    def _record(self, update: Update) -> bool:
        if (update.epoch, update.seq) <= (self.epoch, self.seq):
            return False
        if update.epoch != self.epoch or update.seq != self.seq + 1:
            self._records.clear()
        if update.epoch != self.epoch:
            self._trail = []
            self.epoch = update.epoch
        update.epoch, self.seq = self.epoch, update.seq  # one object for all that are kept
        _keep(self._records, update, self._entries)
        if update.kind == "price":
            self.price = update
            if self._trail:
                self._trail = []
        else:
            self._trail = [*self._trail[1 - _MOST_TRAILING :], update]
        return True

    def _predict(self, update: Update) -> bool:
        last = self.prediction
        if last is not None:
            if (update.epoch, update.seq) <= (last.epoch, last.seq):
                return False
            if update.epoch != last.epoch or update.prev_seq != last.seq:
                self._predictions.clear()
        self.prediction = update
        _keep(self._predictions, update, self._entries)
        return True

    def _records_since(self, epoch: bytes, seq: int) -> list[Update] | None:
        if epoch != self.epoch or seq > self.seq:
            return None
        first = self._records[0].seq if self._records else self.seq + 1
        return None if seq + 1 < first else [each for each in self._records if each.seq > seq]

    def _predictions_since(self, epoch: bytes, seq: int) -> list[Update] | None:
        last = self.prediction
        if seq == 0 and (last is None or last.epoch < epoch):
            return []  # none was seen of this epoch, and there is none
        if last is None or last.epoch != epoch or seq > last.seq:
            return None
        if seq == last.seq:
            return []
        missed = [each for each in self._predictions if each.seq > seq]
        return missed if missed and missed[0].prev_seq == seq else None


def _keep(kept: deque[Update], update: Update, entries: int) -> None:
    kept.append(update)
    if len(kept) > entries:
        kept.popleft()


def _in_order(update: Update) -> tuple[int, bool]:
    return update.seq, update.kind == "prediction"
