"""Where the socket benchmarks run: a server alone on one core; broker, stand-ins and the load client on the other.

Servers are processes of socket_servers.py, load clients of socket_client.c (compiled here with `cc`). While another
server is measured, a server stands still (SIGSTOP).
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.shared.embedded_kafka import embedded_kafka
from services.shared.events import Tick, encode
from services.shared.kafka import Kafka
from services.shared.rpc import stock_data_pb2
from services.shared.rpc.channel import serve
from services.shared.topics import EMBEDDED_PARTITIONS, READERS_WITH_STATE, TICKS, partition_of
from tests.bench.machine import cpu_s

PACKAGES = ("uvicorn", "uvloop", "starlette", "aiokafka", "faststream")
_START_S = 30.0
_ANSWER_S = 60.0

Which = Literal["ours", "plain"]
Mode = Literal["count", "time", "deaf"]


class LoadClient:
    """Open sockets in a process of socket_client.c, which knows what it answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, question: str, within_s: float = _ANSWER_S) -> str:
        """Raises TimeoutError; ends the bench where the client has found a fault."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        return await self.answer(within_s)

    async def answer(self, within_s: float) -> str:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), within_s)
        if not line:
            raise SystemExit("the load client found a fault, see above")
        return line.decode().strip()

    def check(self) -> None:
        """Ends the bench where the client has."""
        if self._process.returncode is not None:
            raise SystemExit("the load client found a fault, see above")


class Server:
    """One running server. It stands still except in `awake`."""

    def __init__(self, kafka: Kafka, producer: AIOKafkaProducer, binary: Path, pid: int, port: int) -> None:
        self.kafka = kafka
        self.pid = pid
        self.port = port
        self._producer = producer
        self._binary = binary

    @contextmanager
    def awake(self) -> Iterator[None]:
        os.kill(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGSTOP)

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    @property
    def unread_bytes(self) -> int:
        """What the kernel holds of this server for clients that have not read it."""
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = f":{self.port:04X}"
        return sum(int(each[4].partition(":")[0], 16) for each in sockets if each[1].endswith(ours))

    async def publish(self, symbol: str, price: float, seq: int) -> None:
        """Hands the record to the producer, which sends it at once where no other one is on its way."""
        partition = partition_of(symbol, EMBEDDED_PARTITIONS)
        await self._producer.send(TICKS.name, _record(symbol, price, seq), key=symbol.encode(), partition=partition)

    @asynccontextmanager
    async def clients(
        self, path: str, sockets: int, mode: Mode, rooms: int = 0, within_s: float = _ANSWER_S
    ) -> AsyncIterator[LoadClient]:
        """All sockets open. The server has to be awake."""
        process = await asyncio.create_subprocess_exec(
            *(self._binary, str(self.port), path, str(sockets), str(rooms), mode),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            client = LoadClient(process)
            await client.answer(within_s)
            yield client
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def server(which: Which, core: int, binary: Path, symbols: Sequence[str]) -> AsyncIterator[Server]:
    """A server of its own broker, awake on `core`. It knows `symbols`."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            embedded_kafka() as kafka,
            _readers_with_state(kafka),
            rooms_behind(f"unix:{folder}/rooms", symbols),
        ):
            producer = await kafka.producer()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.bench.socket_servers"),
                *(which, str(core), kafka.bootstrap, f"unix:{folder}/rooms"),
                stdout=subprocess.PIPE,
            )
            try:
                port = await _port(process)
                yield Server(kafka, producer, binary, process.pid, port)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                await producer.stop()


@contextmanager
def load_client_binary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "socket_client"
        subprocess.run(["cc", "-O2", "-o", binary, Path(__file__).with_name("socket_client.c")], check=True)
        yield binary


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _START_S)
    if not line:
        raise SystemExit("the server did not start, see above")
    return int(line.rpartition(b":")[2])


def _record(symbol: str, price: float, seq: int) -> bytes:
    return encode(
        Tick(
            symbol=symbol,
            price=price,
            timestamp="2024-09-21T14:23:00Z",
            epoch="0192f5e0a1b20000",
            seq=seq,
            time="2024-09-21T14:23:00.000000Z",
            source="bench",
        )
    )


@asynccontextmanager
async def _readers_with_state(kafka: Kafka) -> AsyncIterator[None]:
    """Stand-ins for prediction and alerts, who say that they have read everything: only then the broker trims its log,
    whose length it goes through at every fetch.
    """
    partitions = {number: TopicPartition(TICKS.name, number) for number in range(kafka.partitions(TICKS))}
    readers = [
        AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=reader.name, enable_auto_commit=False)
        for reader in READERS_WITH_STATE
    ]

    async def follow() -> None:
        while True:
            ends = {partitions[number]: end for number, end in (await kafka.ends(TICKS)).items()}
            for reader in readers:
                await reader.commit(ends)
            await asyncio.sleep(0.5)

    for reader in readers:
        await reader.start()
        reader.assign(list(partitions.values()))
        reader.pause(*partitions.values())
    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, *(reader.stop() for reader in readers), return_exceptions=True)


class _StandIns(grpc.GenericRpcHandler):
    """All rooms behind the gateway: `symbols` are known, and every other answer is an empty message of its type."""

    def __init__(self, symbols: Sequence[str]) -> None:
        tickers = [stock_data_pb2.Ticker(ticker=symbol) for symbol in symbols]
        self._tickers = stock_data_pb2.TickersReply(tickers=tickers).SerializeToString()

    def service(self, details: Any) -> Any:
        if details.method.startswith("/grpc.health."):
            return None
        reply = self._tickers if details.method.endswith("/Tickers") else b""

        async def answer(_request: bytes, _context: Any) -> bytes:
            return reply

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def rooms_behind(address: str, symbols: Sequence[str], token: str | None = None) -> AsyncIterator[None]:
    """Stand-ins for all rooms at one gRPC address, while it is open. token: what rooms show one another."""

    def register(grpc_server: grpc.aio.Server) -> None:
        grpc_server.add_generic_rpc_handlers((_StandIns(symbols),))

    async with serve(address, "stand-ins", register, token=token):
        yield
