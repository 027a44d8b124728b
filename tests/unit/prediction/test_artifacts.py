"""Model files are whole or absent, and what is not what was saved is refused."""

from pathlib import Path

import pytest

from services.prediction.artifacts import Artifacts
from services.prediction.core.models import BrokenModel, Model


def test_what_is_saved_is_loaded(model: Model, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "new")
    digest = artifacts.save(model)
    assert artifacts.load(model.version, digest) == model
    assert artifacts.save(model) == digest  # again, by another replica
    assert [path.name for path in (tmp_path / "new" / "models").iterdir()] == [f"{model.version}.json"]


def test_missing_and_damaged_files(model: Model, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    digest = artifacts.save(model)
    path = artifacts.path(model.version)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenModel, match="is damaged"):
        artifacts.load(model.version, digest)
    path.unlink()
    with pytest.raises(BrokenModel, match="No such file"):
        artifacts.load(model.version, digest)


def test_a_failed_write_leaves_nothing_behind(model: Model, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.path(model.version).mkdir(parents=True)  # a folder in the way
    with pytest.raises(OSError, match="directory"):
        artifacts.save(model)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{model.version}.json"]
