"""The window: joins what comes within it, keeps the order, delays nothing that comes seldom, is bounded."""

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway import coalesce
from services.gateway.coalesce import Coalesce
from tests.unit.gateway.serving import until


class Hall:
    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def deliver(self, values: Sequence[bytes]) -> None:
        self.batches.append(list(values))


async def test_the_first_goes_on_at_once_and_those_behind_it_together() -> None:
    hall = Hall()
    window = Coalesce(0.02, hall.deliver)
    for batch in ([b"1", b"2"], [b"3"], [b"4", b"5"]):
        window.take(batch)
    assert hall.batches == [[b"1", b"2"]]
    await until(lambda: len(hall.batches) == 2)
    window.take([b"6"])  # behind a batch that waited, a new window is open
    assert hall.batches == [[b"1", b"2"], [b"3", b"4", b"5"]]
    await until(lambda: len(hall.batches) == 3)
    window.close()


async def test_after_a_quiet_window_nothing_is_delayed() -> None:
    hall = Hall()
    window = Coalesce(0.001, hall.deliver)
    for number in range(3):
        window.take([b"%d" % number])
        assert len(hall.batches) == number + 1
        await asyncio.sleep(0.05)
    window.close()


async def test_a_large_batch_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesce, "_MOST_RECORDS", 10)
    hall = Hall()
    window = Coalesce(60.0, hall.deliver)
    window.take([b"0"])
    for number in range(1, 26):
        window.take([b"%d" % number])
    assert [len(batch) for batch in hall.batches] == [1, 10, 10]
    window.close()
    assert b"".join(value for batch in hall.batches for value in batch) == b"".join(b"%d" % each for each in range(26))


async def test_closed_it_hands_on_what_waits_and_leaves_no_timer() -> None:
    hall = Hall()
    window = Coalesce(0.01, hall.deliver)
    window.close()
    window.take([b"1"])
    window.take([b"2"])
    window.close()
    assert hall.batches == [[b"1"], [b"2"]]
    await asyncio.sleep(0.05)
    assert hall.batches == [[b"1"], [b"2"]]
