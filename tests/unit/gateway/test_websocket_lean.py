"""Less memory for an idle connection, and the same behaviour."""

import asyncio
from typing import Any, cast

import pytest
from uvicorn._types import ASGIReceiveEvent

from services.gateway.websocket_lean import Gate, Letterbox
from tests.unit.gateway.serving import Run, on_both_loops, raw_client, serving, until
from tests.unit.gateway.test_websocket_protocol import Echo


def _letter(number: int) -> ASGIReceiveEvent:
    return cast(ASGIReceiveEvent, {"type": "websocket.receive", "text": str(number)})


@on_both_loops
def test_a_connection_has_no_dictionary_and_forgets_its_handshake(run: Run) -> None:
    async def go() -> None:
        echo = Echo()
        async with serving(echo) as port, raw_client(port, headers="X-Long: and forgotten\r\n"):
            await until(lambda: bool(echo.writers))
            protocol: Any = echo.protocol
            assert protocol.__dict__ == {}
            assert (len(protocol.request.headers), len(protocol.response.headers)) == (0, 0)
            assert (b"x-long", b"and forgotten") in protocol.scope["headers"]

    run(go())


async def test_letters_come_out_as_they_went_in() -> None:
    box = Letterbox()
    assert box.empty()
    for number in range(5):
        box.put_nowait(_letter(number))
    assert box.qsize() == 5
    assert [await box.get() for _ in range(5)] == [_letter(number) for number in range(5)]
    assert box.empty()


async def test_every_reader_gets_a_letter_and_one_that_gave_up_takes_none() -> None:
    box = Letterbox()
    gave_up, *readers = (asyncio.create_task(box.get()) for _ in range(4))
    await asyncio.sleep(0)
    gave_up.cancel()
    for number in range(3):
        box.put_nowait(_letter(number))
    assert await asyncio.wait_for(asyncio.gather(*readers), 10) == [_letter(number) for number in range(3)]
    with pytest.raises(asyncio.CancelledError):
        await gave_up


async def test_a_gate_lets_everybody_through_until_it_is_closed_again() -> None:
    gate = Gate()
    assert gate.is_set()
    await gate.wait()
    gate.clear()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    gate.set()
    gate.clear()
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)  # closed again before their turn
    gate.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
