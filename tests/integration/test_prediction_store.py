"""The suite of the store once more, on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from tests.unit.prediction.conftest import model
from tests.unit.prediction.test_store import (
    test_a_second_promotion_at_a_cut_replaces_the_first,
    test_latest_signals,
    test_promoted_models_by_cut,
)

__all__ = [
    "model",
    "test_a_second_promotion_at_a_cut_replaces_the_first",
    "test_latest_signals",
    "test_promoted_models_by_cut",
]


@pytest.fixture
async def database(postgres_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    opened = open_database(SharedSettings(data_dir=tmp_path, database_url=SecretStr(postgres_url)), "prediction")
    await opened.migrate()
    yield opened
    await opened.close()
