"""The door put together, on the embedded broker and a real port, with nobody behind it yet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from services.gateway.app import Gateway, build
from services.gateway.config import Settings
from services.gateway.reader import Reader, Take
from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import StartFailed
from services.shared.kafka import Kafka


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.app._WAIT_FOR_ROOMS_S", 0.1)


def _settings(folder: Path, port: int = 0) -> Settings:
    return Settings(
        _env_file=None,
        port=port,
        stock_data_address=f"unix:{folder}/stock_data",
        prediction_address=f"unix:{folder}/prediction",
        users_address=f"unix:{folder}/users",
    )


@asynccontextmanager
async def _running(folder: Path, kafka: Kafka) -> AsyncIterator[Gateway]:
    gateway, stop = build(_settings(folder), kafka), asyncio.Event()
    running = asyncio.create_task(gateway.run(stop))
    try:
        await asyncio.wait_for(gateway.started.wait(), 10)
        yield gateway
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)


async def test_it_serves_before_the_rooms_behind_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with embedded_kafka() as kafka, _running(tmp_path, kafka) as gateway, httpx.AsyncClient() as client:
        assert capsys.readouterr().out == f"listening on {gateway.url}\n"
        assert (await client.get(f"{gateway.url}/health")).json() == {"status": "healthy"}
        ready = await client.get(f"{gateway.url}/health/ready")
        assert ready.status_code == 503
        assert ready.json()["dependencies"] == {
            "kafka": "ready",
            "stock_data": "not_ready",
            "prediction": "not_ready",
            "users": "not_ready",
            "logins": "not_ready",
        }
        away = await client.get(f"{gateway.url}/predict/AAPL", headers={"X-Request-ID": "mine"})
        assert (away.status_code, away.json()["code"]) == (503, "unavailable")
        assert away.json()["request_id"] == away.headers["x-request-id"] == "mine"


async def test_it_documents_all_that_it_serves(tmp_path: Path) -> None:
    async with embedded_kafka() as kafka, _running(tmp_path, kafka) as gateway, httpx.AsyncClient() as client:
        documented = (await client.get(f"{gateway.url}/openapi.json")).json()
        rooms = (await client.get(f"{gateway.url}/asyncapi")).json()
        assert [str(error) for error in OpenAPIV31SpecValidator(documented).iter_errors()] == []
        streams = documented["paths"]["/api/v1/stream"]["get"]["responses"]["200"]["content"]
        assert list(streams) == ["text/event-stream"]
        assert rooms["servers"]["gateway"]["host"] == gateway.url.removeprefix("http://")
        for path, methods in documented["paths"].items():
            offered = await client.options(gateway.url + path.replace("{", "").replace("}", ""))
            allowed = set(offered.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"}
            assert allowed == {method.upper() for method in methods}


async def test_where_records_were_lost_clients_are_sent_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Fragile(Reader):
        def __init__(
            self, kafka: Kafka, offsets: Mapping[tuple[str, int], int], take: Take, lost: Callable[[], None]
        ) -> None:
            super().__init__(kafka, offsets, take, lost)
            losing.append(lost)

    losing: list[Callable[[], None]] = []
    monkeypatch.setattr("services.gateway.fanout.Reader", _Fragile)
    async with embedded_kafka() as kafka, _running(tmp_path, kafka) as gateway:
        url = f"ws{gateway.url.removeprefix('http')}/websocket/stocks/all"
        async with connect(url, proxy=None, subprotocols=[Subprotocol("tickroom.v1")]) as client:
            losing[0]()
            await asyncio.wait_for(client.wait_closed(), 10)
            assert client.close_code == 4502
            assert (client.close_reason or "").startswith("position_lost retry_after_ms=")
        assert len(losing) == 2
        async with connect(url, proxy=None):
            pass


async def test_what_is_not_read_of_a_body_does_not_hold_the_answer_up(tmp_path: Path) -> None:
    async with embedded_kafka() as kafka, _running(tmp_path, kafka) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /api/users/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 415 Unsupported Media Type\r\n"
        writer.close()
        await writer.wait_closed()


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    async with embedded_kafka() as kafka, _running(tmp_path, kafka) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        with pytest.raises(StartFailed, match=f"PORT: {port} is taken"):
            await build(_settings(tmp_path, port), kafka).run(asyncio.Event())


async def test_a_stop_that_came_before_the_start_is_heard(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    async with embedded_kafka() as kafka:
        await asyncio.wait_for(build(_settings(tmp_path), kafka).run(stop), 10)
