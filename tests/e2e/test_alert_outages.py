"""PostgreSQL or Kafka away for ten seconds under 1,000 ticks/s: the users service goes on, and nothing shows."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.alert_house import OURS, alert_house
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import Server

pytestmark = [pytest.mark.apache_kafka, pytest.mark.slow, pytest.mark.timeout(300)]
_AWAY_S = 10.0
_BETWEEN = 3_000  # records

Outage = Callable[[Server], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(server: Server) -> AsyncIterator[None]:
    """An orderly end, and nobody listens: every connection breaks, every new one is refused."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def frozen(server: Server) -> AsyncIterator[None]:
    """SIGSTOP: connections stay and nothing answers."""
    processes = [found := psutil.Process(server.pid), *found.children(recursive=True)]
    for each in processes:
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(processes):
            each.send_signal(signal.SIGCONT)


async def goes_on(folder: Path, kafka: KafkaServer, postgres: PostgresServer, away: Server, how: list[Outage]) -> None:
    """One process lives through it all, and what it has stored and published is what it always would have."""
    async with alert_house(folder, kafka.bootstrap, postgres) as house, house.office("troubled") as office:
        with office.process("only") as running:
            await running.says(OURS)
            async with house.load.flowing():
                await house.load.passes(_BETWEEN)
                for outage in how:
                    async with outage(away):
                        await asyncio.sleep(_AWAY_S)
                    await house.load.passes(_BETWEEN)
            await office.done(running, within_s=120)
            assert "Traceback" not in running.text()
        await house.bury()
        await house.check(office)


async def test_postgresql_away(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_server: PostgresServer, full: bool
) -> None:
    how: list[Outage] = [stopped, frozen] if full else [stopped]
    await goes_on(tmp_path, empty_apache_kafka, postgres_server, postgres_server, how)


async def test_kafka_away(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_server: PostgresServer, full: bool
) -> None:
    how: list[Outage] = [stopped, frozen] if full else [stopped]
    await goes_on(tmp_path, empty_apache_kafka, postgres_server, empty_apache_kafka, how)
