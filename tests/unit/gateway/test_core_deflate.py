"""One compressed frame for all: readable by any peer, each by itself, never larger than what it stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from services.gateway.core.deflate import WINDOW_BITS, deflate
from services.gateway.core.wire import frame
from tests.unit.gateway.frames import frames_of, tick


def _peer() -> PerMessageDeflate:
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=WINDOW_BITS,
        local_max_window_bits=WINDOW_BITS,
    )


def _read(data: bytes) -> list[bytes]:
    return [bytes(each.data) for each in frames_of(data, [_peer()])]


@given(st.lists(st.text(max_size=3000), max_size=4))
def test_a_peer_reads_joined_frames_each_by_itself(texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    assert _read(b"".join(map(deflate, encoded))) == encoded


@given(st.binary(max_size=2000))
def test_a_frame_is_never_larger_than_the_plain_one(text: bytes) -> None:
    assert len(deflate(text)) <= len(frame(text))


@pytest.mark.parametrize("size", [200, 70_000, 3_000_000])
def test_what_compresses_is_one_final_text_frame_with_rsv1(size: int) -> None:
    whole = deflate(b"x" * size)
    assert whole[0] == 0xC1
    assert len(whole) < size / 20
    assert not whole.endswith(b"\x00\x00\xff\xff")
    assert _read(whole) == [b"x" * size]


def test_what_does_not_compress_is_the_plain_frame() -> None:
    assert deflate(b"ab") == frame(b"ab")
    assert deflate(b"") == frame(b"")


def test_an_array_of_prices_shrinks_to_a_tenth() -> None:
    array = b"[%b]" % b",".join(tick(seq=number) for number in range(64))
    assert len(deflate(array)) < len(array) / 10


def test_it_reads_like_what_the_library_compresses() -> None:
    text = tick() * 20
    theirs = _peer().encode(Frame(Opcode.TEXT, text))
    assert [bytes(_peer().decode(theirs).data)] == _read(deflate(text)) == [text]
