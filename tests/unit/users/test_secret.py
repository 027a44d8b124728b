"""The secret of embedded mode."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.shared.config import SharedSettings
from services.shared.errors import StartFailed
from services.users.secret import secret_key


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = SharedSettings(data_dir=tmp_path / "data")
    made = secret_key(settings)
    assert len(made) == 64
    assert secret_key(settings) == made
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["secret"]


def test_a_file_that_others_can_read_is_closed(tmp_path: Path) -> None:
    settings = SharedSettings(data_dir=tmp_path)
    made = secret_key(settings)
    (tmp_path / "secret").chmod(0o644)
    assert secret_key(settings) == made
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_the_setting_wins(tmp_path: Path) -> None:
    settings = SharedSettings(data_dir=tmp_path, secret_key=SecretStr("k" * 32))
    assert secret_key(settings) == "k" * 32
    assert list(tmp_path.iterdir()) == []


def test_on_real_servers_it_must_be_set(tmp_path: Path) -> None:
    settings = SharedSettings(
        data_dir=tmp_path, kafka_bootstrap_servers="kafka:9092", internal_token=SecretStr("t" * 16)
    )
    with pytest.raises(StartFailed, match="SECRET_KEY"):
        secret_key(settings)


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(StartFailed, match="secret"):
        secret_key(SharedSettings(data_dir=tmp_path))
