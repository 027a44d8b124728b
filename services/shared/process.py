"""How a process begins and ends: settings, logging, connections, signals, and one clear line when it can't start."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import prometheus_client
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY, ProcessCollector

from services.shared import kafka
from services.shared.config import SharedSettings, load
from services.shared.errors import StartFailed
from services.shared.kafka import Kafka
from services.shared.telemetry import setup_logging

_log = logging.getLogger("tickroom")

S = TypeVar("S", bound=SharedSettings)
T = TypeVar("T")


class App(Protocol):
    """A room put together.

    `run` opens everything, sets `started`, and returns once `stop` is set and the batch in hand done. It raises
    StartFailed for what a person must mend, and whatever killed a part that it can't do without.
    """

    started: asyncio.Event

    async def run(self, stop: asyncio.Event) -> None: ...


def run_room(settings_class: type[S], build: Callable[[S, Kafka], App]) -> None:
    """Runs one room as a process of its own, on Apache Kafka, until SIGTERM or SIGINT."""

    async def main(stop: asyncio.Event) -> None:
        settings = load(settings_class)
        setup_logging(settings.log_format, settings.log_level)
        if settings.embedded:
            raise StartFailed(
                "KAFKA_BOOTSTRAP_SERVERS is required to run one room; `python -m services` runs all four by itself"
            )
        serve_metrics(settings, settings_class.__module__.split(".")[1])
        cluster = await until(stop, kafka.connect(settings.kafka_bootstrap_servers, settings.start_timeout_s))
        if cluster is None:
            return
        await serve(build(settings, cluster), cluster, stop)

    run(main)


async def serve(app: App, cluster: Kafka, stop: asyncio.Event) -> None:
    """Runs one room until `stop`, then closes what it had open of `cluster`."""
    settling = asyncio.create_task(settle(app))
    try:
        await app.run(stop)
    finally:
        settling.cancel()
        await cluster.close()


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Runs `main` on uvloop; SIGTERM and SIGINT set its event. Exits 1 with one line on StartFailed."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None

    async def guarded() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(guarded())
    except* StartFailed as failures:
        print(f"tickroom: {_first(failures).detail}", file=sys.stderr)  # noqa: T201 (the one line a person needs)
        _exit_now(1)  # half-opened clients may hold threads that would delay the exit
    else:
        if any(each is not threading.main_thread() and not each.daemon for each in threading.enumerate()):
            _exit_now(0)  # a client whose server does not answer would wait for it for ever


def _exit_now(code: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def settle(*apps: App) -> None:
    """Waits until all have started, then tells the garbage collector to leave alone what is there by now.

    Otherwise each of its full rounds goes through every module and table again, and all rooms stand still meanwhile.
    """
    for app in apps:
        await app.started.wait()
    gc.collect()
    gc.freeze()


def serve_metrics(settings: SharedSettings, room: str) -> None:
    """Prometheus text of this process on METRICS_PORT, where that is set. Raises StartFailed where it is taken.

    room: whose name the measurements of the process itself (memory, CPU, files) begin with, as all others do.
    """
    for unnamed in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
        REGISTRY.unregister(unnamed)
    ProcessCollector(namespace=room)
    if not settings.metrics_port:
        return
    try:
        prometheus_client.start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        raise StartFailed(f"METRICS_PORT: {settings.host}:{settings.metrics_port}: {error.strerror}") from None
    _log.info("metrics on http://%s:%d/metrics", settings.host, settings.metrics_port)


def _first(group: BaseExceptionGroup[StartFailed]) -> StartFailed:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def until(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result of `work`, or None where `stop` came first (`work` is cancelled then)."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    stopping.cancel()
    return await task
