"""A wire between a client and servers that can be cut at any moment, and led to another server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """port: of this end; target: where the next connection leads, 0 = nowhere; connections: how many there were."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.connections = 0
        self._wires: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """What is on its way is lost."""
        for wire in self._wires:
            wire.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ends = {writer}
        self._wires |= ends
        try:
            if self.target:
                there, back = await asyncio.open_connection("127.0.0.1", self.target)
                ends.add(back)
                self._wires |= ends
                await asyncio.gather(_carry(reader, back), _carry(there, writer))
        finally:
            self._wires -= ends
            for end in ends:
                end.close()


async def _carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(4096):
            to.write(data)
            await to.drain()
    except ConnectionError:
        pass
    to.transport.abort() if source.exception() else to.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    between = Relay()
    between.target = target
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        between.cut()
        await server.wait_closed()
