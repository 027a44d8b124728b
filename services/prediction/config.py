"""Settings of prediction."""

from typing import Literal

from pydantic import Field

from services.shared.config import SharedSettings


class Settings(SharedSettings):
    """What every room knows, and how signals are made."""

    signal_policy: Literal["lean", "edge"] = Field(
        "lean", description="lean: say what the forecast says; edge: hold unless the scored edge is real"
    )
    signal_bar: Literal["1d"] = Field("1d", description="the bars at whose end signals are decided: daily ones")
