"""The rules of one lane, packed: a million of them as objects would take gigabytes, and a tick touches a handful."""

from collections.abc import Iterator

import msgspec

from services.users.core.journal import Watch
from services.users.core.thresholds import Thresholds

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Watch).decode
_KEY_BITS = 53  # what a double holds exactly


class Shelf:
    """Each rule lies at a slot, a small number. What `get` returns is a copy: `keep` puts it back."""

    __slots__ = ("_free", "_packed", "_places")

    def __init__(self) -> None:
        self._packed: list[bytes | None] = []
        self._free: list[int] = []
        self._places = Thresholds()

    def __len__(self) -> int:
        return len(self._packed) - len(self._free)

    def __iter__(self) -> Iterator[tuple[int, Watch]]:
        """Every (slot, rule); rules may be kept meanwhile."""
        for slot, packed in enumerate(self._packed):
            if packed is not None:
                yield slot, _unpack(packed)

    def put(self, watches: list[Watch]) -> list[int]:
        """Slots of new rules, none of which may be here already."""
        slots = []
        for watch in watches:
            if self._free:
                slot = self._free.pop()
                self._packed[slot] = _pack(watch)
            else:
                slot = len(self._packed)
                self._packed.append(_pack(watch))
            slots.append(slot)
        self._places.extend([(_key(watch.rule.id), slot) for watch, slot in zip(watches, slots, strict=True)])
        return slots

    def get(self, slot: int) -> Watch | None:
        packed = self._packed[slot]
        return None if packed is None else _unpack(packed)

    def keep(self, slot: int, watch: Watch) -> None:
        """It has changed, save for its id."""
        self._packed[slot] = _pack(watch)

    def find(self, rule_id: str) -> tuple[int, Watch] | None:
        """The slot of a rule, and the rule."""
        key = _key(rule_id)
        for slot in self._places.between(key, key):
            watch = self.get(slot)
            if watch is not None and watch.rule.id == rule_id:
                return slot, watch
        return None

    def drop(self, gone: list[tuple[int, Watch]]) -> None:
        self._places.remove([(slot, (_key(watch.rule.id),)) for slot, watch in gone])
        for slot, _ in gone:
            self._packed[slot] = None
            self._free.append(slot)


def _key(rule_id: str) -> float:
    """A number that nearly always tells ids apart; good for this process."""
    return float(hash(rule_id) % (1 << _KEY_BITS))
