"""What the worst clients send: broken, oversized, endless and lying frames, and handshakes. A seed makes it again."""

import json
import random
import zlib
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Final

from websockets.frames import Frame, Opcode

MOST_BYTES: Final = 65536
"""Of one message: the server's own limit."""

_BOMB_BYTES: Final = 30 << 20
_TEXT: Final = 0x1
_CONT: Final = 0x0
_CLOSE: Final = 0x8
_PING: Final = 0x9
_RSV1: Final = 0x40

NOT_UTF8: Final = (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82", b"\x80", b"{\xff}")
BAD_CLOSES: Final = (b"\x03", *(code.to_bytes(2) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)))
GOOD_CLOSES: Final = (b"", *(code.to_bytes(2) for code in (1000, 1001, 1003, 3000, 4999)), b"\x03\xe8" + b"r" * 123)


def frame(
    data: bytes, opcode: int = _TEXT, *, fin: bool = True, masked: bool = True, bits: int = 0, claim: int | None = None
) -> bytes:
    """A frame made by hand. bits: RSV bits; claim: the length that it states, where that is not the truth."""
    first = (0x80 if fin else 0) | bits | opcode
    size = len(data) if claim is None else claim
    mask = b"\x00\x00\x00\x00" if masked else b""
    flag = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 1 << 16:
        head = bytes([first, flag | 126]) + size.to_bytes(2)
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8)
    return head + mask + data


