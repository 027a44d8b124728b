"""The two servers that the socket benchmarks compare, each a process of its own.

    python -m tests.bench.socket_servers WHICH CORE BOOTSTRAP ROOMS

`ours`: the whole gateway as its composition root makes it, without limits for a single address. ROOMS is the address of
the stand-ins for the rooms behind it (arena.py). `plain`: Starlette on uvicorn, and `await websocket.send_text` in a
loop; it is in the room of its path. The send buffers of both are bounded alike.
"""

import asyncio
import os
import socket
import sys

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn import Config, Server

from services.gateway.app import build
from services.gateway.config import Settings
from services.gateway.server import SEND_BUFFER_BYTES
from services.shared.events import PLAIN_END
from services.shared.kafka import Kafka
from services.shared.process import settle
from services.shared.topics import EMBEDDED_PARTITIONS, TICKS, TOPICS
from tests.bench.machine import raise_file_limit


def _cluster(bootstrap: str) -> Kafka:
    """The embedded broker of the bench, seen from another process."""
    partitions = {topic.name: EMBEDDED_PARTITIONS for topic in TOPICS}
    return Kafka(bootstrap=bootstrap, embedded=True, log_id="", partitions=partitions)


async def ours(bootstrap: str, rooms: str) -> None:
    none = {name: 0 for name in Settings.model_fields if name.startswith("max_") and name != "max_message_bytes"}
    behind = dict.fromkeys(("stock_data_address", "prediction_address", "users_address"), rooms)
    app = build(Settings.model_validate({"port": 0, **none, **behind}), _cluster(bootstrap))
    settling = asyncio.create_task(settle(app))
    await app.run(asyncio.Event())
    await settling


async def plain(bootstrap: str, _rooms: str) -> None:
    rooms: dict[bytes, set[WebSocket]] = {}

    async def enter(websocket: WebSocket) -> None:
        await websocket.accept()
        room = rooms.setdefault(websocket.path_params["symbol"].encode(), set())
        room.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            room.discard(websocket)

    async def fan_out() -> None:
        async for record in consumer:
            assert record.value is not None
            text = (record.value[: record.value.index(PLAIN_END)] + b"}").decode()
            for websocket in list(rooms.get(record.key or b"", ())):
                await websocket.send_text(text)

    kafka = _cluster(bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=kafka.profile.prompt.fetch_max_wait_ms)
    consumer.assign([TopicPartition(TICKS.name, number) for number in range(EMBEDDED_PARTITIONS)])
    await consumer.start()
    await consumer.seek_to_end()
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    reading = asyncio.create_task(fan_out())
    app = Starlette(routes=[WebSocketRoute("/websocket/stock/{symbol}", enter)])
    serving = asyncio.create_task(
        Server(Config(app, log_level="warning", ws_per_message_deflate=False)).serve([listening])
    )
    await asyncio.wait({reading, serving}, return_when=asyncio.FIRST_COMPLETED)
    reading.result()


if __name__ == "__main__":
    which, core, bootstrap, rooms = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    raise_file_limit()
    uvloop.run({"ours": ours, "plain": plain}[which](bootstrap, rooms))
