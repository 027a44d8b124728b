"""The two servers that bench_fanout.py compares, each a process of its own.

    python -m tests.bench.fanout_servers WHICH CORE BOOTSTRAP

`ours`: the gateway's own path from Kafka to the socket (Fanout, Hall, MarketRooms, HttpServer), with stand-ins for
symbols and tokens, which no price passes. `plain`: Starlette on uvicorn, and `await websocket.send_text` in a loop.
"""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Sequence

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn import Config, Server

from services.gateway.backends import NotificationPage
from services.gateway.config import Settings
from services.gateway.core.hall import Hall
from services.gateway.core.wire import read_update
from services.gateway.fanout import Fanout
from services.gateway.server import HttpServer
from services.gateway.sockets import Door, websocket_routes
from services.gateway.tokens import Caller
from services.shared.errors import Unauthenticated
from services.shared.kafka import Kafka
from services.shared.topics import TICKS, TOPICS


class _StandIns:
    """Every symbol is known, no token is good, nobody has notifications."""

    async def resolve(self, text: str) -> str:
        return text.upper()

    async def verify(self, token: str) -> Caller:
        raise Unauthenticated("no tokens here")

    async def notifications(self, user_id: str, *, unread_only: bool, limit: int, page_token: str) -> NotificationPage:
        return NotificationPage([], "")

    async def ack_notifications(self, user_id: str, ids: Sequence[str], up_to: str = "") -> int:
        return 0


async def _nothing() -> Sequence[bytes]:
    return []


def _cluster(bootstrap: str) -> Kafka:
    """The embedded broker of the bench, seen from another process."""
    partitions = {topic.name: topic.embedded_partitions for topic in TOPICS}
    return Kafka(bootstrap=bootstrap, embedded=True, log_id="", partitions=partitions)


async def ours(bootstrap: str) -> None:
    stop = asyncio.Event()
    hall = Hall()
    nobody = _StandIns()
    door = Door(Settings(_env_file=None), hall, nobody, nobody, nobody)
    fanout = Fanout(_cluster(bootstrap), hall, prices=_nothing, signals=_nothing)
    await fanout.start()
    await HttpServer(Starlette(routes=websocket_routes(door)), host="127.0.0.1", port=0).run(stop)


async def plain(bootstrap: str) -> None:
    room: set[WebSocket] = set()

    async def enter(websocket: WebSocket) -> None:
        await websocket.accept()
        room.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            room.discard(websocket)

    async def fan_out() -> None:
        async for record in consumer:
            update = read_update(record.value)
            assert update is not None
            text = update.text.decode()
            for websocket in list(room):
                await websocket.send_text(text)

    kafka = _cluster(bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=kafka.profile.fetch_max_wait_ms)
    consumer.assign([TopicPartition(TICKS.name, number) for number in range(TICKS.embedded_partitions)])
    await consumer.start()
    await consumer.seek_to_end()
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    reading = asyncio.create_task(fan_out())
    app = Starlette(routes=[WebSocketRoute("/websocket/stock/{symbol}", enter)])
    serving = asyncio.create_task(
        Server(Config(app, log_level="warning", ws_per_message_deflate=False)).serve([listening])
    )
    await asyncio.wait({reading, serving}, return_when=asyncio.FIRST_COMPLETED)
    reading.result()


if __name__ == "__main__":
    which, core, bootstrap = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run({"ours": ours, "plain": plain}[which](bootstrap))