def _squeezed() -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (squeezer.compress(b"a" * _BOMB_BYTES) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


_SQUEEZED: Final = _squeezed()
BOMB: Final = frame(_SQUEEZED, bits=_RSV1)
"""30 MB of one letter, in a message of 30 KB."""


class Mischief:
    """Hostile frames without end."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._kinds: list[Callable[[], bytes]] = [
            self._noise,
            self._said,
            self._said,
            self._flipped,
            self._cut_off,
            self._wrong_head,
            self._control,
            self._fragments,
            self._not_utf8,
            self._oversized,
            self._json,
            self._squeezed,
        ]

    def frames(self) -> Iterator[bytes]:
        for _ in repeat(None):
            yield self._chance.choice(self._kinds)()

    def _noise(self) -> bytes:
        return self._chance.randbytes(self._chance.randrange(1, 300))

    def _said(self) -> bytes:
        """A control frame whose form is right, more or less."""
        values: tuple[Any, ...] = (
            None,
            "",
            "AAPL",
            "\ud800",
            0,
            -1,
            1e308,
            2**63,
            [],
            {},
            ["AAPL"] * 200,
            {"AAPL": {"epoch": "e"}},
            True,
        )
        names = ("id", "symbols", "positions", "max_per_second", "notification_ids", "up_to", "token", "type", "x")
        kinds = ("subscribe", "unsubscribe", "resume", "set_rate", "ack", "auth", "ping", "pong", "nonsense", 7, None)
        said: dict[str, Any] = {"type": self._chance.choice(kinds)}
        for name in self._chance.sample(names, self._chance.randrange(4)):
            said[name] = self._chance.choice(values)
        text = json.dumps([said] * self._chance.choice((1, 1, 50)) if self._chance.random() < 0.2 else said)
        return frame(text.encode())

    def _flipped(self) -> bytes:
        data = bytearray(Frame(Opcode.TEXT, b'{"type":"ping","id":"1"}').serialize(mask=True))
        for _ in range(self._chance.randrange(1, 6)):
            data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        return bytes(data)

    def _cut_off(self) -> bytes:
        whole = self._said()
        return whole[: self._chance.randrange(1, len(whole))]

    def _wrong_head(self) -> bytes:
        return frame(
            b"{}",
            self._chance.randrange(16),
            fin=self._chance.random() < 0.7,
            masked=self._chance.random() < 0.6,
            bits=self._chance.choice((0, 0x10, 0x20, _RSV1, 0x70)),
        )

    def _control(self) -> bytes:
        opcode = self._chance.choice((_CLOSE, _PING, 0xA))
        data = self._chance.choice((*BAD_CLOSES, *GOOD_CLOSES, b"x" * 125, b"x" * 126, b"x" * 70_000, *NOT_UTF8))
        return frame(data, opcode, fin=self._chance.random() < 0.9)

    def _fragments(self) -> bytes:
        pieces = [
            frame(b"[" * self._chance.choice((0, 1, 40_000)), self._chance.choice((_TEXT, 0x2, _CONT)), fin=False),
            *(frame(b"1," * self._chance.choice((0, 1, 20)), _CONT, fin=False) for _ in range(200)),
            frame(b"", _PING),
            frame(b"1]", self._chance.choice((_CONT, _CONT, _TEXT))),
        ]
        del pieces[self._chance.randrange(len(pieces))]
        return b"".join(pieces)

    def _not_utf8(self) -> bytes:
        data = self._chance.choice(NOT_UTF8)
        cut = self._chance.randrange(len(data) + 1)
        if self._chance.random() < 0.5:
            return frame(data)
        return frame(data[:cut], fin=False) + frame(data[cut:], _CONT)

    def _oversized(self) -> bytes:
        kind = self._chance.randrange(4)
        if kind == 0:
            return frame(b"x" * (MOST_BYTES + 1))
        if kind == 1:
            return frame(b"x" * 40_000, fin=False) + frame(b"x" * 40_000, _CONT)
        if kind == 2:
            return frame(
                b"x" * 100, claim=self._chance.choice((1 << 31, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))
            )
        return bytes([0x81, 0x80 | 127]) + (5).to_bytes(8) + b"\0\0\0\0hello"  # a longer length than it needs

    def _json(self) -> bytes:
        deep = self._chance.choice((10, 1000, 60_000))
        texts = (
            "[" * deep,
            "[" * (deep // 2) + "]" * (deep // 2),
            '{"a":' * (deep // 6) + "1" + "}" * (deep // 6),
            '{"type":"ack","notification_ids":' + "[" * (deep // 2) + "]" * (deep // 2) + "}",
            "9" * deep,
            "1e999",
            "-",
            "NaN",
            '"' + "\\ud800" * (deep // 6) + '"',
            '{"type":"ping",' * 3,
            '{"type":"subscribe","symbols":["' + "A" * deep + '"]}',
            json.dumps({"type": "subscribe", "symbols": [f"S{number}" for number in range(min(deep, 6000))]}),
            json.dumps(
                {"type": "resume", "positions": {f"S{n}": {"epoch": "e", "price": n} for n in range(deep // 40)}}
            ),
            "\0",
            "",
            " " * deep,
        )
        return frame(self._chance.choice(texts).encode())

    def _squeezed(self) -> bytes:
        kind = self._chance.randrange(3)
        if kind == 0:
            return BOMB
        if kind == 1:
            return frame(self._noise(), bits=_RSV1)
        half = len(_SQUEEZED) // 2
        return frame(_SQUEEZED[:half], bits=_RSV1, fin=False) + frame(_SQUEEZED[half:], _CONT)


def handshake(port: int, path: str = "/websocket/stocks/all", *more: str, without: str = "") -> bytes:
    """A good handshake, with lines more, and without the one header named."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return "\r\n".join([*(line for line in lines if not line.startswith(f"{without}:")), "", ""]).encode("latin-1")


def hostile_handshakes(port: int) -> dict[str, tuple[bytes, set[int]]]:
    """By what is wrong: what is sent, and which status is a clean answer."""
    good = handshake(port)
    return {
        "10,000 headers": (handshake(port, "/websocket/stocks/all", *(f"X-{n}: y" for n in range(10_000))), {431}),
        "a header of 1 MB": (handshake(port, "/websocket/stocks/all", "X-Long: " + "y" * (1 << 20)), {431}),
        "a path of 1 MB": (handshake(port, "/" + "y" * (1 << 20)), {431}),
        "1,000 subprotocols": (
            handshake(
                port, "/websocket/stocks/all", "Sec-WebSocket-Protocol: " + ", ".join(f"p{n}" for n in range(1000))
            ),
            {101},
        ),
        "300 extensions": (
            handshake(
                port, "/websocket/stocks/all", "Sec-WebSocket-Extensions: " + ", ".join(["permessage-deflate"] * 300)
            ),
            {101},
        ),
        "a broken extension": (
            handshake(
                port, "/websocket/stocks/all", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
            ),
            {101, 400},
        ),
        "extensions that are none": (
            handshake(
                port,
                "/websocket/stocks/all",
                'Sec-WebSocket-Extensions: ;;,="',
            ),
            {400},
        ),
        "no key": (handshake(port, without="Sec-WebSocket-Key"), {400}),
        "two keys": (handshake(port, "/websocket/stocks/all", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), {400}),
        "a bad key": (good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"%%%"), {400}),
        "no version": (handshake(port, without="Sec-WebSocket-Version"), {400, 426}),
        "version 8": (good.replace(b"Version: 13", b"Version: 8"), {400, 426}),
        "no host": (handshake(port, without="Host"), {400, 421}),
        "two hosts": (handshake(port, "/websocket/stocks/all", "Host: example.org"), {400, 421}),
        "a foreign host": (good.replace(b"127.0.0.1", b"example.org"), {421}),
        "a foreign origin": (handshake(port, "/websocket/stocks/all", "Origin: https://example.org"), {403}),
        "an unknown symbol": (handshake(port, "/websocket/stock/%00%ff%2e%2e"), {404}),
        "a made-up token": (handshake(port, "/websocket/stocks/all", "Authorization: Bearer " + "e" * 5000), {401}),
        "another path": (handshake(port, "/websocket/../../etc/passwd"), {404}),
        "POST": (good.replace(b"GET", b"POST"), {400, 404, 405}),
        "HTTP/1.0": (good.replace(b"HTTP/1.1", b"HTTP/1.0"), {101, 400, 426}),
        "HTTP/9": (good.replace(b"HTTP/1.1", b"HTTP/9.9"), {400, 505}),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100), {400, 505}),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), {400}),
        "a zero in a header": (handshake(port, "/websocket/stocks/all", "X-Zero: a\0b"), {400}),
        "a folded header": (handshake(port, "/websocket/stocks/all", "X-Folded: a", " b"), {101, 400}),
        "a header without a name": (handshake(port, "/websocket/stocks/all", ": b"), {101, 400}),
        "two lengths": (handshake(port, "/websocket/stocks/all", "Content-Length: 5", "Content-Length: 6"), {400}),
        "length and chunks": (
            handshake(port, "/websocket/stocks/all", "Content-Length: 5", "Transfer-Encoding: chunked"),
            {400},
        ),
    }
