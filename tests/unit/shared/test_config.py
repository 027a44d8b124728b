from pathlib import Path

import pytest

from services.shared.config import SharedSettings, load
from services.shared.errors import StartFailed


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env there
    for name in SharedSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_settings_everything_is_embedded() -> None:
    settings = load(SharedSettings)
    assert settings.embedded
    assert settings.data_dir == Path("data")
    assert settings.database_url is None


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert load(SharedSettings) == SharedSettings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LOG_LEVEL", "loud", "LOG_LEVEL: Input should be 'debug', 'info'"),
        ("SECRET_KEY", "short", "SECRET_KEY: needs at least 32 characters"),
        ("DATABASE_URL", "mysql://u:pass-word@h/db", "DATABASE_URL: accepts postgresql://"),
        ("REDIS_URL", "localhost:6379", "REDIS_URL: accepts redis://"),
        ("METRICS_PORT", "99999", "METRICS_PORT: Input should be less than or equal to 65535"),
        ("KAFKA_BOOTSTRAP_SERVERS", "k:9092", "INTERNAL_TOKEN is required"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartFailed) as failure:
        load(SharedSettings)
    assert failure.value.detail.startswith(says)
    assert "\n" not in failure.value.detail
    assert "pass-word" not in failure.value.detail


def test_secrets_stay_out_of_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret" * 8)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pass-word@h/db")
    assert "s3cret" not in repr(load(SharedSettings))
    assert "pass-word" not in repr(load(SharedSettings))


def test_settings_are_frozen() -> None:
    settings = load(SharedSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.log_level = "debug"  # type: ignore[misc]  # that is the point


def test_a_dotenv_file_counts_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=json\nLOG_LEVEL=error\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("LOG_LEVEL", "warning")
    settings = load(SharedSettings)
    assert (settings.log_format, settings.log_level) == ("json", "warning")
