"""Models that several tests look at; training takes a moment, so once for all of them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.prediction.artifacts import Artifacts
from services.prediction.core.fitting import train
from services.prediction.core.models import Forecaster, Model
from services.prediction.registry import Registry
from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from tests.unit.prediction.samples import NOW, REPLAYED, STARTED, FakeStock, market

BARS = 320
CUT = 260
"""The models here are trained before this bar of `market(BARS, memory=...)`."""


def made(memory: float) -> Model:
    histories = market(BARS, memory=memory)
    return train(histories, horizon="1d", before=histories["AAA"][CUT].time, progress=lambda step: None)


@pytest.fixture(scope="session")
def model() -> Model:
    """Of walks that tend to undo their last move: there is something to learn."""
    return made(memory=-0.5)


@pytest.fixture(scope="session")
def forecaster(model: Model) -> Forecaster:
    return Forecaster(model)


@pytest.fixture(scope="session")
def blind() -> Model:
    """Of walks without memory: there is nothing to learn."""
    return made(memory=0.0)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with prediction's empty tables."""
    folder = tmp_path_factory.mktemp("migrated")

    async def make() -> None:
        opened = open_database(SharedSettings(data_dir=folder), "prediction")
        await opened.migrate()
        await opened.close()

    asyncio.run(make())
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A DATA_DIR in which the model of `samples.REPLAYED` was trained at `samples.STARTED`."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(migrated, folder, dirs_exist_ok=True)

    async def make() -> None:
        opened = open_database(SharedSettings(data_dir=folder), "prediction")
        stock = FakeStock(REPLAYED, started=STARTED)
        await Registry(stock, opened, Artifacts(folder), horizon="1d", clock=lambda: NOW).prepare()
        await opened.close()

    asyncio.run(make())
    return folder


@pytest.fixture
async def database(migrated: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """Prediction's own, migrated, on SQLite; its DATA_DIR is `tmp_path`."""
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)
    opened = open_database(SharedSettings(data_dir=tmp_path), "prediction")
    yield opened
    await opened.close()


@pytest.fixture
def stock() -> FakeStock:
    """stock_data at the begin of a replay of `samples.REPLAYED`."""
    return FakeStock(REPLAYED, started=STARTED)


@pytest.fixture
async def registry(stock: FakeStock, database: Database, trained: Path, tmp_path: Path) -> Registry:
    """After a restart: its model is loaded."""
    await database.close()
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    registry = Registry(stock, database, Artifacts(tmp_path), horizon="1d", clock=lambda: NOW)
    await registry.prepare()
    return registry
