"""A market made up for rules of all kinds, by one seed: prices, bars, splits, corrections, silences and signals."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from services.shared.calendars import close_time, next_session, open_time
from services.shared.events import (
    Bar,
    Correction,
    Prediction,
    Record,
    Signal,
    Split,
    Tick,
    parse_time,
    rfc3339,
    seconds,
)
from services.shared.rpc import stock_data_pb2
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer
from services.users.core.asked import Asked, AskedCondition

EPOCH: Final = "20240102T143000-1"
FIRST_DAY: Final = date(2024, 1, 2)
SYMBOLS: Final = tuple(f"S{number:02d}" for number in range(40))
ROUNDS: Final = 100
"""Ticks of a symbol in a session, and so 4,000 of all of them: a day takes four seconds at 1,000 ticks/s."""
_STEP_S: Final = 200
_NAMES: Final = UUID("0d9b3f51-3f0b-4b0e-8a53-1d1b6f4c9a10")
_PREDICTIONS: Final[tuple[Prediction, ...]] = ("buy", "sell", "hold")


@dataclass
class _Stock:
    """One symbol on its way. silent: rounds that it leaves out; paid: prices of the day so far."""

    symbol: str
    price: float
    fair: float = 100.0
    seq: int = 0
    signalled: int = 0
    silent: int = 0
    paid: list[float] = field(default_factory=list)


class AlertMarket(StockDataServicer):
    """The records, and stock_data as far as the users service asks it: bars that were final, in the shares of then."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._stocks = [_Stock(symbol, self._chance.uniform(96, 104)) for symbol in SYMBOLS]
        self.bars: dict[str, list[Bar]] = {symbol: [] for symbol in SYMBOLS}
        self.splits: dict[str, list[Split]] = {symbol: [] for symbol in SYMBOLS}

    def records(self) -> Iterator[Record | Signal]:
        """Without end, in the order of their symbols; the same ones for the same seed."""
        day = FIRST_DAY
        while True:
            for stock in self._chance.sample(self._stocks, 3):
                yield self._split(stock, day)
            for number in range(ROUNDS):
                begun = open_time(day) + timedelta(seconds=_STEP_S * number)
                for place, stock in enumerate(self._stocks):
                    yield from self._trade(stock, begun + timedelta(seconds=place, microseconds=1))
            for stock in self._stocks:
                yield from self._close(stock, day)
            day = next_session(day)

    def _at(self, stock: _Stock, when: datetime) -> dict[str, Any]:
        stock.seq += 1
        return {"symbol": stock.symbol, "epoch": EPOCH, "seq": stock.seq, "time": rfc3339(when), "source": "replay"}

    def _tick(self, stock: _Stock, when: datetime) -> Tick:
        stock.paid.append(stock.price)
        return Tick(price=stock.price, timestamp=seconds(rfc3339(when)), **self._at(stock, when))

    def _trade(self, stock: _Stock, when: datetime) -> Iterator[Record]:
        chance = self._chance
        if stock.silent or chance.random() < 0.002:
            stock.silent = stock.silent - 1 if stock.silent else chance.randrange(4, 9)
            return
        share = 0.02 * (1 - stock.price / stock.fair) + chance.gauss(0, 0.004)
        stock.price = round(max(1.0, stock.price * (1 + share)), 2)
        yield self._tick(stock, when)
        if chance.random() < 0.003:
            when += timedelta(milliseconds=500)
            wrong, stock.price = stock.seq, round(stock.price * chance.uniform(0.97, 1.03), 2)
            yield Correction(of_seq=wrong, price=stock.price, **self._at(stock, when))
            yield self._tick(stock, when)

    def _split(self, stock: _Stock, day: date) -> Split:
        ratio = 2.0 if stock.fair >= 100 else 0.5
        stock.fair, stock.price = stock.fair / ratio, round(stock.price / ratio, 2)
        split = Split(ratio=ratio, effective=day.isoformat(), **self._at(stock, open_time(day)))
        self.splits[stock.symbol].append(split)
        return split

    def _close(self, stock: _Stock, day: date) -> Iterator[Record | Signal]:
        paid, stock.paid = stock.paid or [stock.price], []
        bar = Bar(
            timeframe="1d",
            start=rfc3339(open_time(day)),
            date=day.isoformat(),
            open=paid[0],
            high=max(paid),
            low=min(paid),
            close=paid[-1],
            volume=float(self._chance.randrange(1_000, 5_000)),
            final=True,
            **self._at(stock, close_time(day)),
        )
        self.bars[stock.symbol].append(bar)
        yield bar
        yield Signal(
            symbol=stock.symbol,
            prediction=self._chance.choice(_PREDICTIONS),
            timestamp=seconds(bar.time),
            epoch=EPOCH,
            seq=bar.seq,
            prev_seq=stock.signalled,
            time=bar.time,
            confidence=round(self._chance.uniform(0.1, 1.0), 3),
            horizon="1d",
            price_target=stock.price,
            direction="bullish",
            interval=None,
            model_version="1",
            skill=None,
            valid_until=bar.time,
            reason=None,
        )
        stock.signalled = bar.seq

    # -- stock_data ------------------------------------------------------------------------------------------------

    async def FeedStatus(self, request: Any, context: Any) -> stock_data_pb2.FeedStatusReply:
        begun = rfc3339(open_time(FIRST_DAY))
        return stock_data_pb2.FeedStatusReply(feed="replay", epoch=EPOCH, clock=begun, started=begun)

    async def Tickers(self, request: Any, context: Any) -> stock_data_pb2.TickersReply:
        return stock_data_pb2.TickersReply(tickers=[stock_data_pb2.Ticker(ticker=each) for each in SYMBOLS])

    async def Latest(self, request: Any, context: Any) -> stock_data_pb2.LatestReply:
        return stock_data_pb2.LatestReply()

    async def History(self, request: Any, context: Any) -> stock_data_pb2.HistoryReply:
        return stock_data_pb2.HistoryReply(
            symbol=request.symbol, bars=history(self, request.symbol, request.before, request.limit)
        )


