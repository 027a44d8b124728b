"""A closed socket leaves nothing behind that only the garbage collector could free; open ones are not its business."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from services.gateway import garbage
from services.gateway.conversation import Conversation
from services.gateway.core.seats import FramedSeat
from services.gateway.websocket_protocol import FrameProtocol
from tests.unit.gateway.frames import tick
from tests.unit.gateway.serving import until
from tests.unit.gateway.socket_house import House, house

EXTENDED = "/websocket/stocks/all?profile=ext"
VISITS: dict[str, tuple[str, str | None, str]] = {
    "plain": ("/websocket/stock/AAPL", None, "{}"),
    "extended": (EXTENDED, None, '{"type":"subscribe","symbols":["AAPL"]}'),
    "paced": (EXTENDED, None, '{"type":"set_rate","max_per_second":1}'),
    "holding": (f"{EXTENDED}&resume=1", None, '{"type":"ping"}'),
    "with a token": ("/websocket/stock/AAPL", "u1", "{}"),
    "notifications": ("/websocket/user/u1/notifications", "u1", "{}"),
    "breaking the rules": (EXTENDED, None, "no JSON"),
}


_OURS = (FrameProtocol, ServerProtocol, Conversation, FramedSeat)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def ours() -> list[object]:
    return [each for each in gc.get_objects() if type(each) in _OURS]


async def visit(there: House, path: str, user: str | None, said: str) -> None:
    token = None if user is None else there.token(user)
    async with there.enter(path, token=token, max_queue=None) as client:
        there.hall.deliver([tick(seq=seq) for seq in range(1, 20)])
        with suppress(ConnectionClosed):
            await client.send(said)
            await asyncio.wait_for(await client.ping(), 20)


@pytest.mark.parametrize("how", VISITS)
async def test_a_closed_socket_is_freed_at_once(how: str) -> None:
    path, user, said = VISITS[how]
    async with house() as there:
        with uncollected():
            await visit(there, path, user, said)
            await until(lambda: there.drain.sockets == 0)
            await until(lambda: ours() == [])


async def test_open_sockets_are_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[Any] = []
    monkeypatch.setattr(garbage, "EVERY", 3)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(len(ours())))
    async with house(max_connections_per_address=0) as there:
        for _ in range(6):
            await visit(there, *VISITS["plain"])
    assert len(frozen) == 2
    assert all(frozen)
