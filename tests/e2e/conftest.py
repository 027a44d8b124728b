"""What only `--full` runs."""

from pathlib import Path

import pytest

ONLY_FULL = frozenset({"test_alert_kills.py", "test_alert_outages.py", "test_alert_replicas.py"})
"""Minutes each: alerts against an uninterrupted run, while the room or its servers are stopped at random moments."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.name in ONLY_FULL and not config.getoption("--full") else None
