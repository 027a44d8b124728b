import asyncio

from tests.unit.gateway.serving import until
from tickroom_client.silence import Silence


class _Transport(asyncio.WriteTransport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_who_says_nothing_is_cut_off() -> None:
    transport = _Transport()
    with Silence(0.01, transport) as silence:
        silence.begins()
        await until(lambda: transport.aborted)


async def test_time_counts_only_while_somebody_listens() -> None:
    transport = _Transport()
    with Silence(0.01, transport) as silence:
        silence.begins()
        silence.ends()
        await asyncio.sleep(0.1)
        assert not transport.aborted
        silence.begins()
        await until(lambda: transport.aborted)


async def test_nothing_happens_once_it_is_over() -> None:
    transport = _Transport()
    with Silence(0.01, transport) as silence:
        silence.begins()
    await asyncio.sleep(0.05)
    assert not transport.aborted
