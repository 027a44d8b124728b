"""Positions and checkpoints: how every reader with state knows what it has seen, and that nobody else goes on for it.

stock_data numbers each symbol's records: an **epoch** (sortable id) and a **seq** (1, 2, 3 ...). Kafka's offsets
restart when a broker's log does, so they serve for reading only; what was seen is told by (epoch, seq).

A checkpoint is one transaction: what the reader keeps, the changed states, then `save`. The **fence** is the row's
claim: `load` takes the next number, `save` updates only under the number it got, and what is stored ahead of a
checkpoint is stored while `hold` has it. Nothing found = somebody else has loaded the partition since: roll back, drop
the state, load again.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import bulk
from services.shared.database import upsert
from services.shared.errors import Fenced
from services.shared.topics import partition_of

_EPOCH_WIDTH = 12  # hexadecimal milliseconds since 1970: enough until the year 10889


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """One record of a symbol. Positions of one symbol sort by age."""

    epoch: str
    seq: int


def new_epoch(now: datetime, after: str = "") -> str:
    """An epoch id that sorts behind every older one, and behind `after` even where the clock went back."""
    number = max(int(now.timestamp() * 1000), int(after[:_EPOCH_WIDTH], 16) + 1 if after else 0)
    return f"{number:0{_EPOCH_WIDTH}x}{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Step:
    """What a record is to its reader. fresh: not seen before; missed: records of this epoch lost before it."""

    fresh: bool
    missed: int
    new_epoch: bool


_REPEAT = Step(fresh=False, missed=0, new_epoch=False)
_NEXT = Step(fresh=True, missed=0, new_epoch=False)


class Tracker:
    """The last position of each symbol that a reader has seen."""

    def __init__(self, seen: Mapping[str, Position] | None = None) -> None:
        self._last: dict[str, tuple[str, int]] = {
            symbol: (position.epoch, position.seq) for symbol, position in (seen or {}).items()
        }

    def advance(self, symbol: str, epoch: str, seq: int) -> Step:
        """Takes one record in. Repeats and records of an older epoch are not fresh and change nothing."""
        last = self._last.get(symbol)
        if last is None:
            self._last[symbol] = (epoch, seq)
            return Step(fresh=True, missed=0, new_epoch=True)
        if epoch == last[0]:
            if seq <= last[1]:
                return _REPEAT
            self._last[symbol] = (epoch, seq)
            return _NEXT if seq == last[1] + 1 else Step(fresh=True, missed=seq - last[1] - 1, new_epoch=False)
        if epoch < last[0]:
            return _REPEAT
        self._last[symbol] = (epoch, seq)
        return Step(fresh=True, missed=seq - 1, new_epoch=True)

    def position(self, symbol: str) -> Position | None:
        last = self._last.get(symbol)
        return None if last is None else Position(*last)


@dataclass(frozen=True, slots=True)
class SymbolState:
    """What a reader keeps for one symbol: its last record and the reader's own bytes."""

    epoch: str
    seq: int
    state: bytes


@dataclass(frozen=True, slots=True)
class CheckpointTables:
    checkpoints: Table
    symbols: Table


def checkpoint_tables(metadata: MetaData) -> CheckpointTables:
    """The two tables of a room with state. `claim` is the fence; `next_offset` is meaningful in log `log_id` only."""
    return CheckpointTables(
        Table("checkpoints", metadata, *_checkpoint_columns()),
        Table("symbol_states", metadata, *_symbol_columns()),
    )


def create_checkpoint_tables(op: Any) -> None:
    """The same tables in an Alembic migration."""
    op.create_table("checkpoints", *_checkpoint_columns())
    op.create_table("symbol_states", *_symbol_columns())


