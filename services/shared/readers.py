"""The one loop of every reader with state: claim, seek, work, checkpoint, and go back to the checkpoint on failure.

A room says what to do with records (`Work`); this file says when. Each partition has one owner at a time:

    assigned -> held; then, in a task of its own: load the checkpoint (which claims it), Work.open, follow from there
    records  -> repeats dropped by (epoch, seq), Work.work in memory
    at once  -> Work.effects: what somebody waits for, in transactions of its own under our claim
    at most 1 s or 5,000 records later, or at once when Work.urgent -> one transaction: Work.store + offset under our
                claim, then the offset is committed to Kafka (others see our progress there)
    failure  -> Work.forget, load again: what was not stored is read again
    revoked  -> what is just being loaded is let go of; a last checkpoint, Work.forget

Whoever polls waits for `assigned` and `revoked`, and so does every partition that we keep. So one task loads whatever
is ours and not loaded; `revoked` ends it first.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, Protocol

import msgspec
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import positions
from services.shared.database import Database, is_passing
from services.shared.errors import Fenced, TickroomError, Unavailable
from services.shared.events import Record, Signal, decode_record, decode_signal
from services.shared.kafka import Kafka
from services.shared.members import Member, Raw
from services.shared.poison import DeadLetters, Poison
from services.shared.positions import Checkpoint, CheckpointTables, Position, Reached, Step, SymbolState, Tracker
from services.shared.topics import SIGNALS, Reader, partition_of

CHECKPOINT_EVERY_S: Final = 1.0
CHECKPOINT_EVERY_RECORDS: Final = 5_000
_LOOK_EVERY_S: Final = 0.25
_STOP_WITHIN_S: Final = 1.5
_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_LOADS_AT_ONCE: Final = 4  # each may hold a connection to the database

_log = logging.getLogger("tickroom.reader")


@cache
def _records(room: str) -> Counter:
    what = "Records by what they were to the reader"
    return Counter(f"{room}_reader_records", what, ["reader", "outcome"])


def _count(reader: Reader, outcome: str, records: int = 1) -> None:
    """Under the name of the room that the reader's begins with (`users-alerts`), as of all metrics."""
    _records(reader.name.partition("-")[0]).labels(reader.name, outcome).inc(records)


class Fresh(msgspec.Struct, frozen=True, gc=False):
    """A record not seen before, and what came before it; on topic `signals` a signal."""

    record: Record | Signal
    step: Step


