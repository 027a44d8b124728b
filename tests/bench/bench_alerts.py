"""Alerts at scale: a million armed rules, what they cost in memory, at a start, and at each tick; firings stored.

    python -m tests.bench.bench_alerts [--rules 1000000] [--symbols 1000] [--ticks 200000] [--firings 40000]

Each part is a process of its own, alone on one core's time as far as the machine lets it. Rules are single thresholds
around the price of their symbol, one partition in four each, loaded as at a start after a crash.
"""

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import func, insert, select

from services.shared import positions
from services.shared.database import Database
from services.shared.positions import Position, SymbolState, Tracker
from services.shared.readers import Fresh
from services.shared.topics import ALERTS, partition_of
from services.users.bell import Bell, Takings
from services.users.core.alerts import Alerts
from services.users.core.conditions import KINDS, encode_conditions
from services.users.core.journal import Watch
from services.users.core.rules import Rule
from services.users.tables import CHECKPOINTS, AlertRow, FiringRow, WatchedSymbolRow
from services.users.worker import AlertWork
from tests.bench.machine import machine
from tests.servers.postgres import PostgresServer
from tests.unit.users.naive import Naive
from tests.unit.users.room import CREATED, add_user, migrated, settings_of
from tests.unit.users.ticks import tick

PARTITIONS: Final = 4
START: Final = 100.0
_PIECE: Final = 5_000
_LOOK_EVERY_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Load:
    rules: int
    symbols: int
    ticks: int
    firings: int


@dataclass(frozen=True, slots=True)
class Scale:
    """A million rules in one process. Seconds of wall and of the processor; bytes; microseconds a tick."""

    load_s: float
    load_cpu_s: float
    breath_ms: float
    rss: int
    quiet_us: float
    firing_us: float
    fired: int


# -- what is measured ----------------------------------------------------------------------------------------------


def scale(folder: str, url: str | None, load: Load) -> Scale:
    return asyncio.run(_scale(Path(folder), url, load))


