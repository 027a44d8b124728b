"""All four rooms in one process: `python -m services`.

Without settings it needs no server: the Kafka broker is embedded, databases are SQLite files in DATA_DIR, rooms
talk over Unix sockets in a folder that only this user can open. KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL and REDIS_URL
put the same code on real servers.
"""

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.shared import kafka
from services.shared.config import SharedSettings, load
from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import StartFailed
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.process import App, run, serve_metrics, settle, until
from services.shared.telemetry import setup_logging

_log = logging.getLogger("tickroom.kafka")
_WAVE_S = 0.7
_LONGEST_SOCKET_FOLDER = 80  # a Unix socket's path may have 107 bytes


async def main(stop: asyncio.Event) -> None:
    common = load(SharedSettings)
    setup_logging(common.log_format, common.log_level)
    serve_metrics(common, "gateway")  # the door that shows them
    async with AsyncExitStack() as house:
        house.enter_context(_only_one(common.data_dir))
        broker = asyncio.create_task(house.enter_async_context(_broker(common)))
        await asyncio.sleep(0)  # the broker starts in a thread while the rooms are imported, which takes a second
        try:
            waves = _rooms(_socket_folder(common.data_dir, house))
        except BaseException:
            await broker  # half started it can't be ended
            raise
        cluster = await until(stop, broker)
        if cluster is not None:
            await _run_all(stop, waves(cluster), cluster)


@dataclass(frozen=True, slots=True)
class Wave:
    """Apps that stop together. patience_s: one that is slow to end must not use up the time of the waves behind."""

    apps: Sequence[App]
    patience_s: float = _WAVE_S


def _rooms(sockets: Path) -> Callable[[Kafka], Sequence[Wave]]:
    """Imports the rooms and reads their settings; the result builds them, in waves as they stop."""
    from services.gateway import app as gateway
    from services.gateway import config as gateway_config
    from services.prediction import app as prediction
    from services.prediction import config as prediction_config
    from services.stock_data import app as stock_data
    from services.stock_data import config as stock_data_config
    from services.users import app as users
    from services.users import config as users_config

    addresses = {f"{room}_address": f"unix:{sockets}/{room}" for room in ("stock_data", "prediction", "users")}

    def own(room: str) -> dict[str, object]:
        return {**addresses, "grpc_listen": f"unix:{sockets}/{room}"}

    of_stock_data = load(stock_data_config.Settings, **own("stock_data"))
    of_prediction = load(prediction_config.Settings, **own("prediction"))
    of_users = load(users_config.Settings, **own("users"))
    of_gateway = load(gateway_config.Settings, **addresses)

    def build(cluster: Kafka) -> Sequence[Wave]:
        study = prediction.build(of_prediction, cluster)
        office = users.build(of_users, cluster)

        async def worked_through() -> Sequence[Mapping[str, Position]]:
            return await asyncio.gather(study.worked_through(), office.worked_through())

        entrance = stock_data.build(of_stock_data, cluster, worked_through=worked_through if cluster.embedded else None)
        door = gateway.door(of_gateway, cluster)
        # stopping goes against the flow of ticks: first the feed, then the door, then those who finish their work
        return [Wave([entrance]), Wave([door], _WAVE_S + of_gateway.drain_s), Wave([study, office])]

    return build


async def _run_all(stop: asyncio.Event, waves: Sequence[Wave], cluster: Kafka) -> None:
    """Runs every app until `stop`, then stops wave after wave. Where one ends by itself, so do all."""
    stops = [asyncio.Event() for _ in waves]
    running = [
        [asyncio.create_task(app.run(ends)) for app in wave.apps] for wave, ends in zip(waves, stops, strict=True)
    ]
    everyone = [task for tasks in running for task in tasks]
    settling = asyncio.create_task(_settle([app for wave in waves for app in wave.apps], cluster))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *everyone}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    settling.cancel()
    for wave, tasks, ends in zip(waves, running, stops, strict=True):
        ends.set()
        await asyncio.wait(tasks, timeout=wave.patience_s)
    await asyncio.wait(everyone)
    for task in everyone:
        await task


async def _settle(apps: Sequence[App], cluster: Kafka) -> None:
    await settle(*apps)
    if cluster.embedded:
        what = "embedded broker: %s, for this machine only, its topics end with this process"
        _log.info(what, cluster.bootstrap)


@asynccontextmanager
async def _broker(settings: SharedSettings) -> AsyncIterator[Kafka]:
    if settings.embedded:
        async with embedded_kafka() as cluster:
            yield cluster
    else:
        cluster = await kafka.connect(settings.kafka_bootstrap_servers, settings.start_timeout_s)
        try:
            yield cluster
        finally:
            await cluster.close()


class _only_one:
    """Holds DATA_DIR for this process: two writers would tear the SQLite files apart. Raises StartFailed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / "lock").open("a")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(f"DATA_DIR: another Tickroom is running in {self._folder.resolve()}") from None
        except OSError as error:
            raise StartFailed(f"DATA_DIR: {self._folder} can't be used: {error.strerror}") from None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _socket_folder(data_dir: Path, house: AsyncExitStack) -> Path:
    folder = data_dir.resolve() / "run"
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
        return Path(house.enter_context(tempfile.TemporaryDirectory(prefix="tickroom-")))
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder


if __name__ == "__main__":
    run(main)
