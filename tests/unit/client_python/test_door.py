"""What an end of a connection means."""

import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.http11 import Response

from tickroom_client import Closed, Garbled, Refused, Tickroom, Unreachable
from tickroom_client.door import refused, told_s, unauthenticated
from tickroom_client.talk import Again


def _closed(code: int, reason: str = "") -> ConnectionClosedError:
    return ConnectionClosedError(Close(code, reason), None)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4500, 4501, 4502, 4503])
def test_codes_that_pass(code: int) -> None:
    assert told_s(_closed(code), returning=False) == 0.0
    assert told_s(_closed(code, "draining retry_after_ms=1250"), returning=True) == 1.25


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 4400, 4401, 4403, 4404, 4408, 4409, 4429, 4499])
def test_codes_that_are_for_good(code: int) -> None:
    with pytest.raises(Closed, match=f"closed with {code} why") as closed:
        told_s(_closed(code, "why"), returning=True)
    assert (closed.value.code, closed.value.reason) == (code, "why")


def test_a_connection_that_broke_and_one_that_we_broke() -> None:
    assert told_s(ConnectionClosedError(None, None), returning=False) == 0.0
    with pytest.raises(Closed, match="1009"):
        told_s(ConnectionClosedError(None, Close(1009, "too big")), returning=True)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_refusals_that_pass(status: int) -> None:
    assert told_s(Refused(status), returning=False) == 0.0
    assert told_s(Refused(status, retry_after_s=3), returning=False) == 3.0


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 421, 501])
def test_refusals_that_are_for_good(status: int) -> None:
    with pytest.raises(Refused):
        told_s(Refused(status), returning=True)


def test_one_too_many_may_be_our_own_ghost() -> None:
    one_too_many = Refused(429, "too_many_connections", retry_after_s=1)
    with pytest.raises(Refused):
        told_s(one_too_many, returning=False)
    assert told_s(one_too_many, returning=True) == 1.0


def test_what_else_can_happen() -> None:
    for passing in (OSError(), TimeoutError(), ConnectionRefusedError(), Again(), Unreachable()):
        assert told_s(passing, returning=False) == 0.0
    with pytest.raises(Unreachable, match="certificate"):
        told_s(ssl.SSLCertVerificationError("certificate has expired"), returning=True)
    for final in (Garbled(), ValueError("the provider's own")):
        with pytest.raises(type(final)):
            told_s(final, returning=True)


def test_whose_fault_the_token_is() -> None:
    assert unauthenticated(Refused(401))
    assert unauthenticated(_closed(4401))
    assert not unauthenticated(Refused(403))
    assert not unauthenticated(_closed(4403))
    assert not unauthenticated(ConnectionClosedError(None, None))


@pytest.mark.parametrize(
    ("body", "after", "code", "wait_s"),
    [
        (b'{"code":"busy","detail":"come later","request_id":"r1"}', "7", "busy", 7.0),
        (b"<html>", "soon", "", None),
        (b"[]", "", "", None),
        (b"", "Fri, 31 Dec 1999 23:59:59 GMT", "", None),
    ],
)
def test_a_refusal_is_read_out(body: bytes, after: str, code: str, wait_s: float | None) -> None:
    told = refused(Response(503, "No", Headers({"Retry-After": after} if after else {}), body))
    assert (told.status, told.code, told.retry_after_s) == (503, code, wait_s)
    assert (told.detail, told.request_id) == (("come later", "r1") if code else ("", ""))
    assert str(told) == ("refused with HTTP 503 busy: come later" if code else "refused with HTTP 503")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://here", "ws://", "ws://here/?a=1", "ws://here/#a"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="is no address like"):
        Tickroom(url)
    with pytest.raises(ValueError, match="one message"):
        Tickroom("ws://here", queue=0)
