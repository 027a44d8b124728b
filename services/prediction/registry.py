"""Which model decides at which instant: loaded where there is one, trained where one is due (core/schedule.py).

Models belong to instants of the data's time, never of the wall clock: the model in effect at a bar is the promoted one
with the latest cut not after it. So a rerun, a crash, a loop of the replay and another replica use the same models for
the same bars, and no bar is decided by a model that has seen it.
"""

import asyncio
import logging
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from services.prediction import metrics, store
from services.prediction.artifacts import Artifacts
from services.prediction.clients import Feed, StockData
from services.prediction.core.features import DEFINITION
from services.prediction.core.fitting import TooFewRows
from services.prediction.core.models import BrokenModel, Forecaster, Model
from services.prediction.core.schedule import is_due, month_start, months
from services.prediction.tables import ModelRow
from services.prediction.training import Trainer
from services.prediction.warmup import WarmUp
from services.shared.database import Database, is_passing
from services.shared.errors import TickroomError, Unavailable

_BAR = "1d"
_LONGEST_PAUSE_S = 1.0
_PATIENCE_S = 0.5  # rooms that start together find one another sooner: nothing to tell of

_log = logging.getLogger("tickroom.prediction")


@dataclass(frozen=True, slots=True)
class Effective:
    """A model that decides about bars from `cut` on. training_s: how long its training took."""

    cut: str
    training_s: float
    forecaster: Forecaster

    @property
    def model(self) -> Model:
        return self.forecaster.model


