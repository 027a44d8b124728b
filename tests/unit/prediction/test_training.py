"""One training: from the whole history before the cut, with a word about each step, given up when told to stop."""

import logging
from pathlib import Path

import pytest

from services.prediction.artifacts import Artifacts
from services.prediction.core.fitting import TooFewRows, train
from services.prediction.training import Trainer
from services.shared.errors import Unavailable
from tests.unit.prediction.samples import FakeStock, market

BARS = market(180, tickers=2)
CUT = BARS["AAA"][170].time


@pytest.fixture
def stock() -> FakeStock:
    return FakeStock(BARS, started=CUT)


async def test_trains_on_what_came_before_and_writes_the_file(
    stock: FakeStock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickroom")
    artifacts = Artifacts(tmp_path)
    trained = await Trainer(stock, artifacts).train("1d", CUT)
    expected = train(BARS, horizon="1d", before=CUT, progress=lambda step: None)
    assert trained.forecaster.model == expected
    assert artifacts.load(expected.version, trained.sha256) == expected
    assert trained.took_s > 0
    assert stock.asked == [("AAA", CUT), ("BBB", CUT)]
    assert caplog.messages[:3] == [
        f"training on the history of 2 tickers before {CUT[:10]}",
        "training: 238 rows of 2 tickers on 119 dates",
        "training: fold 1 of 5",
    ]


async def test_too_little_history(stock: FakeStock, tmp_path: Path) -> None:
    with pytest.raises(TooFewRows):
        await Trainer(stock, Artifacts(tmp_path)).train("1d", BARS["AAA"][60].time)
    assert not (tmp_path / "models").exists()


async def test_a_stopped_trainer_gives_up(stock: FakeStock, tmp_path: Path) -> None:
    trainer = Trainer(stock, Artifacts(tmp_path))
    trainer.stop()
    with pytest.raises(Unavailable, match="stopping"):
        await trainer.train("1d", CUT)
    assert not (tmp_path / "models").exists()
