"""Channels and servers between the rooms: deadlines, retries where safe, health, request id, internal token.

Addresses: `unix:PATH` in a 0700 folder (embedded; the folder is the guard) or `dns:///host:port` (then every call must
carry the internal token).
"""

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.shared.errors import StartFailed, TickroomError, Unavailable
from services.shared.rpc.status import status_of, to_metadata
from services.shared.telemetry import request_id

DEADLINE_S: Final = 5.0
_TOKEN_KEY: Final = "x-tickroom-token"  # noqa: S105 (a header's name)
_REQUEST_ID_KEY: Final = "x-request-id"
_HEALTH: Final = "/grpc.health.v1.Health/"
_MAX_MESSAGE: Final = 16 << 20

_log = logging.getLogger("tickroom.rpc")


class _OutgoingCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline, the request id and the token."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [(key, value) for key, value in details.metadata or ()]
        if rid := request_id.get():
            metadata.append((_REQUEST_ID_KEY, rid))
        if self._token is not None:
            metadata.append((_TOKEN_KEY, self._token))
        timeout = DEADLINE_S if details.timeout is None else details.timeout
        changed = grpc.aio.ClientCallDetails(
            details.method, timeout, grpc.aio.Metadata(*metadata), details.credentials, details.wait_for_ready
        )
        return await continuation(changed, request)


class _IncomingCalls(grpc.aio.ServerInterceptor):
    """Checks the token, takes the request id over, and turns our errors into status codes."""

    def __init__(self, room: str, token: str | None, passing: Callable[[Exception], bool]) -> None:
        self._room = room
        self._passing = passing
        self._token = None if token is None else token.encode()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        metadata = dict(details.invocation_metadata)
        if not details.method.startswith(_HEALTH) and not self._may_call(metadata):
            return grpc.unary_unary_rpc_method_handler(_refuse)
        behaviour, method, room = handler.unary_unary, details.method, self._room

        async def answer(request: Any, context: Any) -> Any:
            request_id.set(str(metadata.get(_REQUEST_ID_KEY, "")))
            try:
                return await behaviour(request, context)
            except TickroomError as error:
                context.set_trailing_metadata(to_metadata(error))
                await context.abort(status_of(error), error.detail)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                if self._passing(error):
                    away = Unavailable("the database can't be reached", retry_after_s=1.0)
                    context.set_trailing_metadata(to_metadata(away))
                    await context.abort(status_of(away), away.detail)
                _log.exception("%s: %s failed", room, method)
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    def _may_call(self, metadata: dict[str, Any]) -> bool:
        if self._token is None:
            return True
        shown = metadata.get(_TOKEN_KEY, "")
        return hmac.compare_digest(shown.encode() if isinstance(shown, str) else shown, self._token)


async def _refuse(_request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the internal token is missing or wrong")


@asynccontextmanager
async def serve(
    address: str,
    room: str,
    register: Callable[[grpc.aio.Server], None],
    *,
    token: str | None,
    passing: Callable[[Exception], bool] = lambda _error: False,
) -> AsyncIterator[int]:
    """Runs a server at `address` with the standard health service; yields its port (0 for a Unix socket).

    passing: which errors that are not ours say that a database is away; callers get Unavailable for them.

    Raises StartFailed where the address is taken, or where it is open to neighbours without a token.
    """
    local = address.startswith("unix:")
    if not local and token is None:
        raise StartFailed("INTERNAL_TOKEN is required where gRPC listens on the network")
    server = grpc.aio.server(
        interceptors=[_IncomingCalls(room, None if local else token, passing)],
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE)],
    )
    register(server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise StartFailed(f"GRPC_LISTEN: {room} can't listen on {address}: the address is taken or not of this machine")
    await server.start()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield 0 if local else port
    finally:
        await healthy.enter_graceful_shutdown()
        await server.stop(grace=1.0)


def open_channel(address: str, *, token: str | None, service: str, safe: Sequence[str] = ()) -> grpc.aio.Channel:
    """A channel to `service` (its full name). Only methods in `safe` are repeated by themselves, while unavailable."""
    local = address.startswith("unix:")
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if safe:
        config["methodConfig"] = [
            {
                "name": [{"service": service, "method": method} for method in safe],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if local:
        options.append(("grpc.default_authority", "localhost"))
    return grpc.aio.insecure_channel(address, options=options, interceptors=[_OutgoingCalls(None if local else token)])


async def is_healthy(channel: grpc.aio.Channel, timeout_s: float = 1.0) -> bool:
    """Does the server at the other end say that it serves?"""
    try:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError:
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
