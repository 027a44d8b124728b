"""What every socket has in common: being turned away, being listened to, talking and listening at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from services.gateway.core.pace import Pace
from services.gateway.core.speech import Garbled, Said, understand
from services.gateway.http.middleware import refuse
from services.gateway.replies import Unreadable, close_code, close_reason
from services.shared.errors import TickroomError, TooMany

Hear = Callable[[Said], Awaitable[None]]
"""Takes what the client said; a TickroomError closes the socket with its code."""

Gone = (WebSocketDisconnect, WebSocketDisconnected)
"""How a send ends whose client has left."""


async def turn_away(websocket: WebSocket, error: TickroomError) -> None:
    """Programs get an HTTP problem instead of the handshake; pages, which can't read one, a close code behind it."""
    if "origin" not in websocket.headers:
        await refuse(error, websocket.scope, websocket.receive, websocket.send)
        return
    with suppress(*Gone):
        await websocket.accept()
        await websocket.close(close_code(error), close_reason(error))


async def listen(websocket: WebSocket, most_per_second: int, hear: Hear) -> None:
    """Returns when the client has left, or was shown out. Every frame counts, also one that says nothing to us."""
    now_s = asyncio.get_running_loop().time
    pace = Pace(most_per_second, now_s())
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if not pace.allows(now_s()):
                raise TooMany(f"more than {most_per_second} messages a second", code="too_many_messages")
            text = message.get("text")
            said = _understood(message["bytes"] if text is None else text)
            if said is not None:
                await hear(said)
    except TickroomError as error:
        with suppress(*Gone):
            await websocket.close(close_code(error), close_reason(error))
    except Gone:
        return


async def first_of(*sides: Coroutine[Any, Any, None]) -> None:
    """Runs all until one returns (or its client has left), then ends the others."""
    tasks = [asyncio.create_task(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with suppress(*Gone):
            task.result()


def _understood(text: str | bytes) -> Said | None:
    try:
        return understand(text)
    except Garbled:
        raise Unreadable("this is no JSON") from None
