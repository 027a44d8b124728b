"""Alert rules as the owner of their symbol loads and saves them.

A rule is **taken** when the owner knows of its newest version, or of its deletion. That is a mark in the row and not a
place in a sequence: transactions may become visible in another order than they were numbered in, and nothing is missed.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    Update,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import bulk
from services.shared.positions import Position
from services.users.core.condition import Source
from services.users.core.conditions import decode_conditions, encode_conditions
from services.users.core.journal import Watch
from services.users.core.rules import Rule, RuleState
from services.users.core.symbol_alerts import decode_side
from services.users.store import MOST_PARAMETERS, decode_channels
from services.users.tables import CHECKPOINTS, AlertRow, WatchedSymbolRow, table_of

_alerts: Final = table_of(AlertRow)
_decode_state = msgspec.json.Decoder(RuleState).decode
_encode = msgspec.json.Encoder().encode
_NEWS: Final[ColumnElement[bool]] = literal_column("NOT taken")  # word for word as in the partial index
_IT: Final[ColumnElement[bool]] = (
    (_alerts.c.id == bindparam("b_id")) & (_alerts.c.revision == bindparam("b_revision")) & ~_alerts.c.deleted
)
_SAVED: Final = tuple(_alerts.c[name] for name in ("id", "version", "status", "state", "conditions"))


def _saving(new: Mapping[str, ColumnElement[Any]]) -> Update:
    """Changes the rule and version that `new` names, where a user has not deleted it; a paused one stays so."""
    mine = (_alerts.c.id == new["id"]) & (_alerts.c.version == new["version"])
    status = case((_alerts.c.status == "paused", "paused"), else_=new["status"])
    values = {"status": status, "state": new["state"], "conditions": new["conditions"]}
    return update(_alerts).where(mine, ~_alerts.c.deleted).values(**values)


_SAVE_EACH: Final = _saving({each.name: bindparam(f"b_{each.name}", type_=each.type) for each in _SAVED})
_SAVE_ALL: Final = _saving(dict(bulk.given(*_SAVED).c))
_WANTED: Final = {
    columns: select(_alerts.c.id, _alerts.c.symbol, _alerts.c.channels).where(
        bulk.is_one_of(_alerts.c.id, "ids", columns=columns),
        _alerts.c.source == bindparam("of"),
        ~_alerts.c.deleted,
        _alerts.c.status != "paused",
    )
    for columns in (False, True)
}
_WITH_NEWS: Final = select(_alerts.c.source, _alerts.c.symbol).where(_NEWS).distinct()
_PIECE: Final = 500
"""Rows taken in between two breaths of the event loop: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class News:
    """A rule that its owner has not taken in yet, or (deleted) has to let go. live: it is to be watched.

    revision: counts every change of it; what was changed once more since it was read is news again.
    """

    watch: Watch
    deleted: bool
    live: bool
    revision: int


async def watched_symbols(session: AsyncSession) -> list[str]:
    """Every symbol that has, or once had, a rule."""
    return list(await session.scalars(select(WatchedSymbolRow.symbol)))


async def symbols_with_news(session: AsyncSession) -> list[tuple[Source, str]]:
    """The symbols with rules that nobody has taken in, each with the source that these wait on."""
    found = await session.execute(_WITH_NEWS)
    return [(source, symbol) for source, symbol in found]


async def news(session: AsyncSession, symbols: Sequence[str], limit: int, source: Source = "prices") -> list[News]:
    """Rules of these symbols that nobody has taken in, oldest first."""
    mine = _alerts.c.symbol.in_(symbols) & (_alerts.c.source == source)
    rows = await session.execute(_loading().where(_NEWS, mine).order_by(_alerts.c.number).limit(limit))
    return [_news(row) for row in rows]


async def rules_of(
    session: AsyncSession, symbols: Sequence[str], source: Source = "prices"
) -> AsyncIterator[tuple[list[Watch], list[News]]]:
    """Everything to be watched for these symbols, piece by piece: what was taken in and is active, and the news.

    The database keeps the rest meanwhile: a million rules are never in memory as rows.
    """
    for first in range(0, len(symbols), MOST_PARAMETERS):
        some = symbols[first : first + MOST_PARAMETERS]
        wanted = _alerts.c.symbol.in_(some) & ((_alerts.c.status == "active") | _NEWS)
        rows = await session.stream(
            _loading().where(wanted, _alerts.c.source == source).order_by(_alerts.c.symbol, _alerts.c.number),
            execution_options={"yield_per": _PIECE},
        )
        async for piece in rows.partitions():
            yield (
                [_watch(row) for row in piece if row[_TAKEN]],
                [_news(row) for row in piece if not row[_TAKEN]],
            )


