"""A server as a child process: started, waited for, stopped by its own pid, never left behind."""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class ServerFailed(RuntimeError):
    """A server can't be started here; the message says what is missing, or ends with the server's own last words."""


class Server(ABC):
    """One server in a temporary folder. `stop` keeps the data, so `start` goes on with it; `close` removes it."""

    name: str
    start_timeout_s = 30.0
    stop_timeout_s = 10.0
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"tickroom-{self.name}-"))
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run. It stays in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Does it serve clients already? Raises nothing."""

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def user(self) -> int | None:
        """The user id to run as, where it isn't ours."""
        return None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> Self:
        """Returns when the server answers. Raises ServerFailed with the end of its log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment(),
                user=self.user(),
                start_new_session=True,  # Ctrl-C is for the tests; they stop their servers
            )
        self._guard = _guard(self._process.pid, self.stop_signal)
        deadline = time.monotonic() + self.start_timeout_s
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not start:\n{self._last_words()}")
            time.sleep(0.05)
        return self

    def check(self) -> None:
        """Raises ServerFailed, with its last words, where it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ServerFailed(f"{self.name} has ended with code {code}:\n{self._last_words()}")

    def stop(self) -> int | None:
        """An orderly end; SIGKILL for a server that does not listen. Its exit code, None where it did not run."""
        return self._end(self.stop_signal)

    def kill(self) -> None:
        """A sudden end (SIGKILL)."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.stop()
        atexit.unregister(self.close)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> int | None:
        code = None
        if self._process is not None:
            self._process.send_signal(how)
            try:
                code = self._process.wait(self.stop_timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            self._process = None
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.kill()
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        return code

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody uses, below those that the kernel gives out for connections."""
    while True:
        first = random.randint(20_000, 32_000 - count)
        if not any(accepts(port) for port in range(first, first + count)):
            return first


def accepts(port: int) -> bool:
    """Does anybody accept connections on 127.0.0.1:port?"""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _guard(pid: int, how: signal.Signals) -> subprocess.Popen[bytes]:
    """Ends `pid` when this process is gone, however it went: only then does the pipe to the guard close."""
    script = f"cat >/dev/null; kill -{how.name.removeprefix('SIG')} {pid} 2>/dev/null"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
