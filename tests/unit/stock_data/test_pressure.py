import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError

from services.shared.topics import READERS_WITH_STATE, Reader
from services.stock_data.pressure import Pressure


class Lags:
    """Answers of a broker, set by hand. `asked` counts whole rounds."""

    def __init__(self, *partitions: int | None) -> None:
        self.partitions = list(partitions)
        self.failure: Exception | None = None
        self.asked = 0
        self._answered = asyncio.Condition()

    async def lag(self, reader: Reader) -> Mapping[int, int | None]:
        found = dict(enumerate(self.partitions))
        if self.failure is not None:
            raise self.failure
        if reader is READERS_WITH_STATE[-1]:
            async with self._answered:
                self.asked += 1
                self._answered.notify_all()
        return found if reader is READERS_WITH_STATE[0] else dict.fromkeys(found, 0)

    async def next_answer(self) -> None:
        """Returns when what is set now was taken in: the round under way, one with it, and the begin of another."""
        last = self.asked + 3
        async with self._answered:
            await self._answered.wait_for(lambda: self.asked >= last)


def open_pressure(lags: Lags, limit: int = 1_000) -> Pressure:
    return Pressure(lags, READERS_WITH_STATE, limit, often_s=0.002, seldom_s=0.005)


async def test_readers_are_ready_when_each_partition_was_committed_once() -> None:
    lags = Lags(0, None)
    async with open_pressure(lags) as pressure:
        ready = asyncio.create_task(pressure.ready())
        await lags.next_answer()
        assert not ready.done()
        lags.partitions = [0, 0]
        await ready


async def room(pressure: Pressure) -> int:
    await pressure.room()
    return pressure.left


async def test_room_is_what_the_slowest_partition_leaves() -> None:
    async with open_pressure(Lags(400, 100)) as pressure:
        assert await room(pressure) == 600
        pressure.sent(250)
        assert await room(pressure) == 350


async def test_without_room_it_waits_for_the_readers() -> None:
    lags = Lags(1_000)
    async with open_pressure(lags) as pressure:
        waiting = asyncio.create_task(room(pressure))
        await lags.next_answer()
        assert not waiting.done()
        lags.partitions = [10]
        assert await waiting == 990


async def test_what_was_sent_while_it_was_asked_is_not_forgotten() -> None:
    """An answer tells of the log before: what was not in it then still counts against the room."""
    lags = Lags(0)
    async with open_pressure(lags) as pressure:
        assert await room(pressure) == 1_000
        pressure.sent(600)
        await lags.next_answer()
        assert await room(pressure) == 400  # nothing acknowledged yet, so not yet in the lag
        pressure.acknowledged(600)
        lags.partitions = [600]
        await lags.next_answer()
        assert await room(pressure) == 400
        lags.partitions = [0]
        await lags.next_answer()
        assert await room(pressure) == 1_000


async def test_a_reader_that_was_lost_leaves_no_room() -> None:
    lags = Lags(0)
    async with open_pressure(lags) as pressure:
        await pressure.room()
        lags.partitions = [None]
        await lags.next_answer()
        waiting = asyncio.create_task(room(pressure))
        await lags.next_answer()
        assert not waiting.done()
        waiting.cancel()


async def test_drained_is_said_after_the_last_record_only() -> None:
    lags = Lags(0)
    async with open_pressure(lags) as pressure:
        await pressure.ready()
        pressure.sent(5)
        drained = asyncio.create_task(pressure.drained())
        await lags.next_answer()
        assert not drained.done()  # five are on their way
        pressure.acknowledged(5)
        lags.partitions = [5]
        await lags.next_answer()
        assert not drained.done()
        lags.partitions = [0]
        await drained


async def test_an_outage_spends_what_was_left_and_then_waits() -> None:
    lags = Lags(0)
    async with open_pressure(lags) as pressure:
        await pressure.room()
        lags.failure = KafkaConnectionError("away")
        pressure.sent(1_000)
        waiting = asyncio.create_task(room(pressure))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        lags.failure = None
        pressure.acknowledged(1_000)
        assert await waiting == 1_000


async def test_an_error_of_our_own_is_not_swallowed() -> None:
    lags = Lags(0)
    lags.failure = ZeroDivisionError("ours")
    async with open_pressure(lags) as pressure:
        with pytest.raises(ZeroDivisionError):
            await pressure.ready()
