"""Settings of the door: defaults, and one clear line for what can't be."""

from typing import Any

import pytest

from services.gateway.config import Settings
from services.shared.config import load
from services.shared.errors import StartFailed


def _load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(Settings, _env_file=None)


@pytest.mark.parametrize(
    ("host", "is_open"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.0.0.9", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("server.example.org", False),
    ],
)
def test_the_door_is_open_on_loopback_only(monkeypatch: pytest.MonkeyPatch, host: str, is_open: bool) -> None:
    assert _load(monkeypatch, HOST=host).open is is_open


def test_the_mode_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, HOST="0.0.0.0", AUTH_MODE="open").open
    assert not _load(monkeypatch, HOST="127.0.0.1", AUTH_MODE="strict").open


def test_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _load(monkeypatch)
    assert (found.host, found.port, found.anonymous_market_data) == ("127.0.0.1", 8000, True)
    limits = (found.max_connections_per_user, found.max_connections_per_address, found.max_symbols_per_connection)
    assert (*limits, found.max_messages_per_second, found.max_message_bytes) == (5, 20, 128, 10, 65536)
    assert (found.requests_per_minute, found.replicas) == (600, 1)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("127.0.0.1", {"localhost", "127.0.0.1", "[::1]"}),
        ("0.0.0.0", {"localhost", "127.0.0.1", "[::1]"}),
        ("192.168.1.5", {"localhost", "127.0.0.1", "[::1]", "192.168.1.5"}),
        ("fd00::5", {"localhost", "127.0.0.1", "[::1]", "[fd00::5]"}),
    ],
)
def test_our_names_are_loopback_and_the_address_itself(
    monkeypatch: pytest.MonkeyPatch, host: str, hosts: set[str]
) -> None:
    assert set(_load(monkeypatch, HOST=host).hosts) == hosts


def test_lists_come_by_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _load(
        monkeypatch,
        AUTH_MODE="strict",
        ALLOWED_ORIGINS=" https://App.example.org/ , http://localhost:3000,",
        ALLOWED_HOSTS="App.example.org,*.example.net",
        TRUSTED_PROXIES="10.0.0.0/8, 192.168.1.1,fd00::/8",
    )
    assert found.allowed_origins == ("https://app.example.org", "http://localhost:3000")
    assert found.hosts == ("app.example.org", "*.example.net")
    assert [str(each) for each in found.trusted_proxies] == ["10.0.0.0/8", "192.168.1.1/32", "fd00::/8"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PORT": "65536"}, "PORT"),
        ({"PORT": "http"}, "PORT"),
        ({"AUTH_MODE": "closed"}, "AUTH_MODE"),
        ({"ANONYMOUS_MARKET_DATA": "perhaps"}, "ANONYMOUS_MARKET_DATA"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_ORIGINS": "https://a.example/path"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_ORIGINS": "app.example.org"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_HOSTS": "app.example.org:443"}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "https://app.example.org"}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8", "AUTH_MODE": "strict"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "proxy", "AUTH_MODE": "strict"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1"}, "TRUSTED_PROXIES"),
        ({"MAX_MESSAGE_BYTES": "-1"}, "MAX_MESSAGE_BYTES"),
        ({"MAX_CONNECTIONS_PER_USER": "many"}, "MAX_CONNECTIONS_PER_USER"),
        ({"REQUESTS_PER_MINUTE": "-1"}, "REQUESTS_PER_MINUTE"),
        ({"REPLICAS": "0"}, "REPLICAS"),
        ({"REPLICAS": "3"}, "REDIS_URL is required with REPLICAS=3"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    with pytest.raises(StartFailed) as failed:
        _load(monkeypatch, **variables)
    assert named in failed.value.detail
    assert "\n" not in failed.value.detail


def test_any_host_is_possible_behind_a_strict_door(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, AUTH_MODE="strict", ALLOWED_HOSTS="*").hosts == ("*",)


def test_several_gateways_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, REPLICAS="3", REDIS_URL="redis://localhost:6379/0").replicas == 3


def test_settings_are_frozen() -> None:
    settings: Any = Settings(_env_file=None)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
