"""Bytes in: what a record on Kafka is, read by slicing and without decoding it.

A price or signal begins with the plain message, so its text is a slice of the record; with two keys more the whole
record is the extended message. Bars, splits and corrections reach extended clients only.
"""

import sys
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from services.shared.events import NOTIFICATION_PLAIN_END, PLAIN_END, SessionRevoked, decode_notification

Kind = Literal["price", "prediction", "bar", "split", "correction"]

_PREFIXES: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b'{"type":"stock_price_update","symbol":"', "price"),
    (b'{"type":"prediction_update","symbol":"', "prediction"),
    (b'{"type":"bar","symbol":"', "bar"),
    (b'{"type":"split","symbol":"', "split"),
    (b'{"type":"correction","symbol":"', "correction"),
)
_NOTICE_PREFIXES: Final = (b'{"type":"alert_triggered","id":"', b'{"type":"account_update","id":"')
_REVOKED_PREFIX: Final = b'{"type":"session_revoked",'
_SEQ: Final = b'","seq":'
_PREV_SEQ: Final = b',"prev_seq":'
_TIME: Final = b'"time":"'
_TIME_CHARACTERS: Final = 27
_REPLAYED: Final = b'"source":"replay"'


class Malformed(ValueError):
    """A record that claims to be ours and is not of our form."""


class Update(msgspec.Struct, gc=False, eq=False):
    """One record of a symbol. (epoch, seq): its position, which sorts by age; value: as it stands on its topic.

    prev_seq: of a prediction, the seq of the symbol's prediction before. public: does the plain profile show it?
    stale: was it old already when it came? arrived_s: by the gateway's steady clock. Hundreds are kept of each symbol;
    none is part of a circle of references, so the garbage collector need not visit them.
    """

    kind: Kind
    symbol: str
    epoch: bytes
    seq: int
    value: bytes
    prev_seq: int = 0
    stale: bool = False
    arrived_s: float = 0.0
    _encoded: dict[Callable[[bytes], bytes], bytes] | None = None
    _extended: bytes | None = None

    @property
    def public(self) -> bool:
        return self.kind == "price" or self.kind == "prediction"

    @property
    def text(self) -> bytes:
        """The plain message; only of public ones."""
        return self.value[: self.value.index(PLAIN_END)] + b"}"

    def frame(self, encode: Callable[[bytes], bytes]) -> bytes:
        """`text` as `encode` makes it a frame, encoded once for everybody."""
        if self._encoded is None:
            self._encoded = {}
        found = self._encoded.get(encode)
        if found is None:
            found = self._encoded[encode] = encode(self.text)
        return found

    @property
    def extended(self) -> bytes:
        """The extended message as it goes out live, encoded once for everybody."""
        if self._extended is None:
            self._extended = self.retold(conflated=0, snapshot=False, stale=self.stale)
        return self._extended

    def retold(self, *, conflated: int, snapshot: bool, stale: bool) -> bytes:
        """The extended message of one that waited, or stands for what was before."""
        return b'%b,"stale":%b,%b"conflated":%d}' % (
            self.value[:-1],
            b"true" if stale else b"false",
            b'"snapshot":true,' if snapshot else b"",
            conflated,
        )

    def forget_encoded(self) -> None:
        """Frees what was encoded: most records are never asked for again, and each symbol keeps hundreds."""
        self._encoded = self._extended = None

    @property
    def time(self) -> str:
        """RFC 3339 of the record; raises ValueError where it has none."""
        at = self.value.index(_TIME) + len(_TIME)
        return self.value[at : at + _TIME_CHARACTERS].decode()

    @property
    def replayed(self) -> bool:
        """Does it live on the data's own clock?"""
        return _REPLAYED in self.value

    def text_field(self, name: bytes) -> bytes:
        """The raw string of a field at the top level; empty where it has none."""
        marker = b'"%b":"' % name
        at = self.value.find(marker)
        if at < 0:
            return b""
        begin = at + len(marker)
        return self.value[begin : self.value.index(b'"', begin)]


class Notice:
    """One notification of one user. text: the message as the user sees it."""

    __slots__ = ("id", "text", "user_id")

    def __init__(self, notice_id: str, user_id: str, text: bytes) -> None:
        self.id = notice_id
        self.user_id = user_id
        self.text = text


def frame(text: bytes, first: int = 0x81) -> bytes:
    """An unmasked, final frame, as servers send them (RFC 6455, section 5.2). first: FIN, reserved bits and opcode."""
    size = len(text)
    if size < 126:
        return b"%c%c%b" % (first, size, text)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2), text)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8), text)


def read_update(value: bytes) -> Update | None:
    """The record of a symbol that `value` of `ticks` or `signals` is; None for other records. Raises Malformed."""
    for prefix, kind in _PREFIXES:
        if value.startswith(prefix):
            try:
                return _update(value, len(prefix), kind)
            except ValueError as error:
                raise Malformed(str(error)) from None
    return None


def _update(value: bytes, symbol_at: int, kind: Kind) -> Update:
    end = value.index(PLAIN_END)
    symbol = value[symbol_at : value.index(b'"', symbol_at, end)]
    epoch_at = end + len(PLAIN_END) + 1
    epoch_end = value.index(b'"', epoch_at)
    seq_at = epoch_end + len(_SEQ)
    if value[epoch_end:seq_at] != _SEQ:
        raise ValueError("seq does not follow epoch")
    seq_end = value.index(b",", seq_at)
    seq = int(value[seq_at:seq_end])
    if not value.isascii() or value[-1] != 125:
        raise ValueError("a record of a symbol is one JSON object in ASCII")
    prev_seq = 0
    if kind == "prediction":
        if not value.startswith(_PREV_SEQ, seq_end):
            raise ValueError("prev_seq does not follow seq")
        prev_at = seq_end + len(_PREV_SEQ)
        prev_seq = int(value[prev_at : value.index(b",", prev_at)])
    return Update(kind, sys.intern(symbol.decode()), value[epoch_at:epoch_end], seq, value, prev_seq)


def read_notice(value: bytes) -> Notice | None:
    """The notification that `value` (of topic `notifications`) is; None for any other record. Raises Malformed."""
    for prefix in _NOTICE_PREFIXES:
        if value.startswith(prefix):
            try:
                return _notice(value, len(prefix))
            except ValueError as error:
                raise Malformed(str(error)) from None
    return None


def _notice(value: bytes, id_at: int) -> Notice:
    end = value.index(NOTIFICATION_PLAIN_END)
    user_at = end + len(NOTIFICATION_PLAIN_END) + 1
    user_id = value[user_at : value.index(b'"', user_at)].decode()
    notice_id = value[id_at : value.index(b'"', id_at, end)].decode()
    text = value[:end] + b"}"
    text.decode()  # a frame with broken UTF-8 would make the client hang up, again and again
    return Notice(notice_id, user_id, text)


def read_revocation(value: bytes) -> SessionRevoked | None:
    """The end of sessions that `value` (of topic `notifications`) tells; None for any other. Raises Malformed."""
    if not value.startswith(_REVOKED_PREFIX):
        return None
    try:
        found = decode_notification(value)
    except ValueError as error:  # of msgspec too
        raise Malformed(str(error)) from None
    return found if isinstance(found, SessionRevoked) else None
