"""The front of the library."""

import asyncio
import ssl as tls
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tickroom_client.door import Door
from tickroom_client.inbox import InboxTalk
from tickroom_client.market import MarketTalk
from tickroom_client.patience import Patience
from tickroom_client.streams import MarketStream, NotificationStream, Stream
from tickroom_client.tokens import TokenProvider, Tokens

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class Tickroom:
    """A Tickroom server. Each stream has a connection of its own, whatever the number of its symbols.

    url: `ws://host:port` (or wss, http, https; a path before the server's own is kept). token: a JWT, or a
    TokenProvider; None where the server asks for none. queue: messages that wait for a slow user; when they are that
    many nothing more is read, and the server merges what it would send. receive_buffer_bytes: how much the kernel may
    keep of what is not read yet, None = as the kernel likes. proxy: True = as the environment says. Raises ValueError.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenProvider | None = None,
        patience: Patience | None = None,
        queue: int = 256,
        receive_buffer_bytes: int | None = 64 << 10,
        ssl: tls.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        compression: Literal["deflate"] | None = None,
    ) -> None:
        if queue < 1:
            raise ValueError("a queue holds one message at least")
        self._patience = patience or Patience()
        self._tokens = Tokens(token)
        self._queue = queue
        self._door = Door(
            url=_base(url),
            open_s=self._patience.open_s,
            ssl=ssl,
            proxy=proxy,
            compression=compression,
            receive_buffer_bytes=receive_buffer_bytes,
        )
        self._streams: set[Stream[Any]] = set()

    def stream(self, *symbols: str) -> MarketStream:
        """Market data of `symbols`; of everything that the server has where none is named."""
        talk = MarketTalk(symbols)
        stream = MarketStream(
            self._door, talk, self._tokens, self._patience, self._queue, lambda: self._streams.discard(stream)
        )
        self._streams.add(stream)
        return stream

    def notifications(self, user_id: str) -> NotificationStream:
        """The notifications of the token's user."""
        talk = InboxTalk(user_id)
        stream = NotificationStream(
            self._door, talk, self._tokens, self._patience, self._queue, lambda: self._streams.discard(stream)
        )
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Closes every stream."""
        await asyncio.gather(*(stream.aclose() for stream in list(self._streams)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _base(url: str) -> str:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address like ws://127.0.0.1:8000")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
