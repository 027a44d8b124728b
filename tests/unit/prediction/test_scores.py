"""Scores stand beside what doing nothing would have scored."""

import numpy as np
import pytest

from services.prediction.core.scores import edge_is_real, score, wilson
from services.shared.events import Skill


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_knows_nothing_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(20, 20)[1] == 1.0


def test_score_by_hand() -> None:
    forecasts = np.array([0.01, -0.01, 0.02, 0.01])
    moves = np.array([0.02, 0.01, -0.02, 0.0])  # right, wrong, wrong, and a return of 0: right for nobody
    found = score(forecasts, moves, train_samples=9)
    assert (found.count, found.hits, found.ups, found.train_samples) == (4, 1, 2, 9)
    assert found.mae == pytest.approx((0.01 + 0.02 + 0.04 + 0.01) / 4)
    assert found.rmse == pytest.approx(np.sqrt((1e-4 + 4e-4 + 16e-4 + 1e-4) / 4))
    assert found.baseline_mae == pytest.approx(0.05 / 4)
    skill = found.skill()
    assert (skill.count, skill.hit_rate, skill.baseline_hit_rate) == (4, 0.25, 0.5)
    assert skill.hit_rate_interval == pytest.approx(wilson(1, 4), abs=1e-6)


def skill(low: float, up: float) -> Skill:
    return Skill(
        count=100, hit_rate=0.6, hit_rate_interval=(low, 0.7), baseline_hit_rate=up, mae=0.01, baseline_mae=0.01
    )


@pytest.mark.parametrize(
    ("found", "real"),
    [(None, False), (skill(0.51, 0.5), True), (skill(0.49, 0.4), False), (skill(0.51, 0.52), False)],
)
def test_an_edge_beats_a_coin_and_always_up(found: Skill | None, real: bool) -> None:
    assert edge_is_real(found) is real
