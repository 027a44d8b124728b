"""Real servers and channels: tokens, request ids, errors as status codes, deadlines, retries."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.shared.database import is_passing
from services.shared.errors import FieldError, InvalidInput, StartFailed, TooMany, Unavailable
from services.shared.rpc import stock_data_pb2, stock_data_pb2_grpc
from services.shared.rpc.channel import is_healthy, open_channel, serve
from services.shared.rpc.status import TimedOut, to_error
from services.shared.telemetry import request_id

SERVICE = "tickroom.stock_data.v1.StockData"
TOKEN = "internal-token-of-the-tests"


class Servicer:
    """One method of a service, as each test needs it."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.calls = 0
        self.request_ids: list[str] = []

    async def tickers(self, request: stock_data_pb2.TickersRequest, context: object) -> stock_data_pb2.TickersReply:
        self.calls += 1
        self.request_ids.append(request_id.get())
        await self.answer()
        return stock_data_pb2.TickersReply(tickers=[stock_data_pb2.Ticker(ticker="AAPL")])

    def register(self, server: grpc.aio.Server) -> None:
        method = grpc.unary_unary_rpc_method_handler(
            self.tickers,
            request_deserializer=stock_data_pb2.TickersRequest.FromString,
            response_serializer=stock_data_pb2.TickersReply.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Tickers": method}),))


async def fine() -> None:
    return None


@asynccontextmanager
async def running(servicer: Servicer, address: str = "127.0.0.1:0", token: str | None = TOKEN) -> AsyncIterator[str]:
    async with serve(address, "stock_data", servicer.register, token=token) as port:
        yield f"dns:///127.0.0.1:{port}" if port else address


async def ask(address: str, token: str | None = TOKEN, *, safe: tuple[str, ...] = (), timeout: float = 5.0) -> Any:
    async with open_channel(address, token=token, service=SERVICE, safe=safe) as channel:
        stub: Any = stock_data_pb2_grpc.StockDataStub(channel)
        try:
            return await stub.Tickers(stock_data_pb2.TickersRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as failure:
            raise to_error(failure) from failure


async def test_a_call_carries_the_token_and_the_request_id() -> None:
    servicer = Servicer(fine)
    async with running(servicer) as address:
        request_id.set("abc-1")
        reply = await ask(address)
        async with open_channel(address, token=None, service=SERVICE) as channel:
            assert await is_healthy(channel)
    assert [each.ticker for each in reply.tickers] == ["AAPL"]
    assert servicer.request_ids == ["abc-1"]


async def test_a_server_that_stops_in_the_middle_of_a_call_is_away() -> None:
    begun = asyncio.Event()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with running(Servicer(never)) as address:
        asking = asyncio.create_task(ask(address, timeout=60.0))
        await asyncio.wait_for(begun.wait(), 10)
    with pytest.raises(Unavailable, match="can't be reached") as failure:
        await asyncio.wait_for(asking, 10)
    assert failure.value.retryable


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_whatever_a_stopping_server_says_is_worth_another_attempt(code: grpc.StatusCode) -> None:
    error = to_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata()))
    assert isinstance(error, Unavailable)
    assert error.retryable


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x"])
async def test_without_the_token_nothing_is_called(token: str | None) -> None:
    servicer = Servicer(fine)
    async with running(servicer) as address, open_channel(address, token=token, service=SERVICE) as channel:
        stub: Any = stock_data_pb2_grpc.StockDataStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.Tickers(stock_data_pb2.TickersRequest())
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert servicer.calls == 0


async def test_a_unix_socket_needs_no_token(tmp_path: Path) -> None:
    servicer = Servicer(fine)
    async with running(servicer, f"unix:{tmp_path}/s", token=None) as address:
        await ask(address, token=None)
    assert servicer.calls == 1


async def test_an_error_keeps_family_code_fields_and_retry_after() -> None:
    async def refuse() -> None:
        raise InvalidInput("a wrong rule", code="bad_rule", errors=(FieldError("conditions.0", "what?"),))

    async def throttle() -> None:
        raise TooMany("slower", retry_after_s=7.5)

    async with running(Servicer(refuse)) as address:
        with pytest.raises(InvalidInput, match="a wrong rule") as failure:
            await ask(address)
    assert failure.value.code == "bad_rule"
    assert failure.value.errors == (FieldError("conditions.0", "what?"),)
    async with running(Servicer(throttle)) as address:
        with pytest.raises(TooMany) as throttled:
            await ask(address)
    assert throttled.value.retry_after_s == 7.5


async def test_a_bug_says_nothing_of_itself_to_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    async def break_down() -> None:
        raise ZeroDivisionError("the password is hunter2")

    async with running(Servicer(break_down)) as address:
        with pytest.raises(Exception, match="INTERNAL") as failure:
            await ask(address)
    assert "hunter2" not in str(failure.value)
    assert "ZeroDivisionError" in caplog.text


async def test_a_database_that_is_away_is_unavailable_not_a_bug() -> None:
    async def lose_the_database() -> None:
        raise ConnectionResetError("the server closed the connection")

    servicer = Servicer(lose_the_database)
    async with serve("127.0.0.1:0", "r", servicer.register, token=TOKEN, passing=is_passing) as port:
        with pytest.raises(Unavailable, match="database"):
            await ask(f"dns:///127.0.0.1:{port}")


async def test_a_deadline_ends_the_call() -> None:
    async def forever() -> None:
        await asyncio.sleep(60)

    async with running(Servicer(forever)) as address:
        with pytest.raises(TimedOut):
            await ask(address, timeout=0.2)


async def test_only_safe_calls_are_repeated() -> None:
    async def away() -> None:
        raise Unavailable("not yet")

    for safe, calls in (((), 1), (("Tickers",), 4)):
        servicer = Servicer(away)
        async with running(servicer) as address:
            with pytest.raises(Unavailable):
                await ask(address, safe=safe)
        assert servicer.calls == calls


async def test_a_dead_server_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await ask("dns:///127.0.0.1:1")


async def test_a_taken_address_and_an_open_door_refuse_the_start() -> None:
    async with running(Servicer(fine)) as address:
        taken = address.removeprefix("dns:///")
        with pytest.raises(StartFailed, match="taken"):
            await start(taken, TOKEN)
    with pytest.raises(StartFailed, match="INTERNAL_TOKEN"):
        await start("127.0.0.1:0", None)


async def start(address: str, token: str | None) -> None:
    async with running(Servicer(fine), address, token):
        pass
