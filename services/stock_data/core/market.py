"""What the feed has told so far: its epoch, its clock and the last price of each symbol."""

from dataclasses import dataclass, field

from services.shared.events import Record, Tick
from services.stock_data.core import instants


@dataclass(slots=True)
class Told:
    """The outcome of an epoch's records up to some point. clock: `time` of the last one, empty before the first."""

    clock: str = ""
    latest: dict[str, Tick] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Takes in the next record of the sequence."""
        self.clock = record.time
        if isinstance(record, Tick):
            self.latest[record.symbol] = record


@dataclass(slots=True)
class Market:
    """The feed as others may see it. started: the instant at which the epoch begins in the data's time."""

    feed: str
    epoch: str = ""
    started: int = 0
    told: Told = field(default_factory=Told)
    finished: bool = False

    def begin(self, epoch: str, started: int, told: Told) -> None:
        """The feed goes on (or begins) in `epoch` behind what was `told`."""
        self.epoch, self.started, self.told, self.finished = epoch, started, told, False

    @property
    def known_before(self) -> int:
        """The instant behind the clock: what ended earlier is past. Before the first record: the epoch's begin."""
        return (instants.parse(self.told.clock) if self.told.clock else self.started) + 1