async def _scale(folder: Path, url: str | None, load: Load) -> Scale:
    async with migrated(settings_of(folder, url)) as database:
        states = {symbol: SymbolState("epoch-1", 1, _seen(symbol)) for symbol in names(load.symbols)}
        work = AlertWork(database, PARTITIONS, lambda: CREATED, Bell(), Bell(), Takings())
        breath = asyncio.create_task(_longest_breath())
        began, cpu = time.perf_counter(), time.process_time()
        for partition in range(PARTITIONS):
            mine = {symbol: each for symbol, each in states.items() if partition_of(symbol, PARTITIONS) == partition}
            await work.open(partition, mine)
        load_s, load_cpu_s = time.perf_counter() - began, time.process_time() - cpu
        breath.cancel()
        longest = await breath
        rng = random.Random(3)
        near = [round(START + rng.uniform(-0.4, 0.4), 2) for _ in range(load.ticks)]
        quiet_us, _ = await _ticks(work, load, near, 2)
        rss = psutil.Process().memory_info().rss
        far = [round(START + 0.5 + (number // load.symbols % 2) * 0.1, 2) for number in range(load.ticks // 10)]
        firing_us, fired = await _ticks(work, load, far, 2 + load.ticks)
        return Scale(load_s, load_cpu_s, longest, rss, quiet_us, firing_us, fired)


async def _ticks(work: AlertWork, load: Load, prices: Sequence[float], first: int) -> tuple[float, int]:
    """(microseconds of the processor a tick, firings) of ticks that go round the symbols."""
    symbols = names(load.symbols)
    by_partition: dict[int, list[Fresh]] = {}
    tracker = Tracker({symbol: Position("epoch-1", first + number - 1) for number, symbol in enumerate(symbols)})
    for number, price in enumerate(prices):
        symbol = symbols[number % len(symbols)]
        made = tick(first + number, price, second=1, symbol=symbol)
        step = tracker.advance(symbol, made.epoch, made.seq)
        fresh = Fresh(made, positions.Step(True, 0, False) if step.fresh else step)
        by_partition.setdefault(partition_of(symbol, PARTITIONS), []).append(fresh)
    for partition in by_partition:  # the first look sorts what was loaded
        await work.work(partition, by_partition[partition][: len(symbols)])
    fired = 0
    cpu = time.process_time()
    for partition, records in by_partition.items():
        journal = work.journal(partition)
        journal.clear()
        done = 0
        while done < len(records):
            done += await work.work(partition, records[done:])
            fired += len(journal.firings)
            journal.clear()
    return (time.process_time() - cpu) / len(prices) * 1e6, fired


async def _longest_breath() -> float:
    """Until it is cancelled: for how long the event loop did nothing else (milliseconds), at the worst."""
    longest = 0.0
    try:
        while True:
            due = time.perf_counter() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            longest = max(longest, time.perf_counter() - due)
    except asyncio.CancelledError:
        return longest * 1000


def stored(folder: str, url: str | None, load: Load) -> float:
    """Firings stored in a second, each with its notification, by ticks that fire a tenth of the rules at a time."""
    return asyncio.run(_stored(Path(folder), url, load))


async def _stored(folder: Path, url: str | None, load: Load) -> float:
    async with migrated(settings_of(folder, url)) as database:
        user = await add_user(database)
        count = load.firings // 10
        rules = [(f"{number:036}", "S0000", "crossing", START) for number in range(count)]
        await _add(database, user, rules)
        work = AlertWork(database, 1, lambda: CREATED, Bell(), Bell(), Takings())
        async with database.transaction() as session:
            claim = await positions.load(session, CHECKPOINTS, ALERTS.name, 0, "log")
        await work.open(0, {})
        step = positions.Step(True, 0, False)
        await work.work(0, [Fresh(tick(1, START - 1, symbol="S0000"), positions.Step(True, 0, True))])
        began = time.perf_counter()
        for seq in range(2, 12):
            price = START + 1 if seq % 2 == 0 else START - 1
            await work.work(0, [Fresh(tick(seq, price, symbol="S0000"), step)])
            while work.effects(0):
                async with database.transaction(brief=True) as session:
                    await positions.hold(session, CHECKPOINTS, [claim])
                    await work.store_effects(session, [0])
                work.effects_stored(0)
            async with database.transaction(brief=True) as session:
                states = (await work.store(session, [0]))[0]
                changed = {name: SymbolState("epoch-1", seq, state) for name, state in states.items()}
                await positions.save(session, CHECKPOINTS, claim, seq, changed)
            work.stored(0)
        took = time.perf_counter() - began
        async with database.reading() as session:
            found = await session.scalar(select(func.count()).select_from(FiringRow)) or 0
        if found != 10 * count:
            raise SystemExit(f"{found:,} firings are stored, not {10 * count:,}")
        return found / took


def naive(load: Load) -> tuple[float, float]:
    """Microseconds a tick of one symbol's rules: the naive evaluator, and the engine with as many."""
    rng, per_symbol = random.Random(5), load.rules // load.symbols
    rules = [
        Rule(f"{number}", 1, "ada", "S0000", (KINDS[kind](line),), "every_time")
        for number, (_, _, kind, line) in enumerate(_wishes(rng, per_symbol, ["S0000"]))
    ]
    ticks = [tick(seq, START + rng.choice([-0.01, 0.0, 0.01]), second=1, symbol="S0000") for seq in range(1, 101)]
    slow = [Naive(rule) for rule in rules]
    cpu = time.process_time()
    for each in ticks:
        for rule in slow:
            rule.tick(each)
    naive_us = (time.process_time() - cpu) / len(ticks) * 1e6
    engine = Alerts()
    engine.apply(ticks[0], new_epoch=True)
    engine.load(Watch(rule) for rule in rules)
    engine.apply(ticks[1], new_epoch=False)
    cpu = time.process_time()
    for _ in range(50):
        for each in ticks:
            engine.apply(each, new_epoch=False)
    return naive_us, (time.process_time() - cpu) / 50 / len(ticks) * 1e6


# -- rules ---------------------------------------------------------------------------------------------------------


def names(count: int) -> list[str]:
    return [f"S{number:04}" for number in range(count)]


def _seen(symbol: str) -> bytes:
    """The state of a symbol that has traded at START."""
    engine = Alerts()
    engine.apply(tick(1, START, second=0, symbol=symbol), new_epoch=True)
    return engine.state(symbol)


def _wishes(rng: random.Random, count: int, symbols: Sequence[str]) -> list[tuple[str, str, str, float]]:
    """(id, symbol, kind, threshold), all armed at START: none within half a dollar of it can fire there."""
    made = []
    for number in range(count):
        kind = rng.choice(["greater_than", "crossing_up", "less_than", "crossing_down"])
        away = round(0.5 + rng.expovariate(0.1), 2)
        line = START + away if kind in ("greater_than", "crossing_up") else START - away
        made.append((str(uuid.UUID(int=rng.getrandbits(128))), symbols[number % len(symbols)], kind, max(1.0, line)))
    return made


async def _add(database: Database, user: str, rules: Sequence[tuple[str, str, str, float]]) -> None:
    """Rules that their owner has taken in, as they stand in the database."""
    symbols = sorted({symbol for _, symbol, _, _ in rules})
    async with database.transaction() as session:
        await session.execute(insert(WatchedSymbolRow), [{"symbol": symbol} for symbol in symbols])
    for first in range(0, len(rules), _PIECE):
        async with database.transaction() as session:
            await session.execute(insert(AlertRow), [_row(user, *each) for each in rules[first : first + _PIECE]])


def _row(user: str, rule_id: str, symbol: str, kind: str, line: float) -> dict[str, Any]:
    return {
        "id": rule_id, "user_id": user, "version": 1, "status": "active", "symbol": symbol,
        "conditions": encode_conditions([KINDS[kind](line)]), "trigger": "every_time", "cooldown_s": 0,
        "hysteresis_pct": 0.0, "expires_at": None, "message": None, "channels": b'["websocket"]', "created_at": CREATED,
        "taken": True, "deleted": False, "active_from_epoch": "epoch-1", "active_from_seq": 1, "state": b"{}",
        "source": "prices", "market_hours_only": False, "snoozed_until": None,
    }  # fmt: skip


def fill(folder: str, url: str | None, load: Load) -> None:
    async def run() -> None:
        async with migrated(settings_of(Path(folder), url)) as database:
            user = await add_user(database)
            await _add(database, user, _wishes(random.Random(1), load.rules, names(load.symbols)))

    asyncio.run(run())


# -- the table -----------------------------------------------------------------------------------------------------


def line(what: str, value: str, target: str = "") -> None:
    print(f"{what:<58}{value:>16}   {target}", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description="Alerts at scale")
    asked.add_argument("--rules", type=int, default=1_000_000)
    asked.add_argument("--symbols", type=int, default=1_000)
    asked.add_argument("--ticks", type=int, default=200_000)
    asked.add_argument("--firings", type=int, default=40_000)
    asked.add_argument("--only", choices=["sqlite", "postgresql"], default="")
    wish, _ = asked.parse_known_args()
    load = Load(wish.rules, wish.symbols, wish.ticks, wish.firings)
    print(machine("msgspec", "sqlalchemy", "aiosqlite", "asyncpg"))
    print(f"{load.rules:,} armed single-threshold rules over {load.symbols:,} symbols", flush=True)
    slow_us, fast_us = _alone(naive, load)
    line("a tick, naive evaluator, one symbol's rules", f"{slow_us:,.0f} us")
    line("a tick, engine, the same rules", f"{fast_us:.1f} us", f"{slow_us / fast_us:,.0f} times as fast")
    if wish.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="tickroom-bench-") as folder:
            measure("SQLite", f"{folder}/a", None, f"{folder}/b", None, load, 2_000)
    if wish.only != "sqlite":
        with PostgresServer() as server, tempfile.TemporaryDirectory(prefix="tickroom-bench-") as folder:
            urls = [server.create_database(name) for name in ("scale", "stored")]
            measure("PostgreSQL", f"{folder}/a", urls[0], f"{folder}/b", urls[1], load, 5_000)


def measure(name: str, first: str, url: str | None, second: str, other: str | None, load: Load, target: int) -> None:
    _alone(fill, first, url, load)
    found: Scale = _alone(scale, first, url, load)
    line(f"{name}: loading all at a start", f"{found.load_s:.1f} s", "target: under 20 s")
    line("  of the processor's time", f"{found.load_cpu_s:.1f} s")
    line("  longest hold of the event loop", f"{found.breath_ms:.0f} ms")
    line("  memory of the process (RSS)", f"{found.rss / 2**20:.0f} MB", "target: at most 600 MB")
    line("  a tick without firings", f"{found.quiet_us:.1f} us", "target: at most 10 us")
    line(f"  a tick with firings, not stored ({found.fired:,})", f"{found.firing_us:.1f} us")
    rate: float = _alone(stored, second, other, load)
    line(f"{name}: firings stored, each with its notification", f"{rate:,.0f} /s", f"target: at least {target:,} /s")


def _alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, so that memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result(timeout=900)


if __name__ == "__main__":
    main()
