"""Answers as their callers can use them: not again what they have (ETag, 304), compressed where they take that.

Only answers that come whole (they know their length) are touched; streams pass as they are. An endpoint whose answers
may be kept says so by a Cache-Control of its own; `no-cache` means: keep it, and ask each time whether it still holds.
Everything else is `no-store` (middleware.py) and gets no ETag.
"""

import asyncio
import gzip
import hashlib
import re
from functools import lru_cache
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEEP_AND_ASK: Final = "no-cache"
"""Cache-Control of market data: it changes at any moment, but often has not. What comes for a token (`Authorization`)
is kept by nobody but its caller (RFC 9111, section 3.5)."""

_LEAST_BYTES: Final = 1024
_IN_A_THREAD_BYTES: Final = 32 << 10  # less takes less than a millisecond
_LEVEL: Final = 4
_TEXT: Final = re.compile(rb"text/(?!event-stream)|application/(?:json|[a-z0-9.-]+\+json|javascript)|image/svg", re.I)
_TAG = re.compile(rb'"([^"]*)"')
_GZIP: Final = b"-gzip"  # a strong ETag belongs to one representation, so the compressed one has its own
_OF_THE_BODY: Final = frozenset({b"content-type", b"content-length"})

Headers = list[tuple[bytes, bytes]]


class Whole(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Wish(NamedTuple):
    """What a request says about the answer. tags: of the representations that its sender has, None without any."""

    reads: bool
    brought_a_body: bool
    takes_gzip: bool
    tags: bytes | None


class Conditional:
    """Around the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def shaped(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _value(message["headers"], b"content-length") is not None:
                held = message
                return
            if held is not None and message["type"] == "http.response.body":
                start, held = held, None
                if not message.get("more_body"):  # else it comes in pieces after all
                    whole = Whole(start["status"], list(start["headers"]), message.get("body", b""))
                    status, headers, body = await _shape(whole, _wish(scope))
                    start = {**start, "status": status, "headers": headers}
                    message = {**message, "body": body}
                await send(start)
            await send(message)

        await self._app(scope, receive, shaped)


async def _shape(whole: Whole, wish: Wish) -> Whole:
    compressible = len(whole.body) >= _LEAST_BYTES and _is_text(whole.headers)
    if compressible:
        whole = whole._replace(headers=[*whole.headers, (b"vary", b"Accept-Encoding")])
    if whole.status == 200 and wish.reads:
        whole = _tagged(whole, wish)
    return await _compressed(whole) if compressible and wish.takes_gzip and whole.body else whole


def _tagged(whole: Whole, wish: Wish) -> Whole:
    """With its ETag, where it may be kept; as a 304 where the caller has it."""
    kept = _value(whole.headers, b"cache-control")
    if kept is None or b"no-store" in kept:
        return whole
    if wish.brought_a_body:  # caches go by the URL, which does not say what was asked
        return whole._replace(headers=[each for each in whole.headers if each[0] != b"cache-control"])
    tag = hashlib.blake2b(whole.body, digest_size=16).hexdigest().encode()
    known = _known(wish.tags, tag)
    headers = [*whole.headers, (b"etag", b'"%b"' % (known or tag))]
    if known is None:
        return whole._replace(headers=headers)
    # the others take the place of those that the caller has kept, its Content-Security-Policy for one
    return Whole(304, [each for each in headers if each[0] not in _OF_THE_BODY], b"")


def _known(tags: bytes | None, tag: bytes) -> bytes | None:
    """Which representation of the answer with `tag` the caller has (weak comparison, as RFC 9110 demands)."""
    if tags is None:
        return None
    if tags.strip() == b"*":
        return tag
    return next((each for each in _TAG.findall(tags) if each in (tag, tag + _GZIP)), None)


async def _compressed(whole: Whole) -> Whole:
    if len(whole.body) < _IN_A_THREAD_BYTES:
        body = _gzipped(whole.body)
    else:
        body = await asyncio.to_thread(_gzipped, whole.body)
    replaced = {b"content-length": b"%d" % len(body)}
    tag = _value(whole.headers, b"etag")
    if tag is not None:
        replaced[b"etag"] = tag[:-1] + _GZIP + b'"'
    headers = [(name, replaced.get(name, value)) for name, value in whole.headers]
    return Whole(whole.status, [*headers, (b"content-encoding", b"gzip")], body)


def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)  # the same bytes each time


def _is_text(headers: Headers) -> bool:
    kind = _value(headers, b"content-type") or b""
    return _TEXT.match(kind) is not None and _value(headers, b"content-encoding") is None


def _value(headers: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)


def _wish(scope: Scope) -> Wish:
    encodings, tags, brought = b"", None, False
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            encodings += b"," + value
        elif name == b"if-none-match":
            tags = value if tags is None else tags + b"," + value
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            brought = True
    return Wish(scope["method"] in ("GET", "HEAD"), brought, takes_gzip(encodings), tags)


@lru_cache(256)
def takes_gzip(accepted: bytes) -> bool:
    """Does a caller with this Accept-Encoding take gzip?"""
    weights = {}
    for each in accepted.lower().split(b","):
        name, _, parameters = each.partition(b";")
        weights[name.strip()] = parameters.replace(b" ", b"").removeprefix(b"q=")
    weight = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*")))
    return weight is not None and not re.fullmatch(rb"0(\.0*)?", weight)
