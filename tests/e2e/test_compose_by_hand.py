"""The four services as docker-compose.yml starts them, on real servers, only without Docker."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.servers import compose
from tests.servers.kafka import KafkaServer
from tests.servers.process import Server, free_port
from tests.servers.redis import RedisServer

SECRETS = {"SECRET_KEY": "s" * 64, "INTERNAL_TOKEN": "t" * 32, "POSTGRES_PASSWORD": "p" * 32}

pytestmark = [pytest.mark.apache_kafka, pytest.mark.slow]


class Container(Server):
    """A service of ours with compose's command, environment and health check, and its own folder as /data."""

    start_timeout_s = 60.0

    def __init__(self, name: str, service: compose.Service) -> None:
        self.name = name
        super().__init__()
        self._service = service

    def command(self) -> list[str]:
        return [sys.executable, *self._service.command[1:]]

    def environment(self) -> Mapping[str, str]:
        inside = {"PATH": os.environ["PATH"], "PYTHONPATH": str(compose.ROOT), "DATA_DIR": str(self.folder)}
        return inside | self._service.environment

    def answers(self) -> bool:
        health = self._service.health or ["python", str(compose.ROOT / "deploy/health.py")]
        asked = subprocess.run(
            [sys.executable, *health[1:]], env=self.environment(), cwd=self.folder, capture_output=True, check=False
        )
        return asked.returncode == 0


@pytest.fixture
def containers(
    empty_apache_kafka: KafkaServer, postgres_url: str, redis_server: RedisServer
) -> Iterator[dict[str, Container]]:
    """All four, started in the order of their `depends_on`."""
    addresses = {
        "kafka:9092": empty_apache_kafka.bootstrap,
        "postgres:5432/tickroom": postgres_url.partition("@")[2],
        "redis:6379/0": redis_server.url.removeprefix("redis://"),
        "8000": str(free_port()),
    }
    for name, port in (("stock_data", 50051), ("prediction", 50052), ("users", 50053)):
        here = f"127.0.0.1:{free_port()}"
        addresses |= {f"{name}:{port}": here, f"0.0.0.0:{port}": here, f"127.0.0.1:{port}": here}
    with ExitStack() as running:
        yield {
            name: running.enter_context(Container(name, service))
            for name, service in compose.services(SECRETS, addresses).items()
        }


def test_every_service_gets_healthy_and_ends_when_told_to(containers: dict[str, Container]) -> None:
    gateway = containers["gateway"]
    port = gateway.environment()["PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        assert answer.read() == b'{"status":"healthy"}'
    for container in reversed(containers.values()):
        assert container.stop() == 0, container.log.read_text()
