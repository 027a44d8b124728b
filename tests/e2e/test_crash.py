"""Killed in the middle of 20,000 ticks at full rate: signals and firings are those of an uninterrupted run."""

import asyncio
import contextlib
import csv
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from websockets.exceptions import ConnectionClosed

from services.shared.calendars import close_time, open_time
from services.shared.kafka import connect
from services.shared.topics import ALERTS, READERS_WITH_STATE, SIGNALS, TICKS
from tests.e2e.house import Four, Person, Process, embedded, four, frames, login, register, room
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

REPLAY = {
    "REPLAY_START": "2003-01-02",
    "REPLAY_RATE": "max",
    "REPLAY_LOOP": "false",
    "REGISTRATIONS_PER_HOUR": "0",
    "LOGIN_ATTEMPTS_PER_MINUTE": "0",
}
NOT_YET = {"REPLAY_DELAY_S": "3600"}
AT_ONCE = {"REPLAY_DELAY_S": "0"}
TICKS_IN_ALL = 20_038
LAST_DAY = "2013-03-01"
RULES: list[tuple[str, str, float, dict[str, Any]]] = [
    *[("AAPL", kind, level, {"trigger": "every_time"}) for kind in ("crossing_up", "crossing_down")
      for level in (40.0, 90.0, 150.0, 300.0, 500.0)],
    *[("GOOG", "crossing", level, {"trigger": "every_time", "cooldown_s": 86_400}) for level in (300.0, 450.0, 600.0)],
    *[("IBM", kind, 100.0, {"trigger": "every_time", "hysteresis_pct": 2.0}) for kind in ("greater_than", "less_than")],
    *[("MSFT", "crossing", float(level), {"trigger": "every_time"}) for level in range(20, 36)],
    ("FB", "less_than", 20.0, {}),
    ("AAPL", "greater_than", 700.0, {}),
]  # fmt: skip

Firing = tuple[str, str, float, float, str]


@dataclass
class Outcome:
    firings: list[Firing]
    signals: dict[tuple[str, int], str]


async def make_rules(person: Person) -> None:
    """Every rule is active before the first tick, so that every run counts from the same one."""
    await asyncio.gather(*(person.alert(symbol, kind, level, **more) for symbol, kind, level, more in RULES))
    await all_active(person)


async def all_active(person: Person, first: str = REPLAY["REPLAY_START"]) -> None:
    """Waits for it; fails where a tick came before."""
    async with httpx.AsyncClient(base_url=person.base, trust_env=False, headers=person.headers) as http:
        async with asyncio.timeout(10):
            while {each["status"] for each in (await http.get("/api/v1/alerts")).json()["items"]} != {"active"}:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        assert max(each["last"] or "" for each in (await http.get("/tickers")).json()["items"]) < first


async def reached(base: str, day: str, within_s: float = 120.0) -> None:
    """Waits until bars of `day` are stored: then its ticks are on their way."""
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=10) as http, asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                reply = await http.get("/tickers")
                if reply.status_code == 200 and any((each["last"] or "") >= day for each in reply.json()["items"]):
                    return
            await asyncio.sleep(0.02)


async def firings(person: Person) -> list[Firing]:
    """All notifications, once nothing more has come for a while. Each id must be one firing."""
    async with person.notifications() as socket:
        told = await frames(socket, quiet_s=3.0)
    alerts = [each for each in told if each["type"] == "alert_triggered"]
    by_id = {each["id"]: each for each in alerts}
    return sorted(
        (each["symbol"], each["condition"], each["threshold"], each["price"], each["timestamp"])
        for each in by_id.values()
    )