def history(market: AlertMarket, symbol: str, before: str, limit: int) -> list[stock_data_pb2.Bar]:
    """The last bars that were final before that instant, in the shares of then."""
    bars = market.bars[symbol]
    found = bars[: bisect_left(bars, before, key=lambda bar: bar.time)][-limit:]
    known = [each for each in market.splits[symbol] if each.time < before]
    return [_in_shares_of(bar, known) for bar in found]


def _in_shares_of(bar: Bar, known: list[Split]) -> stock_data_pb2.Bar:
    ratio = 1.0
    for split in known:
        if bar.start < split.time:
            ratio *= split.ratio
    return stock_data_pb2.Bar(
        date=bar.date,
        start=bar.start,
        end=bar.time,
        open=bar.open / ratio,
        high=bar.high / ratio,
        low=bar.low / ratio,
        close=bar.close / ratio,
        volume=bar.volume * ratio,
    )


# -- rules -------------------------------------------------------------------------------------------------------------


def rules() -> Iterator[tuple[str, Asked]]:
    """(id, rule): 25 of every symbol, all types of conditions and triggers among them. The same ones at every call."""
    chance = random.Random(7)
    for symbol in SYMBOLS:
        for number, (conditions, more) in enumerate(_wishes(chance)):
            asked = Asked(symbol=symbol, conditions=tuple(AskedCondition(**each) for each in conditions), **more)
            yield str(uuid5(_NAMES, f"{symbol} {number}")), asked


def _wishes(chance: random.Random) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    def line(type: str, low: float, high: float) -> dict[str, Any]:
        return {"type": type, "threshold": round(chance.uniform(low, high), 2)}

    def channel(type: str) -> dict[str, Any]:
        return {"type": type, "lower": round(chance.uniform(94, 97), 2), "upper": round(chance.uniform(103, 106), 2)}

    always: dict[str, Any] = {"trigger": "every_time"}
    expires = parse_time(rfc3339(open_time(FIRST_DAY))) + timedelta(days=3)
    yield [line("greater_than", 103, 106)], always | {"hysteresis_pct": 1.0}
    yield [line("less_than", 94, 97)], always | {"hysteresis_pct": 0.5, "cooldown_s": 3_600}
    yield [line("greater_than", 100, 104)], {"trigger": "once"}
    yield [line("crossing_up", 102, 105)], always
    yield [line("crossing_up", 99, 101)], {"trigger": "once_per_bar"}
    yield [line("crossing_down", 95, 98)], always | {"message": "{symbol} fell to {price} from {previous_price}"}
    yield [line("crossing_down", 99, 101)], always | {"cooldown_s": 7_200}
    yield [line("crossing", 104, 107)], {"trigger": "once_per_minute"}
    yield [line("crossing", 97, 103)], {"trigger": "once"}
    yield [line("crossing", 93, 96)], always | {"market_hours_only": True}
    yield [line("crossing_up", 45, 52)], always
    yield [line("crossing", 103, 106)], always | {"expires_at": rfc3339(expires)}
    yield [line("crossing", 94, 97)], always | {"snoozed_until": rfc3339(expires)}
    yield [channel("entering_channel")], always
    yield [channel("exiting_channel")], always
    yield [{"type": "moving_up", "percent": 2.0, "window_s": 1_800}], always
    yield [{"type": "moving_down", "amount": 2.5, "window_s": 3_600}], always | {"cooldown_s": 3_600}
    yield [{"type": "new_high", "days": 2}], {"trigger": "once_per_bar"}
    yield [{"type": "new_low", "days": 3}], always | {"cooldown_s": 86_400}
    yield [{"type": "volume_above", "times": 1.3, "bars": 2}], always
    yield [{"type": "stale", "after_s": 900}], always
    yield [line("crossing_up", 99, 103), {"type": "moving_up", "percent": 0.8, "window_s": 1_200}], always
    yield [{"type": "prediction_changed", "to": chance.choice(_PREDICTIONS)}], always
    yield [{"type": "prediction_changed"}, {"type": "confidence_above", "threshold": 0.6}], always
    yield [{"type": "confidence_above", "threshold": 0.7}], always