def _checkpoint_columns() -> tuple[Column[Any], ...]:
    return (
        Column("reader", String(64), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("claim", BigInteger, nullable=False),
        Column("log_id", String(64), nullable=False),
        Column("next_offset", BigInteger, nullable=False),
    )


def _symbol_columns() -> tuple[Column[Any], ...]:
    return (
        Column("reader", String(64), primary_key=True),
        Column("symbol", String(32), primary_key=True),
        Column("partition", Integer, nullable=False, index=True),
        Column("epoch", String(32), nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("state", LargeBinary, nullable=False),
    )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A partition as its owner loaded it. next_offset is None where this log was never read."""

    reader: str
    partition: int
    claim: int
    log_id: str
    next_offset: int | None
    symbols: Mapping[str, SymbolState]


async def load(session: AsyncSession, tables: CheckpointTables, reader: str, partition: int, log_id: str) -> Checkpoint:
    """Claims the partition and reads where its work stands. From now on an older claim can't save."""
    rows, states = tables.checkpoints, tables.symbols
    first = {"reader": reader, "partition": partition, "claim": 0, "log_id": log_id, "next_offset": -1}
    await session.execute(upsert(session, rows).values(**first).on_conflict_do_nothing())
    mine = (rows.c.reader == reader) & (rows.c.partition == partition)
    claimed = (
        update(rows)
        .where(mine)
        .values(claim=rows.c.claim + 1)
        .returning(rows.c.claim, rows.c.log_id, rows.c.next_offset)
    )
    claim, stored_log, offset = (await session.execute(claimed)).one()
    found = await session.execute(
        select(states.c.symbol, states.c.epoch, states.c.seq, states.c.state).where(
            (states.c.reader == reader) & (states.c.partition == partition)
        )
    )
    symbols = {symbol: SymbolState(epoch, seq, state) for symbol, epoch, seq, state in found}
    return Checkpoint(
        reader, partition, claim, log_id, offset if stored_log == log_id and offset >= 0 else None, symbols
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a partition has come since it was loaded: its next offset, and the symbols that changed."""

    loaded: Checkpoint
    next_offset: int
    changed: Mapping[str, SymbolState]


async def save(
    session: AsyncSession,
    tables: CheckpointTables,
    loaded: Checkpoint,
    next_offset: int,
    changed: Mapping[str, SymbolState],
) -> None:
    """`save_all` of one partition."""
    await save_all(session, tables, [Reached(loaded, next_offset, changed)])


async def save_all(session: AsyncSession, tables: CheckpointTables, reached: Sequence[Reached]) -> None:
    """Stores the changed symbols and the offsets, in the caller's transaction. Raises Fenced where a claim is lost."""
    states = [
        {
            "reader": each.loaded.reader,
            "symbol": symbol,
            "partition": each.loaded.partition,
            "epoch": state.epoch,
            "seq": state.seq,
            "state": state.state,
        }
        for each in reached
        for symbol, state in each.changed.items()
    ]
    states.sort(key=lambda row: str(row["symbol"]))
    await bulk.insert_or_update(session, tables.symbols, states, ("reader", "symbol"))
    offsets = [
        {
            "reader": each.loaded.reader,
            "partition": each.loaded.partition,
            "claim": each.loaded.claim,
            "log_id": each.loaded.log_id,
            "next_offset": each.next_offset,
        }
        for each in reached
    ]
    await _under_claims(session, tables.checkpoints, offsets, _moving)


async def hold(session: AsyncSession, tables: CheckpointTables, loaded: Sequence[Checkpoint]) -> None:
    """Whoever loads these partitions waits for the caller's transaction. Raises Fenced where a claim is lost."""
    claims = [{"reader": each.reader, "partition": each.partition, "claim": each.claim} for each in loaded]
    await _under_claims(session, tables.checkpoints, claims, _holding)


_Values = Mapping[str, ColumnElement[Any]]
"""What comes with a statement as parameters, by the column it is for."""

_Making = Callable[[Table, _Values], Any]
"""Makes a statement that answers with the partitions whose claim holds."""


async def _under_claims(session: AsyncSession, rows: Table, claimed: bulk.Rows, making: _Making) -> None:
    """Executes the statement for these rows. Raises Fenced where it does not answer with each of them."""
    names, found = tuple(claimed[0]), set[int]()
    if bulk.takes_columns(session):
        found.update(await session.scalars(_for_all(rows, names, making), bulk.as_columns(claimed)))
    else:
        for row in claimed:
            values = {f"b_{name}": value for name, value in row.items()}
            found.update(await session.scalars(_for_each(rows, names, making), values))
    for row in claimed:
        if row["partition"] not in found:
            raise Fenced(f"partition {row['partition']} of {row['reader']} has another owner now")


@cache
def _for_all(rows: Table, names: tuple[str, ...], making: _Making) -> Any:
    return making(rows, dict(bulk.given(*(rows.c[name] for name in names)).c))


@cache
def _for_each(rows: Table, names: tuple[str, ...], making: _Making) -> Any:
    return making(rows, {name: bindparam(f"b_{name}", type_=rows.c[name].type) for name in names})


def _moving(rows: Table, to: _Values) -> Any:
    statement = update(rows).where(_is_ours(rows, to)).values(next_offset=to["next_offset"], log_id=to["log_id"])
    return statement.returning(rows.c.partition)


def _holding(rows: Table, claims: _Values) -> Any:
    return select(rows.c.partition).where(_is_ours(rows, claims)).with_for_update(read=True, of=rows)


def _is_ours(rows: Table, given: _Values) -> ColumnElement[bool]:
    mine = (rows.c.reader == given["reader"]) & (rows.c.partition == given["partition"])
    return mine & (rows.c.claim == given["claim"])


async def worked_through(session: AsyncSession, tables: CheckpointTables, reader: str) -> dict[str, Position]:
    """The last checkpointed position of each symbol."""
    states = tables.symbols
    rows = await session.execute(select(states.c.symbol, states.c.epoch, states.c.seq).where(states.c.reader == reader))
    return {symbol: Position(epoch, seq) for symbol, epoch, seq in rows}


async def repartition(session: AsyncSession, tables: CheckpointTables, reader: str, partitions: int) -> None:
    """Puts each symbol's state under the partition it has among `partitions`: the number differs between brokers."""
    states = tables.symbols
    rows = (await session.execute(select(states.c.symbol, states.c.partition).where(states.c.reader == reader))).all()
    for symbol, partition in rows:
        if (right := partition_of(symbol, partitions)) != partition:
            await session.execute(
                update(states).where((states.c.reader == reader) & (states.c.symbol == symbol)).values(partition=right)
            )


async def forget(session: AsyncSession, tables: CheckpointTables, reader: str) -> None:
    """Removes everything a reader has kept: it begins anew."""
    await session.execute(delete(tables.symbols).where(tables.symbols.c.reader == reader))
    await session.execute(delete(tables.checkpoints).where(tables.checkpoints.c.reader == reader))


def moved(state: SymbolState, position: Position, data: bytes | None) -> SymbolState:
    """`state` at a later position, with new bytes where there are some."""
    return replace(state, epoch=position.epoch, seq=position.seq, state=state.state if data is None else data)
