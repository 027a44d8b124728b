"""Real servers as fixtures. Each starts when a test first asks for it, once for each test worker.

Contract tests ask for `database_url` and `kafka_cluster` and so run on every kind of server there is: with nothing
but what is built in, on real servers, and by --full on one of each.
"""

import faulthandler
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import uuid4

import pytest

from services.shared.embedded_kafka import embedded_kafka
from services.shared.kafka import Kafka, connect
from tests.servers import kafka, postgres, redis

_APACHE_KAFKA = pytest.mark.apache_kafka
_GRACE_S: Final = 60.0
_STDERR: Final = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else 2  # before pytest captures it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="the long forms of the tests that have one: 200 broken wires, 10,000 frames"
    )


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Was the long form of the test asked for? `make test` runs the short one."""
    return bool(request.config.getoption("--full"))


def _left_out() -> str | None:
    """Why tests on Apache Kafka are left out, or None. In CI they never are: there, what is missing fails them."""
    required = os.environ.get("TICKROOM_APACHE_KAFKA") == "1" or os.environ.get("CI") == "true"
    return None if required else kafka.missing()


_ALIKE = ({"embedded", "sqlite"}, {"apache", "postgresql"})


def _is_mixed(item: pytest.Item) -> bool:
    """Does it run on one real server and one that is built in? Possible, but nobody's way of running Tickroom."""
    params = getattr(item, "callspec", None) and item.callspec.params  # type: ignore[attr-defined]
    servers = {params[name] for name in ("_kafka_server", "database_url") if name in params} if params else set()
    return len(servers) == 2 and servers not in _ALIKE


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    """Whoever is longer here shows where it hangs and ends this process: the run goes on with another worker."""
    faulthandler.dump_traceback_later(limit_s, exit=True, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """pytest-timeout can only interrupt what is in Python, and does so once."""
    mark = item.get_closest_marker("timeout")
    with _limited(_GRACE_S + (mark.args[0] if mark else float(item.config.getini("timeout")))):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """An event loop that closes waits for its threads, however long."""
    with _limited(2 * _GRACE_S):
        return (yield)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on Apache Kafka share one test worker, and so one broker; or are left out."""
    if not config.getoption("--full"):
        mixed = [item for item in items if _is_mixed(item)]
        config.hook.pytest_deselected(items=mixed)
        items[:] = [item for item in items if item not in mixed]
    on_kafka = [item for item in items if item.get_closest_marker(_APACHE_KAFKA.name)]
    if on_kafka and _left_out() is not None:
        config.hook.pytest_deselected(items=on_kafka)
        items[:] = [item for item in items if item not in on_kafka]
    for item in on_kafka:
        item.add_marker(pytest.mark.xdist_group(_APACHE_KAFKA.name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if (reason := _left_out()) is not None:
        terminalreporter.write_line(f"left out: the tests on Apache Kafka ({reason}; TICKROOM_APACHE_KAFKA=1 insists)")


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[kafka.KafkaServer]:
    """Apache Kafka itself, as the tests before left it. Its tests carry the mark `apache_kafka`."""
    with kafka.KafkaServer() as server:
        yield server


@pytest.fixture
def empty_apache_kafka(apache_kafka: kafka.KafkaServer) -> kafka.KafkaServer:
    """Apache Kafka without topics and groups."""
    apache_kafka.empty()
    return apache_kafka


@pytest.fixture(params=["embedded", pytest.param("apache", marks=_APACHE_KAFKA)])
def _kafka_server(request: pytest.FixtureRequest) -> kafka.KafkaServer | None:
    if request.param == "embedded":
        return None
    server = request.getfixturevalue("empty_apache_kafka")
    assert isinstance(server, kafka.KafkaServer)
    return server


@pytest.fixture
async def kafka_cluster(_kafka_server: kafka.KafkaServer | None) -> AsyncIterator[Kafka]:
    """Every topic, empty: once on the embedded broker, once on Apache Kafka."""
    if _kafka_server is None:
        async with embedded_kafka(partitions=4) as cluster:
            yield cluster
    else:
        cluster = await connect(_kafka_server.bootstrap, timeout_s=30.0)
        yield cluster
        await cluster.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    with postgres.PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own, as DATABASE_URL takes it."""
    name = f"test_{uuid4().hex}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """DATABASE_URL, once for each kind: None (SQLite files in DATA_DIR), then an empty PostgreSQL database."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[redis.RedisServer]:
    with redis.RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: redis.RedisServer) -> str:
    """An empty Redis, as REDIS_URL takes it."""
    redis_server.empty()
    return redis_server.url
