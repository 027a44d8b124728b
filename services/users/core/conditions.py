"""Every kind of condition, and how conditions stand in the database: as clients send them."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.users.core.channels import EnteringChannel, ExitingChannel
from services.users.core.condition import Condition, Way, rounded
from services.users.core.crossings import Crossing, CrossingDown, CrossingUp
from services.users.core.extremes import NewHigh, NewLow
from services.users.core.levels import GreaterThan, LessThan
from services.users.core.moves import MovingDown, MovingUp
from services.users.core.signals import ConfidenceAbove, PredictionChanged
from services.users.core.stale import Stale
from services.users.core.volume import VolumeAbove

__all__ = ["KINDS", "TYPES", "AnyCondition", "Condition", "Way", "decode_conditions", "encode_conditions", "rounded"]

AnyCondition = (
    GreaterThan
    | LessThan
    | Crossing
    | CrossingUp
    | CrossingDown
    | EnteringChannel
    | ExitingChannel
    | MovingUp
    | MovingDown
    | NewHigh
    | NewLow
    | VolumeAbove
    | PredictionChanged
    | ConfidenceAbove
    | Stale
)
"""Told apart by `type`."""

_EACH: Final[tuple[type[Condition], ...]] = AnyCondition.__args__

TYPES: Final[Mapping[str, type[Condition]]] = {str(kind.__struct_config__.tag): kind for kind in _EACH}
"""Each kind by the name that clients use."""

Threshold = type[GreaterThan | LessThan | Crossing | CrossingUp | CrossingDown]
KINDS: Final[Mapping[str, Threshold]] = {
    "greater_than": GreaterThan,
    "less_than": LessThan,
    "crossing": Crossing,
    "crossing_up": CrossingUp,
    "crossing_down": CrossingDown,
}
"""Those that wait for a price at a threshold."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[AnyCondition, ...]).decode


def encode_conditions(conditions: Sequence[Condition]) -> bytes:
    """Conditions as their column holds them: the JSON list that clients send."""
    return _encode(conditions)


def decode_conditions(stored: bytes) -> tuple[AnyCondition, ...]:
    """Raises msgspec.ValidationError for anything else."""
    return _decode(stored)
