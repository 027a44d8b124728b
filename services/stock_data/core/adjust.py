"""Split-adjusted bars: what the past would have looked like in the shares of a given instant."""

from collections.abc import Iterable, Sequence

import msgspec

from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound


def adjust(bars: Iterable[FinalBar], splits: Sequence[SplitFound], before: int) -> list[FinalBar]:
    """One symbol's bars in the shares of just before the instant `before`: only splits earlier than it are known then.

    Prices of bars that began before a split are divided by its ratio, volumes multiplied.
    """
    known = [split for split in splits if split.time < before]
    adjusted: list[FinalBar] = []
    for bar in bars:
        ratio = 1.0
        for split in known:
            if bar.start < split.time:
                ratio *= split.ratio
        adjusted.append(bar if ratio == 1.0 else _scaled(bar, ratio))
    return adjusted


def _scaled(bar: FinalBar, ratio: float) -> FinalBar:
    return msgspec.structs.replace(
        bar,
        open=bar.open / ratio,
        high=bar.high / ratio,
        low=bar.low / ratio,
        close=bar.close / ratio,
        volume=bar.volume * ratio,
    )
