"""Pipeline: ticks per second through prediction and through alerts, against reading the topic and doing nothing.

    python -m tests.bench.bench_pipeline [--records 200000]

One core runs one reader at a time, each a process of its own; the other one runs the broker, stock_data's stand-in and
this program. Topic `ticks` is filled before the first reader begins. See pipeline_readers.py for what each of them
does and pipeline_records.py for what they read.
"""

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder

from services.shared.embedded_kafka import embedded_kafka
from services.shared.events import Record, Tick, encode
from services.shared.kafka import Kafka
from services.shared.rpc.channel import serve
from services.shared.rpc.stock_data_pb2_grpc import add_StockDataServicer_to_server
from services.shared.topics import TICKS, partition_of
from services.users.store import alerts
from tests.bench import pipeline_records
from tests.bench.machine import machine
from tests.bench.pipeline_readers import CONTENDERS, PARTITIONS, Result
from tests.unit.users.room import CREATED, add_user, draft, migrated, settings_of

RULES: Final = 1_000
TARGET: Final = 20_000
SCENARIOS: Final[dict[str, Callable[[int], list[Record]]]] = {
    "daily bars: two ticks, then the final bar": pipeline_records.daily,
    f"intraday: {pipeline_records.TICKS_A_DAY} ticks, then the final bar": pipeline_records.intraday,
}
TITLES: Final = {
    "alone": "reading alone",
    "positions": "reader with state alone",
    "prediction": "prediction",
    "alerts": f"alerts, {RULES:,} rules",
}
MADE: Final = {"prediction": "signals", "alerts": "firings"}
_PACKAGES: Final = ("aiokafka", "confluent-kafka", "faststream", "lightgbm", "msgspec", "sqlalchemy", "uvloop")
_WITHIN_S: Final = 60.0
_KINDS: Final = ("greater_than", "less_than", "crossing", "crossing_up", "crossing_down")


@dataclass(frozen=True, slots=True)
class Load:
    """What was published."""

    records: int
    ticks: int


async def run(records: Sequence[Record], core: int) -> dict[str, Result]:
    """Each reader's result, on a broker of their own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickroom-bench-")))
        await add_rules(folder / "alerts", records)
        kafka = await stack.enter_async_context(embedded_kafka(PARTITIONS))
        await stack.enter_async_context(stock_data(folder))
        readers = {
            which: await stack.enter_async_context(reader(which, core, kafka, len(records), folder / which))
            for which in CONTENDERS
        }
        await fill(kafka, records)
        for process in readers.values():
            await line_of(process)
            process.send_signal(signal.SIGSTOP)  # it stands still while others are measured
        return {which: await measured(process) for which, process in readers.items()}


async def measured(process: asyncio.subprocess.Process) -> Result:
    assert process.stdin is not None
    process.send_signal(signal.SIGCONT)
    process.stdin.write(b"go\n")
    result = msgspec.json.decode(await line_of(process), type=Result)
    await asyncio.wait_for(process.wait(), _WITHIN_S)
    return result


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    """The next line that a reader says."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _WITHIN_S)
    if not line:
        raise SystemExit("a reader failed, see above")
    return line


@asynccontextmanager
async def reader(
    which: str, core: int, kafka: Kafka, records: int, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.pipeline_readers"),
        *(which, str(core), kafka.bootstrap, str(records), folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def stock_data(folder: Path) -> AsyncIterator[None]:
    """Answers where the readers look for it."""

    def register(server: grpc.aio.Server) -> None:
        add_StockDataServicer_to_server(pipeline_records.StockDataStandIn(), server)

    async with serve(f"unix:{folder}/stock_data", "stock_data", register, token=None):
        yield


async def fill(kafka: Kafka, records: Sequence[Record]) -> None:
    """Publishes everything, in batches as large as the feed's at full rate may get."""
    producer = await kafka.producer(bulk=True)
    builders: dict[int, BatchBuilder] = {}
    for record in records:
        partition = partition_of(record.symbol, kafka.partitions(TICKS))
        builder = builders.get(partition) or builders.setdefault(partition, producer.create_batch())
        key, value = record.symbol.encode(), encode(record)
        if builder.append(timestamp=None, key=key, value=value) is None:
            await producer.send_batch(builder, TICKS.name, partition=partition)
            builder = builders[partition] = producer.create_batch()
            builder.append(timestamp=None, key=key, value=value)
    for partition, builder in builders.items():
        await producer.send_batch(builder, TICKS.name, partition=partition)
    await producer.stop()
    if sum((await kafka.ends(TICKS)).values()) != len(records) or any((await kafka.beginnings(TICKS)).values()):
        raise SystemExit(f"the broker does not keep {len(records):,} records: ask for less")


async def add_rules(folder: Path, records: Sequence[Record]) -> None:
    """Rules of every kind, the same number for each symbol, around the prices that it will have: some fire."""
    prices: dict[str, tuple[float, float]] = {}
    for record in records:
        if isinstance(record, Tick):
            low, high = prices.get(record.symbol, (record.price, record.price))
            prices[record.symbol] = (min(low, record.price), max(high, record.price))
    rng = random.Random(11)
    symbols = sorted(prices)
    async with migrated(settings_of(folder, None)) as database:
        user_id = await add_user(database)
        async with database.transaction() as session:
            for number in range(RULES):
                symbol = symbols[number % len(symbols)]
                low, high = prices[symbol]
                threshold = round(rng.uniform(0.7 * low, 1.3 * high), 2)
                wish = draft(rng.choice(_KINDS), threshold, every_time=rng.random() < 0.25, symbol=symbol)
                await alerts.add_alert(
                    session, user_id, str(uuid.UUID(int=rng.getrandbits(128))), wish, symbol, CREATED
                )


def table(title: str, load: Load, found: dict[str, Result]) -> str:
    lines = [
        f"{title} ({load.records:,} records, {load.ticks:,} of them ticks)",
        "reader                    records/s    ticks/s  of alone   ticks/CPU-s   CPU-s  made               RSS",
    ]
    base = found["alone"]
    for which, each in found.items():
        made = f"{each.made:,} {MADE[which]}" if which in MADE else "-"
        lines.append(
            f"{TITLES[which]:<24}  {load.records / each.wall_s:>9,.0f}  {load.ticks / each.wall_s:>9,.0f}"
            f"  {100 * base.wall_s / each.wall_s:>6.1f} %  {load.ticks / each.cpu_s:>12,.0f}  {each.cpu_s:>6.2f}"
            f"  {made:<14}  {each.rss / 2**20:>4.0f} MB"
        )
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Pipeline, ticks per second through each reader of topic ticks")
    arguments.add_argument("--records", type=int, default=200_000, help="of topic ticks, in each scenario")
    wish, _ = arguments.parse_known_args()  # `make bench` hands its ARGS to every benchmark
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this needs two cores: one for the reader alone, one for the broker")
    os.sched_setaffinity(0, {cores[1]})  # before the broker starts its threads, which inherit it
    print(f"{machine(*_PACKAGES)}, SQLite {sqlite3.sqlite_version}")
    print(f"target of prediction and of alerts: {TARGET:,} ticks/s on one core", flush=True)
    for title, make in SCENARIOS.items():
        records = make(wish.records)
        load = Load(len(records), sum(isinstance(record, Tick) for record in records))
        print(f"\n{table(title, load, asyncio.run(run(records, cores[0])))}", flush=True)


if __name__ == "__main__":
    main()
