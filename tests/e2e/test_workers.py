"""`WORKERS=2 make run`: two gateways on one port that say the same, and outlive one another."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.e2e.house import embedded, four, process, room
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_ports

ROOM = "/websocket/stocks/all"


def _process_of(client: ClientConnection, pids: list[int]) -> int:
    """Which of the processes holds the other end."""
    here = client.local_address[1]
    for pid in pids:
        for each in psutil.Process(pid).net_connections("tcp"):
            if each.raddr and each.raddr.port == here:
                return pid
    raise AssertionError("nobody holds it")


async def _texts(client: ClientConnection, count: int) -> list[str]:
    async with asyncio.timeout(30):
        return [str(await client.recv()) for _ in range(count)]


async def _prices(client: ClientConnection, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += [text for text in await _texts(client, 1) if '"price":' in text and '"AAPL"' in text]
    return found


async def test_two_gateways_on_one_port_say_the_same_and_one_can_die(tmp_path: Path, redis_url: str) -> None:
    metrics = free_ports(3)
    several = {"WORKERS": "2", "REDIS_URL": redis_url, "METRICS_PORT": str(metrics)}
    async with embedded(tmp_path, REPLAY_RATE="50", **several) as (running, base), AsyncExitStack() as visits:
        assert running.text().count("listening on") == 1
        gateways = [child.pid for child in psutil.Process(running.handle.pid).children()]
        assert len(gateways) == 2
        sockets: dict[int, ClientConnection] = {}
        while len(sockets) < 2:
            client = await visits.enter_async_context(room(base, ROOM))
            sockets.setdefault(_process_of(client, gateways), client)
        one, other = await asyncio.gather(*(_prices(client, 60) for client in sockets.values()))
        begin = other.index(one[20])
        assert other[begin : begin + 20] == one[20:40]

        killed, spared = sockets
        os.kill(killed, signal.SIGKILL)
        await running.says(f"gateway process {killed} ended with code -9")
        while True:
            try:
                await _texts(sockets[killed], 1)
            except ConnectionClosed:
                break
        await _texts(sockets[spared], 50)
        async with asyncio.timeout(30):
            while len(psutil.Process(running.handle.pid).children()) < 2:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        async with httpx.AsyncClient(trust_env=False) as http:
            own = await http.get(f"http://127.0.0.1:{metrics}/metrics")
            assert "gateway_worker_restarts_total 1.0" in own.text
            for number in (1, 2):
                asked = await _patiently(http, f"http://127.0.0.1:{metrics + number}/metrics")
                assert "gateway_updates_total" in asked
        left = psutil.Process(running.handle.pid).children()
        assert running.terminate() < 10
        assert running.handle.returncode == 0
        with_goodbye = await asyncio.gather(_texts(sockets[spared], 10_000), return_exceptions=True)
        assert isinstance(with_goodbye[0], ConnectionClosed)
        assert with_goodbye[0].rcvd is not None
        assert with_goodbye[0].rcvd.code == 4503
        assert [child for child in left if child.is_running()] == []


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_service_alone_has_several_processes_too_and_takes_them_along(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_url: str, redis_url: str
) -> None:
    settings = {"WORKERS": "3", "REPLAY_RATE": "50"}
    async with four(tmp_path, empty_apache_kafka, postgres_url, redis_url, **settings) as (houses, running):
        gateway = running["gateway"]
        processes = psutil.Process(gateway.handle.pid).children()
        assert len(processes) == 3
        async with AsyncExitStack() as visits:
            sockets: dict[int, ClientConnection] = {}
            while len(sockets) < 3:
                client = await visits.enter_async_context(room(houses.base, ROOM))
                sockets.setdefault(_process_of(client, [each.pid for each in processes]), client)
            one, *others = await asyncio.gather(*(_prices(client, 60) for client in sockets.values()))
            for other in others:
                begin = other.index(one[20])
                assert other[begin : begin + 20] == one[20:40]
        assert gateway.terminate() < 10
        assert gateway.handle.returncode == 0
        assert [each for each in processes if each.is_running()] == []


async def _patiently(http: httpx.AsyncClient, url: str) -> str:
    async with asyncio.timeout(30):
        while True:
            try:
                return (await http.get(url)).text
            except httpx.ConnectError:
                await asyncio.sleep(0.1)


async def test_several_gateways_need_a_place_to_count_together(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process("services", log, {"WORKERS": "2", "DATA_DIR": str(tmp_path), "PORT": "0"}) as running:
        assert await asyncio.to_thread(running.handle.wait, 30) == 1
    assert running.text().strip() == (
        "tickroom: REDIS_URL is required with WORKERS=2: gateways count requests and connections there"
    )
