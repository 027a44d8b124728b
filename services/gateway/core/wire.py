"""Bytes in, bytes out: from a record on Kafka to a WebSocket frame without decoding anything.

A price or signal begins with the plain message, so its text is a slice of the record. Only records that begin with one
of the two prefixes move what a plain client sees; bars, splits and corrections advance nothing here.
"""

from typing import Final, Literal

from services.shared.events import NOTIFICATION_PLAIN_END, PLAIN_END

Kind = Literal["price", "prediction"]

_PREFIXES: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b'{"type":"stock_price_update","symbol":"', "price"),
    (b'{"type":"prediction_update","symbol":"', "prediction"),
)
_NOTICE_PREFIXES: Final = (b'{"type":"alert_triggered","id":"', b'{"type":"account_update","id":"')
_SEQ: Final = b'","seq":'
_FINAL_TEXT: Final = 0x81  # FIN and opcode 1


class Malformed(ValueError):
    """A record that claims to be ours and is not of our form."""


class Update:
    """One price or prediction. text: the plain message; (epoch, seq): its position, which sorts by age."""

    __slots__ = ("_frame", "epoch", "kind", "seq", "symbol", "text")

    def __init__(self, kind: Kind, symbol: str, epoch: bytes, seq: int, text: bytes) -> None:
        self.kind = kind
        self.symbol = symbol
        self.epoch = epoch
        self.seq = seq
        self.text = text
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The WebSocket frame of `text`, encoded once for everybody."""
        if self._frame is None:
            self._frame = frame(self.text)
        return self._frame


class Notice:
    """One notification of one user. text: the message as the user sees it."""

    __slots__ = ("id", "text", "user_id")

    def __init__(self, notice_id: str, user_id: str, text: bytes) -> None:
        self.id = notice_id
        self.user_id = user_id
        self.text = text


def frame(text: bytes) -> bytes:
    """An unmasked, final text frame, as servers send them (RFC 6455, section 5.2)."""
    size = len(text)
    if size < 126:
        return b"%c%c%b" % (_FINAL_TEXT, size, text)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (_FINAL_TEXT, size.to_bytes(2), text)
    return b"%c\x7f%b%b" % (_FINAL_TEXT, size.to_bytes(8), text)


def read_update(value: bytes) -> Update | None:
    """The price or prediction that `value` of `ticks` or `signals` is; None for other records. Raises Malformed."""
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
    seq = int(value[seq_at : value.index(b",", seq_at)])
    text = value[:end] + b"}"
    if not text.isascii():
        raise ValueError("a price or prediction is ASCII")
    return Update(kind, symbol.decode(), value[epoch_at:epoch_end], seq, text)


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
