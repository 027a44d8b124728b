"""Settings of stock_data: the feed and how it is replayed."""

import math
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from services.shared.config import SharedSettings
from services.stock_data.core.start import Start, parse_start
from services.stock_data.feeds.catalogue import BUNDLED, CSV


def _rate(value: object) -> object:
    if isinstance(value, str):
        if value.strip().lower() == "max":
            return math.inf
        try:
            return float(value)
        except ValueError:
            raise ValueError("accepts a number above 0 (ticks a second), or max") from None
    return value


def _start(value: object) -> object:
    return parse_start(value) if isinstance(value, str) else value


def _names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


class Settings(SharedSettings):
    """FEED and REPLAY_* decide what is played; another file, other symbols or another start begin a new epoch."""

    feed: str = Field(BUNDLED, description="replay (the bundled daily bars), or csv:PATH (upload format or ticks)")
    symbols: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        (), description="comma list to follow; empty = the feed's own"
    )
    replay_rate: Annotated[float, BeforeValidator(_rate)] = Field(
        10.0, gt=0, description="ticks per second in all; max = as fast as readers with state keep up"
    )
    replay_start: Annotated[Start | None, BeforeValidator(_start)] = Field(
        None, description="a date or 0%-100% of the file's time span; rows before it are history"
    )
    replay_delay_s: float = Field(0.0, ge=0, le=86_400, description="wait after all readers are ready")
    replay_loop: bool = Field(True, description="start again at the end, as a new epoch")
    reader_lag_limit: int = Field(
        10_000,
        ge=100,
        le=1_000_000,
        description="records that the slowest reader with state may be behind on a partition before the feed waits",
    )

    @field_validator("feed")
    @classmethod
    def _works_today(cls, value: str) -> str:
        if value == BUNDLED or (value.startswith(CSV) and value != CSV):
            return value
        raise ValueError(f"{value!r} does not work yet; what works today: replay, csv:PATH")
