"""Several gateways on one port, each a process of its own, kept running by this one.

Each listens on a socket of its own that is bound to the same port (SO_REUSEPORT): the kernel spreads connections evenly
over them by their addresses. On one socket shared by four, it gave the busiest one eight times as many as the idlest.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from subprocess import PIPE, Popen
from typing import Any, Final, cast

import msgspec
from prometheus_client import Counter

from services.gateway.config import Settings
from services.gateway.server import bind
from services.shared.errors import StartFailed
from services.shared.kafka import Kafka
from services.shared.process import until
from services.shared.topics import TOPICS

_log = logging.getLogger("tickroom.gateway.workers")
_RESTARTS: Final = Counter("gateway_worker_restarts", "Gateway processes that ended by themselves")

_LISTENING: Final = b"listening on "
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_LASTED_S: Final = 60.0
_PATIENCE_S: Final = 8.0
"""Beyond DRAIN_S, for a worker that is told to stop."""


Worker = Popen[bytes]


class Orders(msgspec.Struct, frozen=True):
    """What a worker is told, as one line of JSON on its standard input; the end of that input is the end of its parent.

    listening: descriptor of its socket; cluster: arguments of `Kafka`; settings: what differs from the environment.
    """

    listening: int
    cluster: dict[str, Any]
    settings: dict[str, Any]


class Workers:
    """WORKERS gateways. One that ends by itself is started again; if one can't start at first, all end."""

    def __init__(
        self,
        settings: Settings,
        kafka: Kafka,
        *,
        command: Sequence[str] = (sys.executable, "-m", "services.gateway.worker"),
    ) -> None:
        self.started = asyncio.Event()
        self.url = ""
        self._settings = settings
        self._kafka = kafka
        self._command = command
        self._ready: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Returns when all have ended after `stop`. Raises StartFailed."""
        host, port = self._settings.host, self._settings.port
        with bind(host, port):
            pass  # somebody who listens there already might be willing to share it
        with bind(host, port, shared=True) as reserved:  # and keep it, also while no worker listens
            await self._keep_all(reserved.getsockname()[1], stop)

    async def _keep_all(self, port: int, stop: asyncio.Event) -> None:
        """Nobody is cancelled here: whoever starts a process sees to its end."""
        ends = asyncio.Event()
        keeping = [
            asyncio.create_task(self._keep(number, port, ends), name=f"gateway worker {number}")
            for number in range(self._settings.workers)
        ]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        ends.set()
        await asyncio.wait(keeping)
        for task in keeping:
            await task

    async def _keep(self, number: int, port: int, stop: asyncio.Event) -> None:
        """Runs one worker after the other, each time a bit later as long as they don't last."""
        now_s, delay_s = asyncio.get_running_loop().time, _FIRST_DELAY_S
        while not stop.is_set():
            begun_s = now_s()
            worker = self._start(number, port)
            relaying = asyncio.create_task(self._relay(number, worker))
            try:
                await until(stop, asyncio.shield(relaying))
            finally:
                await _end(worker, relaying, self._settings.drain_s + _PATIENCE_S)
            self._ready.discard(number)
            if stop.is_set():
                return
            if not self.started.is_set():
                raise StartFailed(f"a gateway process ended with code {worker.returncode} before it served, see above")
            if now_s() - begun_s > _LASTED_S:
                delay_s = _FIRST_DELAY_S
            _RESTARTS.inc()
            _log.warning(
                "gateway process %d ended with code %s; another in %.1f s", worker.pid, worker.returncode, delay_s
            )
            await until(stop, asyncio.sleep(delay_s))
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    def _start(self, number: int, port: int) -> Worker:
        # asyncio's own way forks, for which gRPC is not made; this one does not where it need not (vfork)
        with bind(self._settings.host, port, shared=True) as listening:
            worker = Popen(  # noqa: S603 (our own module)
                self._command,
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=[listening.fileno()],
                start_new_session=True,  # Ctrl-C is for this process, which tells the others when it is their turn
            )
            orders = Orders(listening.fileno(), _known(self._kafka), _differences(self._settings, number, port))
        assert worker.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            worker.stdin.write(msgspec.json.encode(orders) + b"\n")
            worker.stdin.flush()
        return worker

    async def _relay(self, number: int, worker: Worker) -> None:
        """Returns when the worker's output ends, and so the worker."""
        lines = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), cast(Any, worker.stdout)
        )
        async for line in lines:
            if line.startswith(_LISTENING):
                self._note(number, line.removeprefix(_LISTENING).decode().strip())
            else:
                sys.stdout.write(line.decode())
        transport.close()

    def _note(self, number: int, url: str) -> None:
        self._ready.add(number)
        if len(self._ready) == self._settings.workers and not self.started.is_set():
            self.url = url
            print(f"listening on {url}", flush=True)  # noqa: T201 (what people and scripts wait for)
            self.started.set()


async def _end(worker: Worker, relaying: asyncio.Task[None], patience_s: float) -> None:
    if not relaying.done():
        worker.terminate()
        await asyncio.wait({relaying}, timeout=patience_s)
    if not relaying.done():
        _log.warning("gateway process %d does not stop within %g s: killed", worker.pid, patience_s)
        worker.kill()
    await relaying
    await asyncio.to_thread(worker.wait)
    assert worker.stdin is not None
    with suppress(BrokenPipeError):
        worker.stdin.close()


def _known(kafka: Kafka) -> dict[str, Any]:
    partitions = {topic.name: kafka.partitions(topic) for topic in TOPICS}
    return {
        "bootstrap": kafka.bootstrap,
        "embedded": kafka.embedded,
        "log_id": kafka.log_id,
        "partitions": partitions,
    }


def _differences(settings: Settings, number: int, port: int) -> dict[str, Any]:
    """Settings that the parent knows better than the environment. METRICS_PORT itself is the parent's."""
    return {
        "port": port,
        "metrics_port": settings.metrics_port and settings.metrics_port + 1 + number,
        "stock_data_address": settings.stock_data_address,
        "prediction_address": settings.prediction_address,
        "users_address": settings.users_address,
    }
