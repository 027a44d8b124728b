"""Conditions on predictions, as they come on topic `signals`."""

from collections.abc import Collection
from typing import ClassVar, Final

from services.shared.events import Prediction
from services.users.core.condition import Condition, Key, Source, Way, share_below
from services.users.core.moment import Moment

TURNS: Final[Key] = ("turns", 0)
CONFIDENCE: Final[Key] = ("confidence", 0)


class PredictionChanged(Condition, frozen=True, gc=False, tag="prediction_changed"):
    """The prediction differs from the one before, and is `to` where that is given. An event: each occurrence fires.

    to = "buy" and to = None:

    | before | now  | to buy | any  |                                                      |
    |--------|------|--------|------|------------------------------------------------------|
    | -      | buy  | no     | no   | the first one ever, or of an epoch, only sets a side |
    | hold   | buy  | yes    | yes  |                                                      |
    | buy    | buy  | no     | no   |                                                      |
    | buy    | sell | no     | yes  |                                                      |
    """

    event: ClassVar[bool] = True
    source: ClassVar[Source] = "signals"

    to: Prediction | None = None

    def holds(self, now: Moment) -> bool:
        if now.was is None or now.prediction is None or now.was == now.prediction:
            return False
        return self.to is None or now.prediction == self.to

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        return True

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        return ((TURNS, 0.5),)

    def shown(self, now: Moment) -> float | None:
        return None


class ConfidenceAbove(Condition, frozen=True, gc=False, tag="confidence_above"):
    """The newest prediction's confidence > threshold. A state, latched until it has been false.

    threshold 0.6:

    | confidence | holds | latched rule   |
    |------------|-------|----------------|
    | 0.55       | no    | may fire again |
    | 0.6        | no    | may fire again |
    | 0.61       | yes   | stays latched  |

    With hysteresis_pct 10 a latched rule may fire again at 0.54 or below.
    """

    source: ClassVar[Source] = "signals"

    threshold: float

    def holds(self, now: Moment) -> bool:
        return now.confidence is not None and now.confidence > self.threshold

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        return now.confidence is not None and now.confidence <= share_below(self.threshold, 1, hysteresis_pct)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        return {(CONFIDENCE, self.threshold), (CONFIDENCE, share_below(self.threshold, 1, hysteresis_pct))}

    def shown(self, now: Moment) -> float | None:
        return self.threshold
