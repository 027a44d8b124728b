"""Apache Kafka itself: one KRaft node, from the artefacts that pom.xml pins. Needs Java 17 or newer, and Maven once.

`python -m tests.servers.kafka` fetches the artefacts (44 MB) into `.tools/`, so that no test waits for the network.
"""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.process import Server, ServerFailed, accepts, free_port

_POM = Path(__file__).with_name("pom.xml")
_TOOLS = Path(__file__).resolve().parents[2] / ".tools"
_JAVA = 17
_JVM = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_SOON = "-XX:TieredStopAtLevel=1"  # a test run is too short for the second compiler


class KafkaServer(Server):
    """Broker and controller in one JVM. Topics are made by those who need them, never by a client's question.

    Measured: 6 s from nothing to answering, 150 MB; `stop` 1-2 s and `start` 4-5 s on the same data. After `kill` the
    controller waits 9 s until it takes the broker back. compiled: at full speed as in production, a minute later.
    """

    name = "kafka"
    start_timeout_s = 60.0
    stop_timeout_s = 20.0

    def __init__(self, *, compiled: bool = False) -> None:
        self._jvm = _JVM if compiled else (*_JVM, _SOON)
        self._classpath = f"{fetch()}/*"
        super().__init__()
        self.port, self._controller_port = free_port(), free_port()
        self._configuration = self.folder / "server.properties"
        self._configuration.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        self._format()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return ["java", *self._jvm, "-cp", self._classpath, "kafka.Kafka", str(self._configuration)]

    def answers(self) -> bool:
        if not accepts(self.port):
            return False
        try:
            return bool(self._admin().list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def empty(self) -> None:
        """Removes every group and topic. Waits for members that were killed: the broker drops them after seconds."""
        self.check()
        admin = self._admin()
        deadline = time.monotonic() + 30.0
        while groups := [group.group_id for group in admin.list_consumer_groups().result().valid]:
            errors = [done.exception() for done in admin.delete_consumer_groups(groups).values()]
            if any(errors):
                if time.monotonic() > deadline:
                    raise ServerFailed(f"kafka: a group is still in use: {errors}")
                time.sleep(0.5)
        topics = [topic for topic in admin.list_topics(timeout=10.0).topics if not topic.startswith("__")]
        for done in admin.delete_topics(topics, operation_timeout=10.0).values() if topics else ():
            done.result()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 10_000})

    def _format(self) -> None:
        # an identity of its own, which is how a client tells a new log from the old one
        identity = ["--cluster-id", uuid.uuid4().hex]
        tool = ["kafka.tools.StorageTool", "format", *identity, "--config", str(self._configuration)]
        _run(["java", *_JVM, _SOON, "-cp", self._classpath, *tool], "kafka: formatting its folder failed")

    def _settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 500,  # tests of lost members need not wait for six seconds
            "log.cleaner.dedupe.buffer.size": 4 << 20,  # 128 MB otherwise
            "log.index.size.max.bytes": 1 << 20,
            "num.network.threads": 2,
            "num.io.threads": 2,
        }


def missing() -> str | None:
    """Why Apache Kafka can't run here, or None."""
    if (java := _java_version()) < _JAVA:
        return f"java {java} is too old, {_JAVA} or newer is needed" if java else "java is not installed"
    if not _folder().exists() and shutil.which("mvn") is None:
        return "mvn (Maven) is not installed"
    return None


def fetch() -> Path:
    """The folder with Kafka's jars, filled by Maven at the first call. Raises ServerFailed where a tool is missing."""
    if (reason := missing()) is not None:
        raise ServerFailed(f"kafka: {reason}")
    folder = _folder()
    with _alone():
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=_TOOLS) as fresh:
                goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}/jars"]
                _run(
                    ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(_POM), *goal],
                    "kafka: Maven could not fetch it",
                )
                os.rename(f"{fresh}/jars", folder)  # whole or not at all
    return folder


def _folder() -> Path:
    return _TOOLS / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


@functools.cache
def _java_version() -> int:
    """The major version of `java`; 0 where there is none."""
    if shutil.which("java") is None:
        return 0
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ServerFailed(f"{what}:\n{(done.stdout + done.stderr).strip()[-3000:]}")


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time, also among test workers."""
    _TOOLS.mkdir(exist_ok=True)
    with (_TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        if missing() is None and not _folder().exists():
            print("tickroom: fetching Apache Kafka for the tests (44 MB, once) with Maven", file=sys.stderr)
        fetch()
    except ServerFailed as error:
        sys.exit(str(error))