class Registry:
    """The models of daily bars and one horizon, for the feed that stock_data follows."""

    def __init__(
        self,
        stock: StockData,
        database: Database,
        artifacts: Artifacts,
        *,
        horizon: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.horizon = horizon
        self.warm_up = WarmUp(clock)
        self._stock, self._database, self._artifacts, self._clock = stock, database, artifacts, clock
        self._models: list[Effective] = []
        self._feed = Feed("", "", "", "")
        self._looked_at: set[str] = set()  # months whose start is known to need no training, or none that works
        self._ready = asyncio.Event()
        self._training = asyncio.Lock()
        self._trainer = Trainer(stock, artifacts)
        self._stopping = False

    @property
    def is_ready(self) -> bool:
        """Is it known which model decides, be it none?"""
        return self._ready.is_set() and not self._stopping

    async def ready(self) -> None:
        """Waits for `prepare`. Raises Unavailable where the process stops first."""
        await self._ready.wait()
        if self._stopping:
            raise Unavailable("prediction is stopping")

    async def follow(self, epoch: str) -> None:
        """A record of `epoch` has come: where that is a new one, the feed may have begun elsewhere, or be another."""
        if epoch > self._feed.epoch:
            async with self._training:
                if epoch > self._feed.epoch:
                    await self._prepare()

    def stop(self) -> None:
        """Ends a training under way at its next step and lets nobody wait any longer."""
        self._stopping = True
        self._trainer.stop()
        self._ready.set()

    async def prepare(self) -> None:
        """Loads the promoted models, and trains where none is fit for the epoch's start. Waits for stock_data."""
        pause, said = 0.1, ""
        while True:
            try:
                await self._prepare()
                break
            except (TickroomError, SQLAlchemyError, OSError) as error:
                if self._stopping or not (getattr(error, "retryable", False) or is_passing(error)):
                    raise
                if pause >= _PATIENCE_S and str(error) != said:
                    said = str(error)
                    _log.info("no model yet: %s", said)
                    self.warm_up.failed(error.detail if isinstance(error, TickroomError) else "the database is away")
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.5)
        self.warm_up.completed()
        self._ready.set()

    def at(self, time: str) -> Effective | None:
        """The model in effect at an instant of the data's time."""
        place = bisect_right(self._models, time, key=lambda model: model.cut)
        return self._models[place - 1] if place else None

    def current(self, time: str) -> Effective | None:
        """The model for a forecast from what is known at `time`, which may be history before the epoch's start."""
        return self.at(max(time, self._feed.started))

    async def for_bar(self, time: str) -> Effective | None:
        """The model that decides about a bar final at `time`; trains first where one is due by then."""
        month = time[:7]
        if month not in self._looked_at:
            async with self._training:
                await self._train_through(month)
        return self.at(time)

    async def _train_through(self, month: str) -> None:
        """Trains whatever was due up to the start of `month`, in order.

        A symbol may come here years before the others do (its partition is read first, or it was listed late): when a
        model is due must not depend on who asks first.
        """
        for each in months(self._feed.started[:7], month):
            if each not in self._looked_at:
                cut = month_start(each)
                await self._train_if_due(self._feed.name, cut, self.at(cut))
                self._looked_at.add(each)

    async def _prepare(self) -> None:
        feed = await self._stock.feed()
        if not feed.epoch:
            raise Unavailable("the feed has not begun")
        fit = await self._promoted(feed)
        self._models = [each for each in self._models if (each.cut, each.model.version) in fit]
        held = {each.cut for each in self._models}
        for row in fit.values():
            if row.cut not in held:
                await self._restore(row)
        await self._train_if_due(feed.name, feed.started, self.at(feed.started))
        self._looked_at.clear()
        self._feed = feed

    async def _promoted(self, feed: Feed) -> dict[tuple[str, str], ModelRow]:
        """The rows fit for `feed`, by (cut, version): of its tickers (others are another file's), of our features."""
        tickers = set(await self._stock.tickers())
        async with self._database.reading() as session:
            rows = await store.promoted_models(session, feed.name, _BAR, self.horizon)
        fit = [row for row in rows if row.definition == DEFINITION and not tickers.isdisjoint(row.metrics)]
        return {(row.cut, row.version): row for row in fit}

    async def _restore(self, row: ModelRow) -> None:
        try:
            model = await asyncio.to_thread(self._artifacts.load, row.version, row.sha256)
            forecaster = await asyncio.to_thread(Forecaster, model)
        except BrokenModel as error:
            _log.warning("model %s is lost: %s; training it again", row.version, error.detail)
            self.warm_up.failed(f"model {row.version} was lost")
            await self._train(row.feed, row.cut)
            return
        self._add(Effective(row.cut, row.training_s, forecaster))
        self.warm_up.loaded()
        _log.info("model %s loaded: it decides from %s on", row.version, row.cut[:10])

    async def _train_if_due(self, feed: str, cut: str, last: Effective | None) -> None:
        if is_due(cut, last.cut if last else None, last.model.sessions if last else 0):
            await self._train(feed, cut)

    async def _train(self, feed: str, cut: str) -> None:
        """Trains, stores and promotes the model of `cut`; leaves things as they are where history is too short."""
        try:
            trained = await self._trainer.train(self.horizon, cut)
        except TooFewRows as error:
            _log.info("no model yet: %s", error.detail)
            self.warm_up.failed(error.detail)
            return
        model, now = trained.forecaster.model, self._clock()
        async with self._database.transaction() as session:
            await store.promote(
                session,
                model,
                feed=feed,
                cut=cut,
                sha256=trained.sha256,
                training_s=trained.took_s,
                now=now,
            )
        self._add(Effective(cut, trained.took_s, trained.forecaster))
        self.warm_up.trained()
        skill = model.overall.skill()
        _log.info("model %s trained in %.1f s, decides from %s on", model.version, trained.took_s, cut[:10])
        right, up = 100 * skill.hit_rate, 100 * skill.baseline_hit_rate
        _log.info("its direction was right in %.1f %% of %d unseen rows; always up: %.1f %%", right, skill.count, up)

    def _add(self, model: Effective) -> None:
        self._models = [each for each in self._models if each.cut != model.cut]
        insort(self._models, model, key=lambda each: each.cut)
        metrics.MODELS.set(len(self._models))
