"""Several processes on one port: started, spread over, replaced when they die, ended together."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from services.gateway import workers
from services.gateway.config import Settings
from services.gateway.workers import Workers
from services.shared.errors import StartFailed
from services.shared.kafka import Kafka
from services.shared.topics import TOPICS
from tests.unit.gateway.serving import Run, on_both_loops, until

DOUBLE = str(Path(__file__).with_name("worker_double.py"))
CLUSTER = Kafka(
    bootstrap="127.0.0.1:9", embedded=True, log_id="this one", partitions={topic.name: 3 for topic in TOPICS}
)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(workers, "_FIRST_DELAY_S", 0.1)


def _workers(mode: str = "serve", count: int = 2, port: int = 0, metrics_port: int = 0) -> Workers:
    settings = Settings(
        _env_file=None,
        workers=count,
        port=port,
        redis_url="redis://localhost",
        drain_s=0,
        metrics_port=metrics_port,
        users_address="unix:/somewhere",
    )
    return Workers(settings, CLUSTER, command=(sys.executable, DOUBLE, mode))


def _children() -> list[psutil.Process]:
    """Without the servers that other tests keep running."""
    alive = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    return [child for child in alive if DOUBLE in child.cmdline()]


@asynccontextmanager
async def _running(several: Workers) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    running = asyncio.create_task(several.run(stop))
    try:
        await asyncio.wait_for(several.started.wait(), 20)
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)
    assert _children() == []


async def _who(several: Workers) -> int:
    """The process that answers; 0 where none does."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(several.url.rpartition(":")[2]))
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    except ConnectionError:
        return 0
    return int(answer or b"0")


@on_both_loops
def test_connections_spread_over_all_and_one_line_says_where(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def go() -> None:
        several = _workers(count=3)
        async with _running(several):
            answered = Counter([await _who(several) for _ in range(300)])
        assert len(answered) == 3
        assert min(answered.values()) > 50
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if not line.startswith("orders ")] == [f"listening on {several.url}"]

    run(go())


async def test_each_is_told_its_socket_its_cluster_and_what_its_parent_knows_better(
    capsys: pytest.CaptureFixture[str],
) -> None:
    several = _workers(metrics_port=9100)
    async with _running(several):
        pass
    told = [json.loads(line.removeprefix("orders ")) for line in capsys.readouterr().out.splitlines()[:2]]
    assert sorted(each["settings"].pop("metrics_port") for each in told) == [9101, 9102]
    for each in told:
        assert each["settings"] == {
            "port": int(several.url.rpartition(":")[2]),
            "stock_data_address": "dns:///127.0.0.1:50051",
            "prediction_address": "dns:///127.0.0.1:50052",
            "users_address": "unix:/somewhere",
        }
        assert Kafka(**each["cluster"]).bootstrap == "127.0.0.1:9"
        assert each["cluster"]["partitions"] == {topic.name: 3 for topic in TOPICS}


async def test_without_a_metrics_port_no_worker_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    async with _running(_workers(count=1)):
        pass
    told = json.loads(capsys.readouterr().out.splitlines()[0].removeprefix("orders "))
    assert told["settings"]["metrics_port"] == 0


@on_both_loops
def test_one_that_dies_is_replaced_and_the_other_serves_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_FIRST_DELAY_S", 0.5)

    async def go() -> None:
        several = _workers()
        async with _running(several):
            one, other = (child.pid for child in _children())
            os.kill(one, signal.SIGKILL)
            await until(lambda: not psutil.pid_exists(one))
            assert {await _who(several) for _ in range(20)} == {other}
            await until(lambda: len(_children()) == 2)
            while await _who(several) == other:
                pass

    run(go())


async def test_one_that_dies_again_and_again_is_started_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_LONGEST_DELAY_S", 0.3)
    several = _workers(count=1)
    async with _running(several):
        for times in range(1, 5):
            async with asyncio.timeout(20):
                while not (pid := await _who(several)):
                    pass
            os.kill(pid, signal.SIGKILL)
            await until(lambda times=times: len(caplog.messages) == times)  # type: ignore[misc]
    assert [message.rpartition(" in ")[2] for message in caplog.messages] == ["0.1 s", "0.2 s", "0.3 s", "0.3 s"]


@on_both_loops
def test_if_one_can_not_start_none_stays(run: Run) -> None:
    async def go() -> None:
        with pytest.raises(StartFailed, match="ended with code 3 before it served"):
            await asyncio.wait_for(_workers("die").run(asyncio.Event()), 20)
        assert _children() == []

    run(go())


async def test_one_that_does_not_stop_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_PATIENCE_S", 0.3)
    async with _running(_workers("deaf", count=1)):
        pass
    assert "does not stop within 0.3 s: killed" in caplog.text


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"^PORT: {port} is taken"):
            await _workers(port=port).run(asyncio.Event())


def test_workers_end_with_their_parent_however_it_ends() -> None:
    script = (
        "import asyncio; from tests.unit.gateway.test_workers import _workers;"
        "asyncio.run(_workers('deaf').run(asyncio.Event()))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        while not parent.stdout.readline().startswith(b"listening"):
            pass
        children = psutil.Process(parent.pid).children()
        assert len(children) == 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