class Watcher:
    """A plain client of every symbol: what it gets must come once and in order."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.received: list[dict[str, Any]] = []

    async def watch(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async with room(self._base, "/websocket/stocks/all") as socket:
                async for text in socket:
                    self.received.append(json.loads(text))

    def check(self, *, to_the_end: bool = True) -> None:
        for kind in ("stock_price_update", "prediction_update"):
            for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
                times = [
                    each["timestamp"] for each in self.received if (each["type"], each["symbol"]) == (kind, symbol)
                ]
                assert times == sorted(set(times)), (kind, symbol)
                if to_the_end:
                    assert times[-1].startswith(LAST_DAY), (kind, symbol, times[-1])


# -- embedded: the whole process is killed -----------------------------------------------------------------------------


async def play_embedded(folder: Path, kill_at: str | None) -> list[Firing]:
    async with embedded(folder, **REPLAY, **NOT_YET) as (_, base):
        await make_rules(await register(base))
    if kill_at is not None:
        async with embedded(folder, **REPLAY) as (running, base):
            await reached(base, kill_at)
            running.kill()
    async with embedded(folder, **REPLAY) as (_, base):
        watcher = Watcher(base)
        watching = asyncio.create_task(watcher.watch())
        await reached(base, LAST_DAY)
        told = await firings(await login(base))
        watching.cancel()
    watcher.check()
    return told


async def test_the_whole_process_killed_goes_on_to_the_same_firings(tmp_path: Path, full: bool) -> None:
    told = {}
    for kill_at in (None, "2003-06-02", "2007-07-02") if full else (None, "2007-07-02"):
        (folder := tmp_path / str(kill_at)).mkdir()
        told[kill_at] = await play_embedded(folder, kill_at)
    assert len(told[None]) > 150
    for kill_at in told:
        assert told[kill_at] == told[None], kill_at


# -- four processes on Apache Kafka, PostgreSQL, Redis: one of them is killed ------------------------------------------


async def signals_of(bootstrap: str) -> dict[tuple[str, int], str]:
    """Every signal on the topic by its cause, without the epoch. One that stands there twice must say the same."""
    kafka = await connect(bootstrap, 30)
    ends = await kafka.ends(SIGNALS)
    await kafka.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(SIGNALS.name, number) for number in ends])
    found: dict[tuple[str, int], str] = {}
    left = sum(ends.values())
    while left > 0:
        for records in (await asyncio.wait_for(consumer.getmany(timeout_ms=1000), 20)).values():
            left -= len(records)
            for record in records:
                signal = json.loads(record.value or b"")
                del signal["epoch"]
                text = json.dumps(signal)
                assert found.setdefault((signal["symbol"], signal["seq"]), text) == text
    await consumer.stop()
    return found


def begin_to_replay(houses: Four, waiting: Process) -> Process:
    """However long the rest took: a stock_data service that starts its prices now."""
    waiting.kill()
    return houses.start("stock_data", **AT_ONCE)


async def play(
    folder: Path, kafka: KafkaServer, postgres: PostgresServer, redis: RedisServer, kills: Mapping[str, str]
) -> Outcome:
    """kills: services, each by the day on which it is killed, in order; the gateway comes last."""
    kafka.empty()
    redis.empty()
    name = "_".join(["crash", *kills])
    folder = folder / name
    folder.mkdir()
    async with four(folder, kafka, postgres.create_database(name), redis.url, **REPLAY, **NOT_YET) as (houses, running):
        ada = await register(houses.base)
        await make_rules(ada)
        running["stock_data"] = begin_to_replay(houses, running["stock_data"])
        watcher = Watcher(houses.base)
        watching = asyncio.create_task(watcher.watch())
        for kill, day in kills.items():
            await reached(houses.base, day)
            running[kill].kill()
            await asyncio.sleep(1.0)
            houses.start(kill, **AT_ONCE)
        await reached(houses.base, LAST_DAY)
        await worked_off(kafka.bootstrap)
        told = await firings(ada if "gateway" not in kills else await login(houses.base))
        signals = await signals_of(kafka.bootstrap)
        watching.cancel()
        watcher.check(to_the_end="gateway" not in kills)
    postgres.drop_database(name)
    return Outcome(told, signals)


async def taken_over(bootstrap: str) -> float:
    """Waits until every partition of ticks was worked through to where it stands now; the seconds it took."""
    kafka = await connect(bootstrap, 30)
    try:
        began = time.monotonic()
        ends = await kafka.ends(TICKS)
        async with asyncio.timeout(30):
            while any((offset or 0) < ends[number] for number, offset in (await kafka.committed(ALERTS)).items()):  # noqa: ASYNC110 (Kafka tells nobody)
                await asyncio.sleep(0.1)
    finally:
        await kafka.close()
    return time.monotonic() - began


async def worked_off(bootstrap: str, least: int = TICKS_IN_ALL) -> None:
    """Waits until both readers with state have worked through all ticks."""
    kafka = await connect(bootstrap, 30)
    async with asyncio.timeout(60):
        for reader in READERS_WITH_STATE:
            while set((await kafka.lag(reader)).values()) != {0}:  # noqa: ASYNC110 (Kafka tells nobody)
                await asyncio.sleep(0.1)
    total = sum((await kafka.ends(TICKS)).values())
    await kafka.close()
    assert total >= least


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_any_service_killed_leaves_the_same_signals_and_firings(
    tmp_path: Path, apache_kafka: KafkaServer, postgres_server: PostgresServer, redis_server: RedisServer, full: bool
) -> None:
    whole = await play(tmp_path, apache_kafka, postgres_server, redis_server, {})
    assert len(whole.firings) > 150
    assert Counter(symbol for symbol, _ in whole.signals) == {
        "AAPL": 2558,
        "IBM": 2558,
        "MSFT": 2558,
        "GOOG": 2148,
        "FB": 196,
    }
    one_after_the_other = {
        "users": "2004-01-02",
        "prediction": "2006-01-03",
        "stock_data": "2008-01-02",
        "gateway": "2010-01-04",
    }
    for kills in [one_after_the_other] + ([{name: "2006-01-03"} for name in one_after_the_other] if full else []):
        killed = await play(tmp_path, apache_kafka, postgres_server, redis_server, kills)
        assert killed.firings == whole.firings, kills
        assert killed.signals == whole.signals, kills


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_users_workers_share_the_symbols_and_one_goes_on_for_both(
    tmp_path: Path,
    empty_apache_kafka: KafkaServer,
    postgres_url: str,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = empty_apache_kafka.bootstrap
    slower = {**REPLAY, "REPLAY_RATE": "500", "REPLAY_START": "2012-06-01", **NOT_YET}
    async with four(tmp_path, empty_apache_kafka, postgres_url, redis_url, **slower) as (houses, running):
        second = houses.start("users", "2", USERS_ROLE="worker")
        await second.says(r"8 partitions")
        ada = await register(houses.base)
        rules = [("AAPL", 600.0), ("IBM", 195.0), ("MSFT", 30.0), ("GOOG", 650.0), ("FB", 25.0)]
        for symbol, level in rules:
            await ada.alert(symbol, "crossing", level, trigger="every_time")
        await all_active(ada, "2012-06-01")
        begin_to_replay(houses, running["stock_data"])
        await reached(houses.base, "2012-08-01")
        second.kill()
        took = await taken_over(kafka)
        await reached(houses.base, LAST_DAY)
        await worked_off(kafka, least=1)
        told = await firings(ada)
    with capsys.disabled():
        print(f"\nthe partitions of a killed worker were worked on again after {took:.1f} s")
    expected = sorted(crossings(rules, since="2012-06-01"))
    assert [(symbol, price, when) for symbol, _, _, price, when in told] == expected


def crossings(rules: list[tuple[str, float]], since: str) -> Iterator[tuple[str, float, str]]:
    """Where the bundled prices cross each level, by the file alone. `since` has the first price: it sets the side."""
    levels = dict(rules)
    last: dict[str, float] = {}
    with gzip.open(resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz", "rt") as file:  # type: ignore[call-overload]  # a path on disk
        for row in csv.DictReader(file):
            day, symbol = date.fromisoformat(row["Date"]), row["Ticker"]
            if row["Date"] < since:
                continue
            for price, at in ((float(row["Open"]), open_time(day)), (float(row["Close"]), close_time(day))):
                before, last[symbol] = last.get(symbol, price), price
                if before < levels[symbol] <= price or before > levels[symbol] >= price:
                    yield symbol, price, at.strftime("%Y-%m-%dT%H:%M:%SZ")
