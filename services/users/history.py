"""What rules look back at: completed bars, asked of stock_data when rules are loaded; later ones come by themselves."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import grpc

from services.shared.errors import NotFound
from services.shared.rpc import stock_data_pb2
from services.shared.rpc.channel import open_channel
from services.shared.rpc.status import to_error
from services.shared.rpc.stock_data_pb2_grpc import StockDataStub
from services.users.core.bars import Past

_AT_ONCE: Final = 8


class History(Protocol):
    """Raises Unavailable where stock_data does not answer."""

    async def past(self, symbol: str, timeframe: str, count: int, before: str) -> Sequence[Past]:
        """The last `count` bars that were final before that instant (RFC 3339; empty: where the feed's epoch begins),

        of the shares of that instant, oldest first; fewer where there are no more.
        """
        ...


class NoHistory:
    """`History` where there is none."""

    async def past(self, symbol: str, timeframe: str, count: int, before: str) -> Sequence[Past]:
        return ()


class GrpcHistory:
    """`History` at `address`."""

    def __init__(self, address: str, token: str | None) -> None:
        service = stock_data_pb2.DESCRIPTOR.services_by_name["StockData"].full_name
        self._channel = open_channel(address, token=token, service=service, safe=("History", "FeedStatus"))
        self._stub = StockDataStub(self._channel)
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def past(self, symbol: str, timeframe: str, count: int, before: str) -> Sequence[Past]:
        async with self._gate:
            try:
                if not before:
                    before = (await self._stub.FeedStatus(stock_data_pb2.FeedStatusRequest())).started
                reply = await self._stub.History(
                    stock_data_pb2.HistoryRequest(
                        symbol=symbol,
                        timeframe=timeframe,
                        before=before,
                        adjustment=stock_data_pb2.ADJUSTMENT_SPLIT,
                        limit=count,
                        latest=True,
                    )
                )
            except grpc.aio.AioRpcError as failure:
                error = to_error(failure)
                if isinstance(error, NotFound):
                    return ()
                raise error from None
        return [Past(bar.end, bar.high, bar.low, bar.volume) for bar in reply.bars]

    async def close(self) -> None:
        await self._channel.close()
