"""What bench_pipeline.py publishes: the bundled real bars as the replay tells them, and a stand-in for stock_data.

One market is not enough for hundreds of thousands of records, so each symbol has copies at other prices: AAPL, AAPL.1,
AAPL.2 ... The stand-in answers for all of them, but names only the real symbols, so training is as long as always.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from itertools import groupby, islice
from math import sqrt
from typing import Any, Final

import msgspec

from services.shared.events import Record
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer
from services.stock_data.core import instants, sequence
from services.stock_data.core.adjust import adjust
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.sequence import Item, Numbering
from services.stock_data.core.splits import SplitFound
from services.stock_data.core.ticks import Gate, Limits, Quote
from services.stock_data.feeds.base import SOURCE
from services.stock_data.feeds.daily import DailyFeed
from services.stock_data.feeds.replay import read_bundled

EPOCH: Final = "0192f5e0a1b20000"
COPIES: Final = 11
TICKS_A_DAY: Final = 400

_START: Final = date(2007, 1, 3)  # seven years before it: training's, and too long for another training behind it


@cache
def bundled() -> DailyFeed:
    return read_bundled(symbols=(), start=_START)


def daily(count: int) -> list[Record]:
    """The first `count` records of a replay of daily bars: two ticks, then the final bar."""
    items = (copy for item in bundled().items() for copy in _copies(item))
    return _numbered(items, count)


def intraday(count: int) -> list[Record]:
    """Likewise with TICKS_A_DAY ticks before each final bar: walks from open to close, between low and high."""
    bars = (item for item in bundled().items() if isinstance(item, FinalBar) and item.start >= bundled().started)
    rng = random.Random(7)
    items = (item for _, day in groupby(bars, key=lambda bar: bar.date) for item in _day(list(day), rng))
    return _numbered(items, count)


def _numbered(items: Iterable[Item], count: int) -> list[Record]:
    gate = Gate(Limits(max_jump=None))
    numbering = Numbering(EPOCH, SOURCE)
    return list(islice(sequence.records(items, numbering, gate, started=bundled().started, aggregate=False), count))


def _copies(item: Item) -> Iterator[Item]:
    for number in range(COPIES):
        symbol = f"{item.symbol}.{number}" if number else item.symbol
        if isinstance(item, Quote):
            yield msgspec.structs.replace(item, symbol=symbol, price=_level(item.price, number))
        elif isinstance(item, FinalBar):
            yield _copied_bar(item, symbol, number)
        else:
            yield msgspec.structs.replace(item, symbol=symbol)


def _copied_bar(bar: FinalBar, symbol: str, number: int) -> FinalBar:
    opened, high, low, close = (_level(price, number) for price in (bar.open, bar.high, bar.low, bar.close))
    return msgspec.structs.replace(bar, symbol=symbol, open=opened, high=high, low=low, close=close)


def _level(price: float, number: int) -> float:
    return round(price * (1 + number / 10), 2)


def _day(bars: list[FinalBar], rng: random.Random) -> Iterator[Item]:
    """One session: ticks of all symbols in turns, then their final bars."""
    copies = [copy for bar in bars for copy in _copies(bar) if isinstance(copy, FinalBar)]
    paths = [_path(bar, rng) for bar in copies]
    for number in range(TICKS_A_DAY):
        for bar, path in zip(copies, paths, strict=True):
            time = bar.start + (bar.end - bar.start) * number // TICKS_A_DAY
            yield Quote(bar.symbol, path[number], time, bar.volume // TICKS_A_DAY)
    yield from copies


def _path(bar: FinalBar, rng: random.Random) -> list[float]:
    """A Brownian bridge from open to close, kept between low and high."""
    last = TICKS_A_DAY - 1
    walk = [0.0]
    for _ in range(last):
        walk.append(walk[-1] + rng.gauss(0.0, 1.0))
    swing = (bar.high - bar.low) / sqrt(last)
    path = []
    for number, at in enumerate(walk):
        share = number / last
        price = bar.open + share * (bar.close - bar.open) + swing * (at - share * walk[-1])
        path.append(round(min(max(price, bar.low), bar.high), 2))
    return path


class StockDataStandIn(StockDataServicer):
    """stock_data's answers about the bundled bars, at the begin of the epoch."""

    def __init__(self) -> None:
        self._bars: dict[str, list[FinalBar]] = {}
        self._splits: dict[str, list[SplitFound]] = {}
        for item in bundled().items():
            if isinstance(item, FinalBar):
                self._bars.setdefault(item.symbol, []).append(item)
            elif isinstance(item, SplitFound):
                self._splits.setdefault(item.symbol, []).append(item)

    async def History(self, request: pb.HistoryRequest, context: Any) -> pb.HistoryReply:
        name, _, copy = request.symbol.partition(".")
        before = instants.parse(request.before) if request.before else bundled().started
        known = [bar for bar in self._bars[name] if bar.end < before]
        known = known[-request.limit :] if request.latest else known[: request.limit]
        copied = [_copied_bar(bar, request.symbol, int(copy or 0)) for bar in known]
        bars = adjust(copied, self._splits.get(name, ()), before)
        return pb.HistoryReply(symbol=request.symbol, bars=[_to_bar(bar) for bar in bars])

    async def Latest(self, request: pb.LatestRequest, context: Any) -> pb.LatestReply:
        return pb.LatestReply()

    async def Tickers(self, request: pb.TickersRequest, context: Any) -> pb.TickersReply:
        return pb.TickersReply(tickers=[pb.Ticker(ticker=symbol) for symbol in sorted(self._bars)])

    async def FeedStatus(self, request: pb.FeedStatusRequest, context: Any) -> pb.FeedStatusReply:
        return pb.FeedStatusReply(feed=SOURCE, epoch=EPOCH, started=instants.text(bundled().started))


def _to_bar(bar: FinalBar) -> pb.Bar:
    return pb.Bar(
        date=bar.date,
        start=instants.text(bar.start),
        end=instants.text(bar.end),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        source=SOURCE,
    )
