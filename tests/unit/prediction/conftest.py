"""Models that several tests look at; training takes a moment, so once for all of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.prediction.core.fitting import train
from services.prediction.core.models import Forecaster, Model
from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from tests.unit.prediction.samples import market

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


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Prediction's own, migrated, on SQLite."""
    opened = open_database(SharedSettings(data_dir=tmp_path), "prediction")
    await opened.migrate()
    yield opened
    await opened.close()
