"""Rows of prediction's database: promoted models, latest signals. Sessions are the caller's, and so is the commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.prediction.core.models import Model
from services.prediction.tables import LatestSignalRow, ModelRow
from services.shared.database import upsert


class Latest(NamedTuple):
    """The last signal of a symbol. event: as it stands on topic `signals`."""

    symbol: str
    epoch: str
    seq: int
    event: bytes


async def promoted_models(session: AsyncSession, feed: str, bar: str, horizon: str) -> Sequence[ModelRow]:
    """The promoted models of a feed, the oldest cut first."""
    found = await session.scalars(
        select(ModelRow)
        .where(ModelRow.feed == feed, ModelRow.bar == bar, ModelRow.horizon == horizon, ModelRow.promoted)
        .order_by(ModelRow.cut)
    )
    return found.all()


async def promote(
    session: AsyncSession, model: Model, *, feed: str, cut: str, sha256: str, training_s: float, now: datetime
) -> None:
    """From `cut` on `model` decides. The same model by two replicas is one row; another one at that cut replaces it."""
    values = {
        "version": model.version,
        "sha256": sha256,
        "definition": model.definition,
        "promoted": True,
        "sessions": model.sessions,
        "training_s": training_s,
        "metrics": msgspec.to_builtins(model.tickers),
        "created_at": now,
    }
    keys = {"feed": feed, "bar": model.bar, "horizon": model.horizon, "cut": cut}
    statement = upsert(session, ModelRow).values(**keys, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=values))


async def save_latest(session: AsyncSession, signals: Sequence[Latest]) -> None:
    """Each symbol's last signal, at most one of a symbol."""
    if not signals:
        return
    statement = upsert(session, LatestSignalRow)
    statement = statement.on_conflict_do_update(
        index_elements=["symbol"], set_={name: statement.excluded[name] for name in ("epoch", "seq", "event")}
    )
    await session.execute(statement, [signal._asdict() for signal in signals])


async def latest_signals(session: AsyncSession, symbols: Sequence[str]) -> list[Latest]:
    """By symbol; of all symbols where none is named."""
    query = select(LatestSignalRow).order_by(LatestSignalRow.symbol)
    if symbols:
        query = query.where(LatestSignalRow.symbol.in_(symbols))
    return [Latest(row.symbol, row.epoch, row.seq, row.event) for row in await session.scalars(query)]
