"""What is left out where its tools are not at hand (`.ci/run` insists on all of them); users on the least there is."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.shared.embedded_kafka import embedded_kafka
from tests.integration.users_house import House

if TYPE_CHECKING:
    from services.shared.rpc.users_pb2_grpc import UsersAsyncStub  # stands in the type stub alone

collect_ignore = []
if os.environ.get("CI") != "true" and (shutil.which("node") is None or shutil.which("npm") is None):
    collect_ignore += ["test_client_typescript.py", "test_delivery_page.py"]


@pytest.fixture
async def small_house(tmp_path: Path) -> AsyncIterator[House]:
    """For what does not depend on the kind of server: SQLite and the embedded broker, and a market that has symbols."""
    async with embedded_kafka(partitions=4) as kafka:
        house = House(tmp_path, None, kafka)
        async with house.market():
            yield house


@pytest.fixture
async def house(small_house: House) -> House:
    """Where a file wants no other."""
    return small_house


@pytest.fixture
async def users(house: House) -> AsyncIterator[UsersAsyncStub]:
    async with house.running() as stub:
        yield stub
