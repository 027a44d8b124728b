"""Random rules of every kind on prices, and random prices and daily bars around their lines."""

import random
from datetime import date, timedelta

from services.shared.calendars import close_time, open_time, sessions_after
from services.shared.events import Bar, Tick, rfc3339, seconds
from services.users.core.channels import EnteringChannel, ExitingChannel
from services.users.core.conditions import KINDS, AnyCondition
from services.users.core.extremes import NewHigh, NewLow
from services.users.core.moves import MovingDown, MovingUp
from services.users.core.rules import Rule, Trigger
from services.users.core.volume import VolumeAbove

FIRST = date(2024, 9, 19)
_TRIGGERS: tuple[Trigger, ...] = ("once", "every_time", "every_time", "once_per_minute")


def condition(rng: random.Random, *, event: bool) -> AnyCondition:
    price = rng.randint(360, 440) / 4
    if event:
        return rng.choice(
            [
                KINDS[rng.choice(["crossing", "crossing_up", "crossing_down"])](price),
                EnteringChannel(lower=price, upper=price + rng.randint(1, 12)),
                ExitingChannel(lower=price, upper=price + rng.randint(1, 12)),
                NewHigh(days=rng.randint(1, 3)),
                NewLow(days=rng.randint(1, 3)),
            ]
        )
    window_s, far = rng.choice([10, 60, 600]), rng.randint(1, 24) / 4
    states: list[AnyCondition] = [
        KINDS["greater_than"](price),
        KINDS["less_than"](price),
        _move(rng)(window_s=window_s, amount=far),
        _move(rng)(window_s=window_s, percent=far),
        VolumeAbove(times=rng.choice([0.5, 1.0, 1.5]), bars=rng.randint(1, 3)),
    ]
    return rng.choice(states)


def _move(rng: random.Random) -> type[MovingUp | MovingDown]:
    return MovingUp if rng.random() < 0.5 else MovingDown


def rules(rng: random.Random, count: int, symbols: list[str]) -> list[Rule]:
    made = []
    for number in range(count):
        conditions = [condition(rng, event=True)] if rng.random() < 0.5 else []
        guards = rng.choice([0, 0, 0, 1, 2]) if conditions else rng.choice([1, 1, 1, 2])
        conditions += [condition(rng, event=False) for _ in range(guards)]
        made.append(
            Rule(
                f"{number:05}",
                1,
                "ada",
                rng.choice(symbols),
                tuple(conditions),
                rng.choice(_TRIGGERS),
                rng.choice([0, 0, 0, 5, 90]),
                rng.choice([0.0, 0.0, 0.0, 1.0, 5.0]),
                expires_at=rfc3339(close_time(FIRST)) if rng.random() < 0.05 else None,
                market_hours_only=rng.random() < 0.2,
                snoozed_until=rfc3339(open_time(FIRST) + timedelta(seconds=300)) if rng.random() < 0.05 else None,
            )
        )
    return made


def records(rng: random.Random, count: int, symbols: list[str]) -> list[Tick | Bar]:
    """So many ticks over some days, from before the open until after the close, and the days' final bars."""
    days = 6
    made: list[Tick | Bar] = []
    prices, seqs = {symbol: 400 for symbol in symbols}, dict.fromkeys(symbols, 0)
    day = FIRST
    for _ in range(days):
        seen: dict[str, list[float]] = {symbol: [] for symbol in symbols}
        when, ends = open_time(day) - timedelta(minutes=10), close_time(day)
        step = (ends - when + timedelta(minutes=10)) / (count // days)
        told = False
        for number in range(count // days):
            instant = when + number * step
            if instant > ends and not told:
                made += _bars(rng, day, seen, seqs)
                told = True
            symbol = rng.choice(symbols)
            prices[symbol] = min(460, max(340, prices[symbol] + rng.choice([-9, -3, -2, -1, -1, 0, 1, 1, 2, 3, 9])))
            seqs[symbol] += 1
            price, time = prices[symbol] / 4, rfc3339(instant.replace(microsecond=0))
            seen[symbol].append(price)
            made.append(
                Tick(
                    symbol=symbol,
                    price=price,
                    timestamp=seconds(time),
                    epoch="epoch-1",
                    seq=seqs[symbol],
                    time=time,
                )
            )
        day = sessions_after(day, 1)
    return made


def _bars(rng: random.Random, day: date, seen: dict[str, list[float]], seqs: dict[str, int]) -> list[Tick | Bar]:
    made: list[Tick | Bar] = []
    for symbol, prices in seen.items():
        if prices:
            seqs[symbol] += 1
            made.append(
                Bar(
                    symbol=symbol,
                    timeframe="1d",
                    start=rfc3339(open_time(day)),
                    open=prices[0],
                    high=max(prices),
                    low=min(prices),
                    close=prices[-1],
                    volume=float(rng.randint(1, 8)),
                    final=True,
                    epoch="epoch-1",
                    seq=seqs[symbol],
                    time=rfc3339(close_time(day)),
                    date=day.isoformat(),
                )
            )
    return made
