"""How far a client has come in the sequences of one symbol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """epoch, and in it the seq of the last record of `ticks` and of the last prediction; None: not to be replayed."""

    epoch: bytes
    price: int | None
    prediction: int | None
