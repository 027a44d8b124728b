"""One POST to an address that a user named: resolved once, checked, and connected to at exactly that address.

A name that resolves to a public address now and to one of ours a moment later gains nothing: the address that was
checked is the one that is connected to, while TLS and the Host header keep the name. No redirects, no proxies, no
cookies; at most so many bytes are read, in so many seconds.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Final

import h11

from services.users.core.delivery import Outcome
from services.users.core.delivery_addresses import Address, Target, refused, target

TIME_LIMIT_S: Final = 10.0
"""For everything: name, connection, TLS, request and answer."""

MOST_HEAD_BYTES: Final = 16_384
MOST_BODY_BYTES: Final = 65_536
_MOST_ADDRESSES: Final = 4
_CHUNK: Final = 16_384
_LINGER_S: Final = 1.0

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def look_up(host: str, port: int) -> Sequence[Address]:
    """The addresses of a name, as this machine resolves it. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [ip_address(each[4][0]) for each in found]


class Poster:
    """loopback: http and addresses of this machine are allowed (for tests)."""

    def __init__(
        self,
        *,
        loopback: bool,
        resolve: Resolve = look_up,
        tls: ssl.SSLContext | None = None,
        limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._loopback = loopback
        self._resolve = resolve
        self._tls = tls
        self._limit_s = limit_s

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """How it ended: delivered where the answer's status is 2xx. Raises nothing but CancelledError."""
        to = target(url, loopback=self._loopback)
        if isinstance(to, str):
            return Outcome("address_refused")
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._post(to, headers, body)
        except TimeoutError:
            return Outcome("timeout")
        except ssl.SSLError:
            return Outcome("tls")
        except (h11.ProtocolError, ValueError):
            return Outcome("protocol")
        except OSError:
            return Outcome("unreachable")

    async def _post(self, to: Target, headers: Mapping[str, str], body: bytes) -> Outcome:
        try:
            addresses = await self._resolve(to.host, to.port)
        except (OSError, UnicodeError):
            return Outcome("dns")
        # one bad address among good ones is no accident either
        if not addresses or any(refused(each, loopback=self._loopback) for each in addresses):
            return Outcome("address_refused")
        reader, writer = await self._connect(to, addresses)
        try:
            writer.write(_request(to, headers, body))
            await writer.drain()
            return _outcome(await _answer(reader))
        finally:
            writer.transport.abort()

    async def _connect(
        self, to: Target, addresses: Sequence[Address]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls: dict[str, Any] = {}
        if to.scheme == "https":
            self._tls = self._tls or ssl.create_default_context()
            tls = {"ssl": self._tls, "server_hostname": to.host}
        failed: OSError | None = None
        for address in list(dict.fromkeys(addresses))[:_MOST_ADDRESSES]:
            try:
                return await asyncio.open_connection(str(address), to.port, limit=MOST_BODY_BYTES, **tls)
            except ssl.SSLError:
                raise
            except OSError as error:
                failed = error
        raise failed or OSError("no address")


def _request(to: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    sent = {
        "Host": to.authority,
        "User-Agent": "Tickroom",
        "Accept": "*/*",
        **headers,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = connection.send(h11.Request(method="POST", target=to.path, headers=list(sent.items())))
    return (head or b"") + (connection.send(h11.Data(data=body)) or b"")


async def _answer(reader: asyncio.StreamReader) -> h11.Response:
    """The head of the final answer. A little of its body is read too: a receiver may not like to be hung up on."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    response = None
    while response is None:
        event = await _next(connection, reader)
        if isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("no answer")
    left = MOST_BODY_BYTES
    with suppress(TimeoutError, OSError, h11.ProtocolError):
        async with asyncio.timeout(_LINGER_S):
            while left > 0 and isinstance(event := await _next(connection, reader), h11.Data):
                left -= len(event.data)
    return response


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_CHUNK))
    return event


def _outcome(response: h11.Response) -> Outcome:
    code = response.status_code
    if 200 <= code < 300:
        return Outcome(code=code)
    if 300 <= code < 400:
        return Outcome("redirect", code)
    return Outcome(f"http_{code}", code, _retry_after(response), gone=code == 410)


def _retry_after(response: h11.Response) -> float | None:
    """Seconds, of a number or a date (RFC 9110); None where there is none that can be read."""
    text = next((value for name, value in response.headers if name == b"retry-after"), b"").decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
