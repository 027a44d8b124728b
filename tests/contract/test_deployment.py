"""docker-compose.yml, Dockerfile and .env.example say what the code knows: same names, same defaults, same commands."""

import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from services.gateway.config import Settings as GatewaySettings
from services.prediction.config import Settings as PredictionSettings
from services.shared.config import SharedSettings, load
from services.stock_data.config import Settings as StockDataSettings
from services.users.config import Settings as UsersSettings
from tests.servers import compose

SETTINGS: dict[str, type[SharedSettings]] = {
    "stock_data": StockDataSettings,
    "prediction": PredictionSettings,
    "users": UsersSettings,
    "gateway": GatewaySettings,
}
SECRETS = {"SECRET_KEY": "s" * 64, "INTERNAL_TOKEN": "t" * 32, "POSTGRES_PASSWORD": "p" * 32}
ONLY_COMPOSE = {"POSTGRES_PASSWORD"}
FIXED = {"HOST", "PORT", "READER_LAG_LIMIT", "USERS_ROLE"}
"""Settings of single services that compose decides, or leaves at their defaults."""
EXAMPLE = re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.*)$", (compose.ROOT / ".env.example").read_text(), re.MULTILINE)


def names(settings: type[SharedSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting from outside: neither from the environment nor from a `.env`."""
    for name in set[str]().union(*(names(settings) for settings in SETTINGS.values())):
        monkeypatch.delenv(name, raising=False)
    everyone: list[type[SharedSettings]] = [SharedSettings, *SETTINGS.values()]
    for settings in everyone:
        monkeypatch.setitem(settings.model_config, "env_file", None)
    return monkeypatch


def test_compose_is_valid_by_the_compose_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(check, cwd=compose.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", compose.SERVICES)
def test_a_service_starts_with_the_settings_that_compose_gives_it(
    room: str, bare_environment: pytest.MonkeyPatch
) -> None:
    service = compose.services(SECRETS)[room]
    assert service.environment.keys() <= names(SETTINGS[room])
    for name, value in service.environment.items():
        bare_environment.setenv(name, value)
    settings = load(SETTINGS[room])
    assert not settings.embedded
    assert settings.stock_data_address == "dns:///stock_data:50051"


@pytest.mark.parametrize("room", compose.SERVICES)
def test_every_optional_setting_of_a_service_can_be_given_in_dot_env(room: str) -> None:
    own = names(SETTINGS[room]) - names(SharedSettings) - FIXED
    variables = {name: f"given for {name}" for name in own} | SECRETS
    given = compose.services(variables)[room].environment
    assert {name: given.get(name) for name in own} == {name: variables[name] for name in own}


@pytest.mark.parametrize("name", SECRETS)
def test_compose_refuses_to_start_without_a_secret(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        compose.services({key: value for key, value in SECRETS.items() if key != name})


def test_the_commands_of_compose_are_modules_that_exist() -> None:
    for room, service in compose.services(SECRETS).items():
        assert service.command == ["python", "-m", f"services.{room}"]
        assert importlib.util.find_spec(f"services.{room}.__main__") is not None


def test_only_the_gateway_is_published_and_on_loopback_unless_said_otherwise() -> None:
    published = {
        name: service["ports"] for name, service in compose.document()["services"].items() if "ports" in service
    }
    assert published == {"gateway": ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]}


def test_services_are_started_in_an_order_and_after_healthy_ones() -> None:
    services = compose.document()["services"]
    started: list[str] = []
    for _ in services:
        started += [name for name in services if name not in started and set(_awaited(services[name])) <= set(started)]
    assert sorted(started) == sorted(services)
    for name, service in services.items():
        assert "healthcheck" in service or service.get("image") == "tickroom", name
        assert all(condition == {"condition": "service_healthy"} for condition in _awaited(service).values())


def test_compose_and_the_tests_run_the_same_kafka() -> None:
    pom = (compose.ROOT / "tests/servers/pom.xml").read_text()
    version = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>(.+)</version>", pom)
    assert version is not None
    assert compose.document()["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_the_example_names_every_setting_once() -> None:
    listed = [name for name, _ in EXAMPLE]
    assert sorted(listed) == sorted(set[str]().union(*(names(each) for each in SETTINGS.values())) | ONLY_COMPOSE)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in EXAMPLE if value])
def test_the_example_shows_the_default(name: str, value: str, bare_environment: pytest.MonkeyPatch) -> None:
    for settings in SETTINGS.values():
        if name in names(settings):
            default = getattr(load(settings), name.lower())
            bare_environment.setenv(name, value)
            assert getattr(load(settings), name.lower()) == default
            bare_environment.delenv(name)


class _Gateway(http.server.BaseHTTPRequestHandler):
    """Healthy for those who ask for app.example.org or localhost, as a gateway that knows its names."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Host"] in ("app.example.org", "localhost") else 421)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("hosts", "code"), [("", 0), ("app.example.org, other.example.org", 0), ("*", 0), ("other.example.org", 1)]
)
def test_the_health_check_asks_for_a_name_of_the_gateway(gateway: int, hosts: str, code: int) -> None:
    assert _health(PORT=str(gateway), ALLOWED_HOSTS=hosts) == code


def test_the_health_check_fails_where_nobody_listens() -> None:
    assert _health(PORT="1") == 1


def _health(**environment: str) -> int:
    command = [sys.executable, str(compose.ROOT / "deploy/health.py")]
    return subprocess.run(command, env=os.environ | environment, stderr=subprocess.DEVNULL, check=False).returncode


def _awaited(service: dict[str, dict[str, object]]) -> dict[str, object]:
    return service.get("depends_on", {})