class Work(Protocol):
    """What a room does with the partitions it owns. One partition is never in two of these calls at once; several

    partitions may be.
    """

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        """The partition is ours: rebuild memory from what was stored."""
        ...

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        """Decide about records, in order; of how many: the rest comes again when the effects of these are stored.

        May publish what readers recognise when it comes again.
        """
        ...

    def effects(self, partition: int) -> bool:
        """Has what was decided effects that are to be stored at once?"""
        ...

    async def store_effects(self, session: AsyncSession, partitions: Sequence[int]) -> None:
        """Insert them, or the first of them where they are many. They come again after a crash: recognise them."""
        ...

    def effects_stored(self, partition: int) -> None:
        """That transaction was committed."""
        ...

    def urgent(self, partition: int) -> bool:
        """Is a checkpoint to be made at once?"""
        ...

    async def store(self, session: AsyncSession, partitions: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        """In the checkpoint's transaction, when all effects are stored; return the states that changed.

        By partition, then by symbol.
        """
        ...

    def stored(self, partition: int) -> None:
        """The transaction was committed."""
        ...

    def forget(self, partition: int) -> None:
        """Drop what is in memory. `open` follows where the partition is (still) ours."""
        ...


class NotOwned(Unavailable):
    """Another process owns this partition, or it is just being loaded."""

    code = "not_owned"


@dataclass(slots=True)
class _Slot:
    """One partition of ours."""

    checkpoint: Checkpoint
    tracker: Tracker
    next_offset: int
    states: dict[str, bytes]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    moved: set[str] = field(default_factory=set)
    since: int = 0
    saved_at: float = field(default_factory=time.monotonic)


class StatefulReader:
    """Runs `work` over the partitions of `reader.topic` that this process owns, from `start` to `stop`."""

    def __init__(self, kafka: Kafka, reader: Reader, database: Database, tables: CheckpointTables, work: Work) -> None:
        self._kafka, self._reader, self._database, self._tables, self._work = kafka, reader, database, tables, work
        self._ours: set[int] = set()  # as the group has it; in _slots once it is loaded
        self._slots: dict[int, _Slot] = {}
        self._loading: asyncio.Task[None] | None = None
        self._pause_s = _PAUSE_S  # before the next attempt; grows from failure to failure
        self._troubled = False  # told once, and that it is over
        self._member = Member(kafka, reader, self)
        self._dead: DeadLetters | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._poison = Poison(reader.topic)
        # a signal has the seq of the record that caused it: gaps between signals mean nothing
        self._signals = reader.topic == SIGNALS
        self._decode: Callable[[bytes], Record | Signal] = decode_signal if self._signals else decode_record
        self._stopping = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception that ended the reader, where one did."""

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are loaded and ours."""
        return frozenset(self._slots)

    def position(self, symbol: str) -> Position | None:
        """The last record of `symbol` that was worked on; None where it is not ours or had none."""
        partition = partition_of(symbol, self._kafka.partitions(self._reader.topic))
        slot = self._slots.get(partition)
        return None if slot is None else slot.tracker.position(symbol)

    async def start(self) -> None:
        """Joins the group. Partitions are worked on as soon as they are assigned and loaded."""
        async with self._database.transaction() as session:
            await positions.repartition(
                session, self._tables, self._reader.name, self._kafka.partitions(self._reader.topic)
            )
        self._dead = DeadLetters(self._reader.topic, await self._kafka.producer())
        await self._member.start()
        self._tasks.append(asyncio.create_task(self._checkpoint_idle(), name=f"checkpoints of {self._reader.name}"))

    async def stop(self) -> None:
        """Finishes the batch in hand, makes a last checkpoint and leaves the group."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self.revoked(sorted(self._ours))
        except TimeoutError:
            _log.warning("%s: stopped before a last checkpoint; the records since are read again", self._reader.name)
        await self._member.stop()
        if self._dead is not None:
            await self._dead.close()

    @asynccontextmanager
    async def exclusive(self, partition: int) -> AsyncIterator[None]:
        """While open, nothing else works on the partition. Raises NotOwned."""
        slot = self._slots.get(partition)
        if slot is None:
            raise NotOwned(f"partition {partition} of {self._reader.name} is not ours")
        async with slot.lock:
            if self._slots.get(partition) is not slot:
                raise NotOwned(f"partition {partition} of {self._reader.name} is not ours any more")
            yield

    async def checkpoint(self, partition: int) -> None:
        """Stores all that was worked on. Only inside `exclusive`. Raises what the store raises, after going back."""
        slot = self._slots.get(partition)
        if slot is None:
            raise NotOwned(f"partition {partition} of {self._reader.name} is not ours any more")
        try:
            await self._save({partition: slot})
        except Exception as error:
            self._go_back({partition: slot}, error)
            raise

    # -- the group -------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: Sequence[int]) -> None:
        """Called by the group's coordinator; nothing is delivered from these partitions until they are loaded."""
        if self._stopping:
            return
        self._ours.update(partitions)
        self._load()

    async def revoked(self, partitions: Sequence[int]) -> None:
        """Called by the group's coordinator, which goes on with heartbeats until this returns."""
        self._ours.difference_update(partitions)
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        failures = [error for number in partitions if (error := await self._release(number))]
        if failures:
            what = "%s: no last checkpoint of %d partitions; their records since are read again: %s"
            _log.warning(what, self._reader.name, len(failures), _say(failures[0]))
        if partitions and self._ours:
            self._tell()
        self._load()

    def _tell(self) -> None:
        what = "%s: %d partitions of topic %s are ours"
        _log.info(what, self._reader.name, len(self._slots), self._reader.topic.name)

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load(self, after_s: float = 0.0) -> None:
        """Has a task load what is ours and not loaded. There is never more than one."""
        if self._missing() and (self._loading is None or self._loading.done()):
            self._loading = asyncio.create_task(self._load_all(after_s), name=f"loading of {self._reader.name}")

    def _missing(self) -> list[int]:
        return [] if self._stopping or self.failed.done() else sorted(self._ours - self._slots.keys())

    async def _load_all(self, after_s: float) -> None:
        """Until all is loaded, with growing pauses between failures."""
        await asyncio.sleep(after_s)
        while missing := self._missing():
            try:
                await self._open(missing)
            except Exception as error:
                self._note_failure(error)
                await asyncio.sleep(self._pause_s)

    async def _open(self, partitions: Sequence[int]) -> None:
        """Claims all at once; then loads some at a time, and each is worked on as soon as it is loaded.

        Raises the first failure in the end: one partition that can't be loaded holds up no other.
        """
        topic = self._reader.topic
        self._member.hold(partitions)
        # by a client of its own: on the consumer's connection these would wait behind its long fetch
        firsts, ends = await asyncio.gather(self._kafka.beginnings(topic), self._kafka.ends(topic))
        slots: dict[int, _Slot] = {}
        async with self._database.transaction() as session:
            for number in partitions:
                checkpoint = await positions.load(session, self._tables, self._reader.name, number, self._kafka.log_id)
                slots[number] = _slot(checkpoint, firsts[number], ends[number])
        gate = asyncio.Semaphore(_LOADS_AT_ONCE)
        async with asyncio.TaskGroup() as group:  # cancelled, it ends when none of them is in Work.open any more
            loads = [group.create_task(self._open_one(number, slot, gate)) for number, slot in slots.items()]
        failures = [error for load in loads if (error := load.result())]
        self._show({number: slot for number, slot in slots.items() if self._slots.get(number) is slot})
        if failures:
            raise failures[0]
        self._tell()

    async def _open_one(self, number: int, slot: _Slot, gate: asyncio.Semaphore) -> Exception | None:
        """Returns why it could not be done, and then nothing of it is left."""
        async with gate:
            try:
                await self._work.open(number, slot.checkpoint.symbols)
                if number in self._ours:
                    await self._member.follow(number, slot.next_offset)
                    self._slots[number] = slot
            except Exception as error:
                return error
            finally:
                if self._slots.get(number) is not slot:
                    self._work.forget(number)
        return None

    def _show(self, slots: Mapping[int, _Slot]) -> None:
        """Shows in Kafka that somebody is here. What has moved since will be committed with its checkpoint."""
        still = {number: slot.next_offset for number, slot in slots.items() if not slot.since}
        self._member.commit(still)
        if self._troubled:  # a checkpoint shows whether an outage is over
            for number in still:
                slots[number].since = 1

    # -- one partition ---------------------------------------------------------------------------------------------

    async def _release(self, partition: int) -> Exception | None:
        """A last checkpoint. Returns why it could not be made; the partition is gone all the same."""
        slot = self._slots.get(partition)
        if slot is None:
            return None
        async with slot.lock:
            if self._slots.get(partition) is not slot:
                return None
            try:
                work = self._work
                if slot.since or slot.moved or work.effects(partition) or work.urgent(partition):  # else all is stored
                    await self._save({partition: slot})
            except Exception as error:
                return error
            finally:
                self._drop(partition, slot)
        return None

    def _drop(self, partition: int, slot: _Slot) -> None:
        if self._slots.get(partition) is slot:
            del self._slots[partition]
            self._work.forget(partition)

    # -- records ---------------------------------------------------------------------------------------------------

    async def take(self, records: Mapping[int, list[Raw]]) -> None:
        """Called with what has come in; a failure is dealt with here."""
        pressing: dict[int, _Slot] = {}
        async with AsyncExitStack() as held:
            for partition, some in records.items():
                slot = self._slots.get(partition)
                if slot is None or self._stopping:
                    continue  # it will be read again from the checkpoint
                await held.enter_async_context(slot.lock)
                if self._slots.get(partition) is not slot:
                    continue
                try:
                    await self._work_on(partition, slot, some)
                except Exception as error:
                    self._go_back({partition: slot}, error)
                else:
                    if self._work.effects(partition) or self._is_due(partition, slot):
                        pressing[partition] = slot
            await self._store_or_go_back(pressing)

    def _is_due(self, partition: int, slot: _Slot) -> bool:
        late = time.monotonic() - slot.saved_at >= CHECKPOINT_EVERY_S
        return slot.since > 0 and (late or slot.since >= CHECKPOINT_EVERY_RECORDS or self._work.urgent(partition))

    async def _store_or_go_back(self, slots: Mapping[int, _Slot]) -> None:
        """One transaction for all: a partition that fails takes the others of the batch back with it."""
        try:
            await self._store_effects(slots)
            await self._save({number: slot for number, slot in slots.items() if self._is_due(number, slot)})
        except Exception as error:
            self._go_back(slots, error)

    async def _work_on(self, partition: int, slot: _Slot, records: list[Raw]) -> None:
        records = [raw for raw in records if raw.offset >= slot.next_offset]
        if not records or not await self._continues(partition, slot, records[0].offset):
            return
        fresh: list[Fresh] = []
        repeats = missed = 0
        for raw in records:
            try:
                record = self._decode(raw.value)
            except msgspec.DecodeError as error:  # ValidationError is one of its kind
                await self._park(raw, str(error))
                continue
            step = slot.tracker.advance(record.symbol, record.epoch, record.seq)
            if step.fresh:
                fresh.append(Fresh(record, replace(step, missed=0) if self._signals else step))
                missed += 0 if self._signals else step.missed
            else:
                repeats += 1
        self._poison.judge(len(records), bad=len(records) - len(fresh) - repeats)
        if missed:
            _log.warning("%s: %d records of partition %d are missing", self._reader.name, missed, partition)
        for outcome, count in (("fresh", len(fresh)), ("repeated", repeats), ("missed", missed)):
            if count:
                _count(self._reader, outcome, count)
        done = 0
        while done < len(fresh):
            done += await self._work.work(partition, fresh[done:])
            if done < len(fresh):
                await self._store_effects({partition: slot})
        slot.next_offset = records[-1].offset + 1
        slot.since += len(records)
        slot.moved.update(each.record.symbol for each in fresh)

    async def _continues(self, partition: int, slot: _Slot, offset: int) -> bool:
        """Does `offset` follow what was worked on? A batch fetched before a rebalance or a seek may not."""
        if offset == slot.next_offset:
            return True
        first = (await self._kafka.beginnings(self._reader.topic))[partition]
        if first > slot.next_offset and offset == first:
            return True  # the log was trimmed behind us: seq says what is missing
        await self._member.follow(partition, max(first, slot.next_offset))
        return False

    async def _park(self, raw: Raw, reason: str) -> None:
        assert self._dead is not None
        _log.warning("%s: unreadable record at %d/%d: %s", self._reader.name, raw.partition, raw.offset, reason)
        _count(self._reader, "dead")
        await self._dead.send(raw, reason)

    async def _store_effects(self, slots: Mapping[int, _Slot]) -> None:
        """Ahead of the checkpoint: who waits for them does not wait for what it writes of every symbol that moved."""
        while some := [number for number in slots if self._work.effects(number)]:
            async with self._database.transaction(brief=True) as session:
                await positions.hold(session, self._tables, [slots[number].checkpoint for number in some])
                await self._work.store_effects(session, some)
            for number in some:
                self._work.effects_stored(number)

    async def _save(self, slots: Mapping[int, _Slot]) -> None:
        if not slots:
            return
        await self._store_effects(slots)
        async with self._database.transaction(brief=True) as session:
            states = await self._work.store(session, list(slots))
            for partition, slot in slots.items():
                slot.states.update(states[partition])
            reached = [Reached(each.checkpoint, each.next_offset, _changed(each)) for each in slots.values()]
            await positions.save_all(session, self._tables, reached)
        now = time.monotonic()
        for partition, slot in slots.items():
            self._work.stored(partition)
            slot.moved.clear()
            slot.since = 0
            slot.saved_at = now
        self._note_success()
        self._member.commit({partition: slot.next_offset for partition, slot in slots.items()})

    async def _checkpoint_idle(self) -> None:
        """Saves what the last batch left when no other follows."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            async with AsyncExitStack() as held:
                due: dict[int, _Slot] = {}
                for partition, slot in list(self._slots.items()):
                    if not slot.lock.locked() and self._is_due(partition, slot):
                        await held.enter_async_context(slot.lock)  # free: it is ours without waiting
                        due[partition] = slot
                await self._store_or_go_back(due)

    # -- failures --------------------------------------------------------------------------------------------------

    def _go_back(self, slots: Mapping[int, _Slot], error: Exception) -> None:
        """Drops the memory of these partitions and loads them again from their checkpoints."""
        self._note_failure(error)
        for partition, slot in slots.items():
            self._drop(partition, slot)
        self._load(self._pause_s)

    def _note_failure(self, error: Exception) -> None:
        """Passing failures are told of once and tried again until they pass; any other ends the reader (`failed`)."""
        passing = (
            isinstance(error, Fenced | KafkaError | KafkaException)
            or is_passing(error)
            or (isinstance(error, TickroomError) and error.retryable)
        )
        if passing:
            level = logging.DEBUG if self._troubled else logging.WARNING
            _log.log(level, "%s: back to the checkpoint: %s", self._reader.name, _say(error))
            self._troubled = True
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
            return
        _log.error("%s failed", self._reader.name, exc_info=error)
        if not self.failed.done():
            self.failed.set_exception(error)

    def _note_success(self) -> None:
        self._pause_s = _PAUSE_S
        if self._troubled and not self._missing():
            _log.info("%s: works again on all of its %d partitions", self._reader.name, len(self._slots))
            self._troubled = False


def _slot(checkpoint: Checkpoint, first: int, end: int) -> _Slot:
    """A partition at its checkpoint, or at its beginning where the log, [first, end), does not hold that offset."""
    offset = checkpoint.next_offset
    if offset is None or not first <= offset <= end:
        offset = first  # seq says what is missing
    seen = {symbol: Position(state.epoch, state.seq) for symbol, state in checkpoint.symbols.items()}
    states = {symbol: state.state for symbol, state in checkpoint.symbols.items()}
    return _Slot(checkpoint, Tracker(seen), offset, states)


def _changed(slot: _Slot) -> dict[str, SymbolState]:
    """The symbols that moved since the last checkpoint, as they are to be stored."""
    changed: dict[str, SymbolState] = {}
    for symbol in slot.moved:
        position = slot.tracker.position(symbol)
        assert position is not None
        changed[symbol] = SymbolState(position.epoch, position.seq, slot.states.get(symbol, b""))
    return changed


def _say(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0] if str(error) else type(error).__name__
