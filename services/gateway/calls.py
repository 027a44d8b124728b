"""One call to a room behind the door: its reply, or our error for its failure."""

from collections.abc import Awaitable
from typing import TypeVar

import grpc

from services.gateway.replies import ServiceFailed
from services.shared.errors import TickroomError
from services.shared.rpc.status import to_error

T = TypeVar("T")


async def answer(call: Awaitable[T]) -> T:
    """The reply of `call`. Raises the TickroomError that the room answered with, or that its silence means."""
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        error = to_error(failure)
        if type(error) is TickroomError:
            raise ServiceFailed(error.detail) from None
        raise error from None
