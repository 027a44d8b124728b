"""Tickroom as its users start it: processes, HTTP and WebSocket, nothing from inside."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("stock_data", "prediction", "users", "gateway")
PASSWORD = "correct horse battery staple"
_KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass
class Process:
    """One started process. Its log grows in `log`."""

    name: str
    handle: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        self.handle.kill()
        self.handle.wait(10)

    def terminate(self, number: int = signal.SIGTERM) -> float:
        """Asks it to end; the seconds it took. Fails after 10 s."""
        began = time.monotonic()
        self.handle.send_signal(number)
        self.handle.wait(10)
        return time.monotonic() - began

    async def says(self, pattern: str, within_s: float = 60.0) -> re.Match[str]:
        """Waits for a line in its log; fails where the process ends before."""
        deadline = time.monotonic() + within_s
        while True:
            if found := re.search(pattern, self.text()):
                return found
            code = self.handle.poll()
            if code is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} (exit code {code}) never said {pattern!r}:\n{self.text()[-4000:]}")
            await asyncio.sleep(0.02)


@contextmanager
def process(module: str, log: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    """Runs `python -m MODULE` with nothing in its environment but this; killed in the end where it still runs."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with log.open("ab") as output:
        handle = subprocess.Popen(
            [sys.executable, "-m", *module.split()],
            cwd=ROOT,
            env={**kept, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    running = Process(module, handle, log)
    try:
        yield running
    finally:
        if handle.poll() is None:
            running.kill()


@dataclass
class Person:
    """Somebody with an account."""

    user_id: str
    token: str
    base: str
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.token}"}

    async def alert(self, symbol: str, kind: str, threshold: float, **more: Any) -> dict[str, Any]:
        """Creates a rule with one condition; its 201 body."""
        body = {"symbol": symbol, "conditions": [{"type": kind, "threshold": threshold}], **more}
        async with httpx.AsyncClient(base_url=self.base, trust_env=False, timeout=15) as http:
            reply = await http.post("/api/v1/alerts", json=body, headers=self.headers)
        assert reply.status_code == 201, reply.text
        created: dict[str, Any] = reply.json()
        return created

    @asynccontextmanager
    async def notifications(self) -> AsyncIterator[ClientConnection]:
        url = f"{self.base.replace('http', 'ws', 1)}/websocket/user/{self.user_id}/notifications"
        async with connect(url, additional_headers=self.headers, proxy=None, max_queue=None) as socket:
            yield socket


async def register(base: str, email: str = "ada@example.org") -> Person:
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=15) as http:
        reply = await http.post("/api/users/register", json={"name": "Ada", "email": email, "password": PASSWORD})
    assert reply.status_code == 201, reply.text
    return Person(reply.json()["user_id"], reply.json()["token"], base)


async def login(base: str, email: str = "ada@example.org") -> Person:
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=15) as http:
        reply = await http.post("/api/users/login", json={"email": email, "password": PASSWORD})
    assert reply.status_code == 200, reply.text
    return Person(reply.json()["user_id"], reply.json()["token"], base)


@asynccontextmanager
async def room(base: str, path: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"{base.replace('http', 'ws', 1)}{path}", proxy=None, max_queue=None) as socket:
        yield socket


async def frames(socket: ClientConnection, quiet_s: float) -> list[dict[str, Any]]:
    """Everything that arrives until nothing has for `quiet_s` seconds."""
    received: list[dict[str, Any]] = []
    while True:
        try:
            received.append(json.loads(await asyncio.wait_for(socket.recv(), quiet_s)))
        except TimeoutError:
            return received


@asynccontextmanager
async def embedded(folder: Path, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    """`python -m services` on a folder; yields it and its address."""
    log = folder / "tickroom.log"
    log.touch()
    earlier = len(log.read_text().split("listening on")) - 1
    environment = {"DATA_DIR": str(folder / "data"), "PORT": "0", **settings}
    with process("services", log, environment) as running:
        found = await running.says(r"(?s)" + r"listening on .*?" * earlier + r"listening on (http://\S+)")
        yield running, found[1]


class Four:
    """The four services as processes of their own."""

    def __init__(self, folder: Path, kafka: str, database: str, redis: str, settings: Mapping[str, str]) -> None:
        ports = {name: free_port() for name in ROOMS}
        self.base = f"http://127.0.0.1:{ports['gateway']}"
        self._folder = folder
        self._stack = AsyncExitStack()
        self._environment = {
            **settings,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "SECRET_KEY": "s" * 64,
            "INTERNAL_TOKEN": "t" * 32,
            "PORT": str(ports["gateway"]),
            **{f"{name.upper()}_ADDRESS": f"dns:///127.0.0.1:{ports[name]}" for name in ROOMS[:3]},
        }
        self._ports = ports

    def start(self, name: str, instance: str = "", **more: str) -> Process:
        environment = {
            **self._environment,
            "DATA_DIR": str(self._folder / f"{name}{instance}"),
            "GRPC_LISTEN": f"127.0.0.1:{self._ports[name] if not instance else free_port()}",
            **more,
        }
        log = self._folder / f"{name}{instance}.log"
        return self._stack.enter_context(process(f"services.{name}", log, environment))

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def four(
    folder: Path, kafka: KafkaServer, database: str, redis: str, **settings: str
) -> AsyncIterator[tuple[Four, dict[str, Process]]]:
    houses = Four(folder, kafka.bootstrap, database, redis, settings)
    try:
        running = {name: houses.start(name) for name in ROOMS}
        await running["gateway"].says("listening on")
        async with httpx.AsyncClient(base_url=houses.base, trust_env=False) as http, asyncio.timeout(60):
            while (await http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.1)
        yield houses, running
    finally:
        await houses.close()
