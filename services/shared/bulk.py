"""Many rows in one statement. PostgreSQL takes whole columns, as arrays; to SQLite it makes no difference.

What is prepared here depends on the columns alone, so that SQLAlchemy compiles each statement once.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import ARRAY, Column, ColumnElement, TableValuedAlias, any_, bindparam, column, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import Table

_MOST_PARAMETERS: Final = 5_000
_MANY: Final = 50

Rows = Sequence[Mapping[str, Any]]
"""By the name of a column; the same names in each."""


def takes_columns(session: AsyncSession) -> bool:
    """Is it a database for `given`?"""
    return session.get_bind().dialect.name == "postgresql"


def given(*columns: Column[Any]) -> TableValuedAlias:
    """Rows that come as parameters, one array for each of these columns (`as_columns`), as a table `given`."""
    arrays = [bindparam(f"given_{each.name}", type_=ARRAY(each.type)) for each in columns]
    names = [column(each.name, each.type) for each in columns]
    return func.unnest(*arrays).table_valued(*names, with_ordinality="place").render_derived(name="given")


def as_columns(rows: Rows) -> dict[str, list[Any]]:
    """The parameters of a statement with `given`. At least one row."""
    return {f"given_{name}": [row[name] for row in rows] for name in rows[0]}


async def insert_new(session: AsyncSession, table: Table, rows: Rows, *, in_turn: str = "") -> None:
    """Inserts rows in this order, save for those that meet a unique one that stands there already.

    in_turn: from here to its end, no other transaction that names the same is here (SQLite has but one writer).
    """
    if not rows:
        return
    if takes_columns(session):
        await session.execute(_insert_new(table, tuple(rows[0]), in_turn), as_columns(rows))
    else:
        await session.execute(_insert_new_each(table), rows)


async def insert_or_update(session: AsyncSession, table: Table, rows: Rows, key: tuple[str, ...]) -> None:
    """Inserts rows; those whose `key` stands there already are brought up to date. No two may have the same."""
    if not rows:
        return
    names = tuple(rows[0])
    if takes_columns(session):
        await session.execute(_insert_or_update(table, names, key), as_columns(rows))
    else:
        await session.execute(_insert_or_update_each(table, names, key), rows)


async def insert_told(session: AsyncSession, table: Table, rows: Rows) -> set[str]:
    """As `insert_new`, of a table with ids: those of the rows that were inserted."""
    if not rows:
        return set()
    if takes_columns(session):
        return set(await session.scalars(_insert_told(table, tuple(rows[0])), as_columns(rows)))
    if len(rows) < _MANY:
        return set(await session.scalars(_insert_told_each(table), rows))
    ids = [row["id"] for row in rows]
    before = await _present(session, table, ids)
    await session.execute(_insert_new_each(table), rows)
    return await _present(session, table, ids) - before  # half the time of RETURNING


def is_one_of(what: Column[Any], name: str, *, columns: bool) -> ColumnElement[bool]:
    """`what IN (...)` the list that comes as parameter `name`. columns: for a database that `takes_columns`."""
    if columns:
        return what == any_(bindparam(name, type_=ARRAY(what.type)))
    return what.in_(bindparam(name, expanding=True))


async def _present(session: AsyncSession, table: Table, ids: Sequence[str]) -> set[str]:
    found = set[str]()
    for first in range(0, len(ids), _MOST_PARAMETERS):
        some = table.c.id.in_(ids[first : first + _MOST_PARAMETERS])
        found.update(await session.scalars(select(table.c.id).where(some)))
    return found


@cache
def _insert_new(table: Table, names: tuple[str, ...], in_turn: str) -> PostgresInsert:
    return _insert(table, names, in_turn).on_conflict_do_nothing()


@cache
def _insert_told(table: Table, names: tuple[str, ...]) -> Any:
    return _insert(table, names).on_conflict_do_nothing().returning(table.c.id)


@cache
def _insert_or_update(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> Any:
    return _updating(_insert(table, names), names, key)


@cache
def _insert_new_each(table: Table) -> Any:
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _insert_told_each(table: Table) -> Any:
    return _insert_new_each(table).returning(table.c.id)


@cache
def _insert_or_update_each(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> Any:
    return _updating(sqlite.insert(table), names, key)


def _insert(table: Table, names: tuple[str, ...], in_turn: str = "") -> PostgresInsert:
    rows = given(*(table.c[name] for name in names))
    inserted = select(*(rows.c[name] for name in names)).order_by(rows.c.place)
    if in_turn:  # no row comes, and none gets a number, before the lock is ours
        turn = select(func.pg_advisory_xact_lock(func.hashtext(in_turn)).label("turn")).cte("in_turn")
        inserted = inserted.select_from(rows.join(turn, true()))
    return postgresql.insert(table).from_select(names, inserted)


def _updating(insert: Any, names: Collection[str], key: Collection[str]) -> Any:
    news = {name: insert.excluded[name] for name in names if name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=news)