async def take(session: AsyncSession, rules: Mapping[tuple[str, int], Position]) -> None:
    """Marks rules (id, revision) as taken in: what begins anew counts from the record after the position."""
    begun = {
        "active_from_epoch": func.coalesce(_alerts.c.active_from_epoch, bindparam("b_epoch", type_=String)),
        "active_from_seq": func.coalesce(_alerts.c.active_from_seq, bindparam("b_seq", type_=BigInteger)),
    }
    statement = update(_alerts).where(_IT).values(taken=True, status="active", **begun)
    rows = [
        {"b_id": rule_id, "b_revision": revision, "b_epoch": position.epoch, "b_seq": position.seq}
        for (rule_id, revision), position in rules.items()
    ]
    if rows:
        await session.execute(statement, rows)


async def settle(session: AsyncSession, rules: Iterable[tuple[str, int]]) -> None:
    """Marks rules (id, revision) that there is nothing to watch for (paused ones) as known."""
    rows = [{"b_id": rule_id, "b_revision": revision} for rule_id, revision in rules]
    if rows:
        await session.execute(update(_alerts).where(_IT).values(taken=True), rows)


async def purge(session: AsyncSession, ids: Sequence[str]) -> None:
    """Removes rules that were deleted and let go."""
    if ids:
        await session.execute(delete(_alerts).where(_alerts.c.id.in_(ids), _alerts.c.deleted))


async def save(session: AsyncSession, watches: Iterable[Watch]) -> None:
    """Keeps what the engine has made of rules; versions that are not the newest any more are left alone.

    A rule that was paused meanwhile stays so.
    """
    rows = [
        {
            "id": watch.rule.id,
            "version": watch.rule.version,
            "status": watch.status,
            "state": _encode(watch.state),
            "conditions": encode_conditions(watch.rule.conditions),
        }
        for watch in watches
    ]
    if rows and bulk.takes_columns(session):
        await session.execute(_SAVE_ALL, bulk.as_columns(rows))
    elif rows:
        await session.execute(_SAVE_EACH, [{f"b_{name}": value for name, value in row.items()} for row in rows])


async def still_wanted(
    session: AsyncSession, rule_ids: Iterable[str], source: Source
) -> dict[tuple[str, str], list[str]]:
    """(id, symbol) of those that nobody has deleted, paused, or sent to another symbol or topic, and their channels.

    A changed one is wanted: its old version is in force until the new one is taken in.
    """
    ids = sorted(set(rule_ids))
    found: dict[tuple[str, str], list[str]] = {}
    wanted = _WANTED[bulk.takes_columns(session)]
    for first in range(0, len(ids), MOST_PARAMETERS):
        rows = await session.execute(wanted, {"ids": ids[first : first + MOST_PARAMETERS], "of": source})
        found.update(((rule_id, symbol), decode_channels(channels)) for rule_id, symbol, channels in rows)
    return found


async def last_prices(session: AsyncSession, reader: str, symbols: Iterable[str]) -> dict[str, float]:
    """The last price that the rules on prices have seen and stored, by symbol."""
    states = CHECKPOINTS.symbols
    rows = await session.execute(
        select(states.c.symbol, states.c.state).where(states.c.reader == reader, states.c.symbol.in_(sorted(symbols)))
    )
    sides = ((symbol, decode_side(state)) for symbol, state in rows if state)
    return {symbol: side.price for symbol, side in sides if side.price is not None}


def _loading() -> Any:
    columns = _alerts.c
    return select(
        columns.id,
        columns.version,
        columns.user_id,
        columns.symbol,
        columns.conditions,
        columns.trigger,
        columns.cooldown_s,
        columns.hysteresis_pct,
        columns.expires_at,
        columns.message,
        columns.market_hours_only,
        columns.snoozed_until,
        columns.state,
        columns.status,
        columns.deleted,
        columns.taken,
        columns.revision,
    )


_TAKEN: Final = 15


def _watch(row: Any) -> Watch:
    # by position, in the order of `_loading`: at a start this is done for every rule there is
    rule_id, version, user, symbol, conditions, trigger, cooldown_s, share, expiry, said, hours, snooze, state, *_ = row
    found = decode_conditions(conditions)
    rule = Rule(rule_id, version, user, symbol, found, trigger, cooldown_s, share, expiry, said, hours, snooze)
    return Watch(rule, RuleState() if state == b"{}" else _decode_state(state))


def _news(row: Any) -> News:
    live = row.status in ("pending", "active")
    return News(_watch(row), deleted=row.deleted, live=live, revision=row.revision)
