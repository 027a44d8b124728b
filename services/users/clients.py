"""What this room asks of stock_data: is this a symbol, what time is it in the data, what were its daily bars?"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import grpc

from services.shared.errors import FieldError, NotFound
from services.shared.rpc import stock_data_pb2
from services.shared.rpc.channel import open_channel
from services.shared.rpc.status import to_error
from services.shared.rpc.stock_data_pb2_grpc import StockDataStub
from services.shared.symbols import resolve
from services.users.core.condition import rounded
from services.users.core.preview import PastBar

_FRESH_S: Final = 30.0
_ASK_AGAIN_S: Final = 1.0  # for a symbol that is not among the known ones


class Market(Protocol):
    """Every call raises Unavailable where stock_data does not answer."""

    async def symbol(self, text: str) -> str:
        """The symbol that `text` (or a company's name) stands for. Raises NotFound."""
        ...

    async def clock(self) -> str:
        """RFC 3339 of the feed's clock, the data's own time; empty before anything has happened."""
        ...

    async def bars(self, symbol: str, start: str, end: str, limit: int) -> Sequence[PastBar]:
        """The newest `limit` daily bars as traded, oldest first. start, end: dates, inclusive; empty = all.

        Raises InvalidInput.
        """
        ...


class GrpcMarket:
    """`Market` at `address`. Symbols are kept for half a minute."""

    def __init__(self, address: str, token: str | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        service = stock_data_pb2.DESCRIPTOR.services_by_name["StockData"].full_name
        self._channel = open_channel(address, token=token, service=service, safe=("Tickers", "FeedStatus", "History"))
        self._stub = StockDataStub(self._channel)
        self._monotonic = monotonic
        self._known: frozenset[str] = frozenset()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def symbol(self, text: str) -> str:
        found = resolve(text, await self._symbols(_FRESH_S)) or resolve(text, await self._symbols(_ASK_AGAIN_S))
        if found is None:
            error = FieldError("symbol", "is not known here")
            raise NotFound("unknown symbol", code="unknown_symbol", errors=(error,))
        return found

    async def clock(self) -> str:
        try:
            status = await self._stub.FeedStatus(stock_data_pb2.FeedStatusRequest())
        except grpc.aio.AioRpcError as failure:
            raise to_error(failure) from None
        return status.clock or status.started

    async def bars(self, symbol: str, start: str, end: str, limit: int) -> Sequence[PastBar]:
        raw, adjusted = await asyncio.gather(
            self._history(symbol, start, end, limit, stock_data_pb2.ADJUSTMENT_RAW),
            self._history(symbol, start, end, limit, stock_data_pb2.ADJUSTMENT_SPLIT),
        )
        todays = {each.start: each.close for each in adjusted}
        return [
            PastBar(
                each.date,
                each.start,
                each.end,
                each.open,
                each.high,
                each.low,
                each.close,
                each.volume,
                rounded(each.close / todays.get(each.start, each.close)),
            )
            for each in raw
        ]

    async def _history(
        self, symbol: str, start: str, end: str, limit: int, adjustment: stock_data_pb2.Adjustment.ValueType
    ) -> Sequence[stock_data_pb2.Bar]:
        request = stock_data_pb2.HistoryRequest(
            symbol=symbol, timeframe="1d", start=start, end=end, adjustment=adjustment, limit=limit, latest=True
        )
        try:
            return (await self._stub.History(request)).bars
        except grpc.aio.AioRpcError as failure:
            raise to_error(failure) from None

    async def close(self) -> None:
        await self._channel.close()

    async def _symbols(self, at_most_old_s: float) -> frozenset[str]:
        async with self._asking:
            if self._monotonic() - self._asked_at >= at_most_old_s:
                try:
                    reply = await self._stub.Tickers(stock_data_pb2.TickersRequest())
                except grpc.aio.AioRpcError as failure:
                    raise to_error(failure) from None
                self._known = frozenset(each.ticker for each in reply.tickers)
                self._asked_at = self._monotonic()
            return self._known
