"""The WebSocket side of the front door, put together. Host and Origin were checked before (http/admission.py)."""

from dataclasses import dataclass

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from services.gateway.config import Settings
from services.gateway.conversation import Reception, turn_away
from services.gateway.core.hall import Hall
from services.gateway.market_rooms import Directory, MarketRooms
from services.gateway.user_rooms import Mailbox, UserRooms
from services.shared.errors import NotFound


@dataclass(frozen=True, slots=True)
class Door:
    """What the sockets need of the rest of the gateway."""

    settings: Settings
    hall: Hall
    symbols: Directory
    users: Mailbox
    reception: Reception


def websocket_routes(door: Door) -> list[BaseRoute]:
    """Every WebSocket path; the last route answers for those that lead nowhere. Put them before a mount at `/`."""
    market = MarketRooms(door.settings, door.hall, door.symbols, door.reception)
    users = UserRooms(door.hall, door.users, door.reception)
    return [
        WebSocketRoute("/websocket/stock/{symbol}", market.stock),
        WebSocketRoute("/websocket/stocks/all", market.everything),
        WebSocketRoute("/websocket/user/{user_id}/notifications", users.notifications),
        WebSocketRoute("/{path:path}", _nowhere),
    ]


async def _nowhere(websocket: WebSocket) -> None:
    await turn_away(websocket, NotFound("there is no room here", code="unknown_path"))
