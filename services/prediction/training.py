"""Training of one model from the history of every ticker, in a thread, with a word about each step."""

import asyncio
import logging
import threading
from dataclasses import dataclass
from time import perf_counter

from services.prediction import metrics
from services.prediction.artifacts import Artifacts
from services.prediction.clients import StockData
from services.prediction.core.fitting import train
from services.prediction.core.models import Forecaster
from services.shared.errors import Unavailable

_log = logging.getLogger("tickroom.prediction")


@dataclass(frozen=True, slots=True)
class Trained:
    """A model ready to use, its file written. sha256: of the file; took_s: without fetching the history."""

    forecaster: Forecaster
    sha256: str
    took_s: float


class Trainer:
    """Trains models of daily bars. A stopped one gives up at its next step."""

    def __init__(self, stock: StockData, artifacts: Artifacts) -> None:
        self._stock, self._artifacts = stock, artifacts
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def train(self, horizon: str, cut: str) -> Trained:
        """From all bars final before the instant `cut`. Raises TooFewRows; Unavailable where stock_data or we stop."""
        tickers = await self._stock.tickers()
        _log.info("training on the history of %d tickers before %s", len(tickers), cut[:10])
        histories = {ticker: (await self._stock.history(ticker, before=cut)).bars for ticker in tickers}

        def work() -> Trained:
            import lightgbm  # noqa: F401 (with pandas it takes seconds: not the training's)

            began = perf_counter()
            model = train(histories, horizon=horizon, before=cut, progress=self._progress)
            digest = self._artifacts.save(model)
            return Trained(Forecaster(model), digest, perf_counter() - began)

        trained = await asyncio.to_thread(work)
        metrics.TRAINING_SECONDS.observe(trained.took_s)
        return trained

    def _progress(self, step: str) -> None:
        """Called from the training's thread."""
        if self._stopping.is_set():
            raise Unavailable("prediction is stopping")
        _log.info("training: %s", step)
