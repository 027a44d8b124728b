"""The test servers themselves: what the fixtures promise to every other test."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from services.shared.kafka import Kafka
from services.shared.topics import TICKS, TOPICS
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailed
from tests.servers.redis import RedisServer


@pytest.mark.parametrize("round_", [1, 2])
async def test_every_test_gets_an_empty_database(postgres_url: str, round_: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE TABLE left_behind (id int)")
        assert await connection.fetchval("SELECT count(*) FROM left_behind") == 0
    finally:
        await connection.close()


def test_a_server_that_ended_by_itself_is_told_of_with_its_last_words() -> None:
    with RedisServer() as server:
        server.check()
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ServerFailed, match=r"^redis has ended with code -9:\n.*\S"):
            server.check()


async def test_postgres_keeps_its_data_over_a_stop_and_a_kill() -> None:
    with PostgresServer() as server:
        url = server.create_database("kept")
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS value; CHECKPOINT")
        await connection.close()
        server.stop()
        server.start()
        server.kill()
        server.start()
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT value FROM kept") == 7
        await connection.close()


async def test_the_database_url_is_none_or_postgresql(database_url: str | None) -> None:
    assert database_url is None or database_url.startswith("postgresql://")


@pytest.mark.parametrize("round_", [1, 2])
async def test_every_test_gets_an_empty_redis(redis_url: str, round_: int) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left_behind", round_)


@pytest.mark.parametrize("round_", [1, 2])
async def test_every_test_gets_empty_topics(kafka_cluster: Kafka, round_: int) -> None:
    for topic in TOPICS:
        assert set((await kafka_cluster.ends(topic)).values()) == {0}
    producer = await kafka_cluster.producer()
    await producer.send_and_wait(TICKS.name, b"left behind", partition=round_)
    await producer.stop()
    consumer = AIOKafkaConsumer(
        TICKS.name, bootstrap_servers=kafka_cluster.bootstrap, group_id="left-behind", auto_offset_reset="earliest"
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.commit()
    await consumer.stop()
    assert (record.partition, record.offset, record.value) == (round_, 0, b"left behind")


@pytest.mark.apache_kafka
async def test_apache_kafka_keeps_its_data_over_a_stop(empty_apache_kafka: KafkaServer) -> None:
    from services.shared.kafka import connect

    before = await connect(empty_apache_kafka.bootstrap, timeout_s=30.0)
    producer = await before.producer()
    await producer.send_and_wait(TICKS.name, b"kept", partition=0)
    await producer.stop()
    await before.close()
    empty_apache_kafka.stop()
    empty_apache_kafka.start()
    after = await connect(empty_apache_kafka.bootstrap, timeout_s=30.0)
    assert (await after.ends(TICKS))[0] == 1
    assert after.log_id == before.log_id
    await after.close()


def test_a_server_ends_with_the_tests_that_started_it_however_they_end(tmp_path: Path) -> None:
    script = (
        "import os, time; from tests.servers.redis import RedisServer;"
        "print(RedisServer().start().pid, flush=True); time.sleep(60)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # for what is left of the server then: its folder
    tests = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert tests.stdout is not None
    server = psutil.Process(int(tests.stdout.readline()))
    os.kill(tests.pid, signal.SIGKILL)
    tests.wait()
    tests.stdout.close()
    assert server.wait(timeout=10) is None
    assert not server.is_running()


def test_a_server_that_does_not_start_says_its_last_words() -> None:
    with RedisServer() as running:
        second = RedisServer()
        second.port = running.port
        second.answers = lambda: False  # type: ignore[method-assign]  # else the first one answers for it
        with pytest.raises(ServerFailed, match=r"redis did not start:[^$]*Address already in use"):
            second.start()
        second.close()


def test_a_closed_server_leaves_nothing_behind() -> None:
    server = RedisServer().start()
    process = psutil.Process(server.pid)
    children = len(psutil.Process().children())
    server.close()
    assert not process.is_running()
    assert not server.folder.exists()
    assert len(psutil.Process().children()) == children - 2  # the server and its guard


def test_apache_kafka_needs_java(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.servers import kafka

    monkeypatch.setattr(kafka, "_java_version", lambda: 0)
    assert kafka.missing() == "java is not installed"
    monkeypatch.setattr(kafka, "_java_version", lambda: 11)
    assert kafka.missing() == "java 11 is too old, 17 or newer is needed"
    with pytest.raises(ServerFailed, match="java 11 is too old"):
        KafkaServer()
