"""What `make run` promises: real prices, then signals, an account, one alert, and an orderly end."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.house import ROOT, Process, embedded, frames, login, process, register, room

PRICE_KEYS = ["type", "symbol", "price", "timestamp"]
SIGNAL_KEYS = ["type", "symbol", "prediction", "timestamp"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Process, str]]:
    async with embedded(tmp_path, REPLAY_RATE="100", REPLAY_DELAY_S="1") as running:
        yield running


async def test_a_room_carries_real_prices_then_signals_in_the_exact_plain_form(house: tuple[Process, str]) -> None:
    running, base = house
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        health = await http.get("/health")
    assert health.json() == {"status": "healthy"}
    async with room(base, "/websocket/stock/aapl") as lower, room(base, "/websocket/stock/AAPL") as upper:
        texts: list[str] = []
        async with asyncio.timeout(60):  # on a busy machine the models are ready long after the first prices
            while len(texts) < 60 or not any('"prediction_update"' in text for text in texts):
                texts.append(str(await lower.recv()))
        same = [str(await asyncio.wait_for(upper.recv(), 20)) for _ in range(60)]
    assert set(texts) & set(same)
    received = [json.loads(text) for text in texts]
    prices = [each for each in received if each["type"] == "stock_price_update"]
    signals = [each for each in received if each["type"] == "prediction_update"]
    assert [json.dumps(each, separators=(",", ":")) for each in received] == texts
    assert all(list(each) == PRICE_KEYS and each["symbol"] == "AAPL" for each in prices)
    assert all(list(each) == SIGNAL_KEYS and each["prediction"] in {"buy", "sell", "hold"} for each in signals)
    # the bundled file's own numbers: AAPL opened at 569.16 and closed at 560.99 on 2012-06-01
    known = {"2012-06-01T13:30:00Z": 569.16, "2012-06-01T20:00:00Z": 560.99, "2012-06-04T13:30:00Z": 561.50}
    assert known.items() <= {each["timestamp"]: each["price"] for each in prices}.items()
    assert signals[0]["timestamp"] == "2012-06-01T20:00:00Z"
    for kind in (prices, signals):
        times = [each["timestamp"] for each in kind]
        assert times == sorted(set(times))
    assert running.handle.poll() is None


async def test_an_unknown_symbol_is_refused_in_the_way_its_client_understands(house: tuple[Process, str]) -> None:
    _, base = house
    with pytest.raises(InvalidStatus) as refused:
        async with room(base, "/websocket/stock/NOPE"):
            pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["code"]
    url = base.replace("http", "ws", 1) + "/websocket/stock/NOPE"
    async with connect(url, origin=base, proxy=None) as socket:  # type: ignore[arg-type]  # any text is an origin
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert socket.close_code == 4404


async def test_a_person_gets_the_one_alert_they_asked_for(house: tuple[Process, str]) -> None:
    _, base = house
    ada = await register(base)
    created = await ada.alert("AAPL", "greater_than", 600.0, message="over 600")
    assert created["status"] == "active"
    async with ada.notifications() as socket:
        told = json.loads(await asyncio.wait_for(socket.recv(), 30))
        more = await frames(socket, quiet_s=1.0)
    assert list(told) == [
        *("type", "id", "alert_id", "symbol", "condition", "threshold", "price", "message", "timestamp"),
    ]
    assert {key: told[key] for key in ("type", "alert_id", "symbol", "condition", "threshold", "message")} == {
        "type": "alert_triggered",
        "alert_id": created["id"],
        "symbol": "AAPL",
        "condition": "greater_than",
        "threshold": 600.0,
        "message": "over 600",
    }
    assert told["price"] > 600.0
    assert more == []
    again = await login(base)
    async with again.notifications() as socket:
        assert await frames(socket, quiet_s=0.5) == [told]  # not marked as read yet
        await socket.send(json.dumps({"type": "ack", "notification_ids": [told["id"]]}))
        await asyncio.sleep(0.3)
    async with again.notifications() as socket:
        assert await frames(socket, quiet_s=0.5) == []
    stranger = await register(base, "grace@example.org")
    stranger.user_id = ada.user_id
    with pytest.raises(InvalidStatus) as refused:
        async with stranger.notifications():
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_in_time_and_without_a_traceback(house: tuple[Process, str], number: int) -> None:
    running, base = house
    async with room(base, "/websocket/stocks/all") as socket:
        await asyncio.wait_for(socket.recv(), 20)
        took = await asyncio.to_thread(running.terminate, number)
    assert took < 3.0
    assert running.handle.returncode == 0
    assert "Traceback" not in running.text()
    assert "ERROR" not in running.text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"PORT": "abc"}, "tickroom: PORT: "),
        ({"FEED": "csv:/nowhere.csv"}, "tickroom: FEED: "),
        ({"REPLAY_RATE": "fast"}, "tickroom: REPLAY_RATE: "),
        ({"LOG_LEVEL": "loud"}, "tickroom: LOG_LEVEL: "),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "INTERNAL_TOKEN": "t" * 32, "SECRET_KEY": "s" * 32,
          "START_TIMEOUT_S": "1"}, "tickroom: KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at 127.0.0.1:1"),
        ({"DATABASE_URL": "postgresql://u:pass-word@127.0.0.1:1", "START_TIMEOUT_S": "1"}, "tickroom: DATABASE_URL: "),
        ({"REDIS_URL": "redis://:pass-word@127.0.0.1:1/0", "START_TIMEOUT_S": "1"}, "tickroom: REDIS_URL: "),
    ],
)  # fmt: skip
async def test_what_can_not_start_says_why_in_one_line(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    log = tmp_path / "log"
    with process("services", log, {"DATA_DIR": str(tmp_path / "data"), "PORT": "0", **settings}) as running:
        await asyncio.to_thread(running.handle.wait, 30)
    assert running.handle.returncode == 1
    lines = [line for line in running.text().splitlines() if line.startswith("tickroom: ")]
    assert len(lines) == 1
    assert lines[0].startswith(says)
    assert "Traceback" not in running.text()
    assert "pass-word" not in running.text()


async def test_a_taken_port_and_a_taken_folder_are_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with process("services", tmp_path / "log", {"DATA_DIR": str(tmp_path / "a"), "PORT": port}) as running:
            await asyncio.to_thread(running.handle.wait, 30)
    assert running.handle.returncode == 1
    assert f"tickroom: PORT: {port} is taken on 127.0.0.1" in running.text()
    async with embedded(tmp_path):
        environment = {"DATA_DIR": str(tmp_path / "data"), "PORT": "0"}
        with process("services", tmp_path / "second.log", environment) as second:
            await asyncio.to_thread(second.handle.wait, 30)
    assert second.handle.returncode == 1
    assert "tickroom: DATA_DIR: another Tickroom is running in" in second.text()


def test_a_room_alone_needs_kafka() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.users"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tickroom: KAFKA_BOOTSTRAP_SERVERS is required")
