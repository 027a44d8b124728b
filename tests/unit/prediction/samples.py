"""Made-up bars and doubles for the tests of prediction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np

from services.prediction.clients import Feed, History, Price
from services.prediction.core.bars import PastBar
from services.shared.calendars import close_time, next_session, open_time
from services.shared.errors import NotFound, Unavailable
from services.shared.events import Bar, Signal, Tick, decode_signal, rfc3339, seconds
from services.shared.positions import Step
from services.shared.readers import Fresh

FIRST_DAY = date(2009, 12, 31)


def sessions(count: int) -> list[date]:
    """The first sessions of 2010 and after."""
    days, day = [], FIRST_DAY
    for _ in range(count):
        day = next_session(day)
        days.append(day)
    return days


def walk(count: int, *, seed: int, memory: float = 0.0, swing: float = 0.01) -> tuple[PastBar, ...]:
    """Daily bars of a random walk. memory: how far a return repeats (or, below 0, undoes) the one before it."""
    random = np.random.default_rng(seed)
    bars, last, move = [], 100.0, 0.0
    for day in sessions(count):
        gap, move = random.normal(0, swing / 3), memory * move + random.normal(0, swing)
        opened, close = last * float(np.exp(gap)), last * float(np.exp(move))
        high = max(opened, close) * float(np.exp(abs(random.normal(0, swing / 2))))
        low = min(opened, close) * float(np.exp(-abs(random.normal(0, swing / 2))))
        volume = float(random.integers(1_000, 100_000))
        bars.append(PastBar(day.isoformat(), rfc3339(close_time(day)), opened, high, low, close, volume))
        last = close
    return tuple(bars)


def market(count: int, *, tickers: int = 3, memory: float = 0.0) -> dict[str, tuple[PastBar, ...]]:
    """Independent walks of AAA, BBB, CCC ..."""
    return {chr(65 + n) * 3: walk(count, seed=n, memory=memory) for n in range(tickers)}


REPLAYED = market(320, tickers=2, memory=-0.5)
"""What a replay is made of in several tests; its epoch begins after bar START."""
START = 200
STARTED = REPLAYED["AAA"][START].time
NOW = datetime(2024, 1, 2, tzinfo=UTC)


def records(symbol: str, bars: Sequence[PastBar], *, epoch: str = "e1", seq: int = 0) -> list[Tick | Bar]:
    """What the replay publishes for `bars`: open, close, final bar; the first record has `seq` + 1."""
    out: list[Tick | Bar] = []
    for bar in bars:
        begin = rfc3339(open_time(date.fromisoformat(bar.date)))
        for price, time in ((bar.open, begin), (bar.close, bar.time)):
            seq += 1
            out.append(tick(symbol, price, time, epoch=epoch, seq=seq))
        seq += 1
        out.append(final_bar(symbol, bar, epoch=epoch, seq=seq))
    return out


def tick(symbol: str, price: float, time: str, *, epoch: str = "e1", seq: int = 1) -> Tick:
    return Tick(symbol=symbol, price=price, timestamp=seconds(time), epoch=epoch, seq=seq, time=time, source="replay")


def final_bar(symbol: str, bar: PastBar, *, epoch: str = "e1", seq: int = 1) -> Bar:
    return Bar(
        symbol=symbol,
        timeframe="1d",
        start=rfc3339(open_time(date.fromisoformat(bar.date))),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        final=True,
        epoch=epoch,
        seq=seq,
        time=bar.time,
        date=bar.date,
        source="replay",
    )


def fresh(records: Sequence[Tick | Bar], *, first: bool = True) -> list[Fresh]:
    """As the reader hands them over. first: the first record of each symbol begins an epoch."""
    seen: set[str] = set()
    out = []
    for record in records:
        begins = first and record.symbol not in seen
        seen.add(record.symbol)
        out.append(Fresh(record, Step(fresh=True, missed=0, new_epoch=begins)))
    return out


class FakeStock:
    """stock_data with a fixed history. started: where its epoch begins; away: does not answer."""

    def __init__(self, bars: Mapping[str, Sequence[PastBar]], *, started: str, clock: str = "") -> None:
        self.bars = bars
        self.started, self.clock = started, clock
        self.name, self.epoch = "replay", "e1"
        self.prices: dict[str, Price] = {}
        self.away = False
        self.asked: list[tuple[str, str]] = []
        self.bars_given: list[int] = []

    async def history(self, symbol: str, *, before: str = "", latest: int = 0) -> History:
        self._answer()
        self.asked.append((symbol, before))
        if symbol.upper() not in self.bars:
            raise NotFound(f"{symbol} is not known", code="unknown_symbol")
        end = before or self.clock or self.started
        known = [bar for bar in self.bars[symbol.upper()] if (bar.time < end if before else bar.time <= end)]
        given = tuple(known[-latest:] if latest else known)
        self.bars_given.append(len(given))
        return History(symbol.upper(), given)

    async def latest(self, symbol: str) -> Price | None:
        self._answer()
        return self.prices.get(symbol.upper())

    async def tickers(self) -> list[str]:
        self._answer()
        return sorted(self.bars)

    async def feed(self) -> Feed:
        self._answer()
        return Feed(self.name, self.epoch, self.started, self.clock)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("stock_data is away")


class Sent:
    """Topic `signals`: keeps what was sent."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.fail_with: Exception | None = None

    async def publish(self, signals: Sequence[tuple[str, bytes]]) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.events += [event for _, event in signals]

    @property
    def signals(self) -> list[Signal]:
        return [decode_signal(event) for event in self.events]
