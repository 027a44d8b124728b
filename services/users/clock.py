"""Silence on live feeds: where no record comes at all, somebody has to say how late it is."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.shared.errors import TickroomError
from services.users.intake import Desk

_EVERY_S: Final = 5.0
_log = logging.getLogger("tickroom.users.clock")


async def tell_the_time(desks: Sequence[Desk], now: Callable[[], str], every_s: float = _EVERY_S) -> None:
    """Tells the rules of live feeds what time it is (RFC 3339), one timer for all of them, until it is cancelled."""
    while True:
        await asyncio.sleep(every_s)
        for desk in desks:
            for partition in sorted(desk.reader.owned):
                if desk.work.listening(partition, now()):
                    try:
                        await _pass_time(desk, partition, now())
                    except (TickroomError, SQLAlchemyError, OSError, TimeoutError) as error:
                        _log.warning("a silence can't be told of just now: %s", type(error).__name__)


async def _pass_time(desk: Desk, partition: int, clock: str) -> None:
    async with desk.reader.exclusive(partition):
        desk.work.pass_time(partition, clock)
        await desk.reader.checkpoint(partition)
