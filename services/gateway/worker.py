"""One of several gateways on a port, started by workers.py: `python -m services.gateway.worker`."""

import asyncio
import socket
import sys

import msgspec

from services.gateway.app import Gateway
from services.gateway.config import Settings
from services.gateway.workers import Orders
from services.shared.config import load
from services.shared.kafka import Kafka, calm_log
from services.shared.process import run, serve, serve_metrics
from services.shared.telemetry import setup_logging


async def main(stop: asyncio.Event) -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    _end_with_parent(stop)
    settings = load(Settings, **orders.settings)
    setup_logging(settings.log_format, settings.log_level)
    calm_log()
    serve_metrics(settings, "gateway")
    cluster = Kafka(**orders.cluster)
    gateway = Gateway(settings, cluster, listening=socket.socket(fileno=orders.listening))
    await serve(gateway, cluster, stop)


def _end_with_parent(stop: asyncio.Event) -> None:
    loop, standard_input = asyncio.get_running_loop(), sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(standard_input)
        stop.set()

    loop.add_reader(standard_input, ended)


if __name__ == "__main__":
    run(main)
