"""Forecasts: each from its own row alone, never without a sign, honest about what training never saw."""

import msgspec
import pytest

from services.prediction.core.features import NAMES, Row, fold
from services.prediction.core.models import BrokenModel, Forecaster, Model
from tests.unit.prediction.samples import walk


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row for row in fold(walk(200, seed=11, memory=-0.5))[1] if row is not None]


def test_an_answer_does_not_depend_on_its_company(forecaster: Forecaster, rows: list[Row]) -> None:
    together = forecaster.forecast(rows)
    assert [forecaster.forecast([row])[0] for row in rows] == together
    assert forecaster.forecast(rows[40:60]) == together[40:60]


def test_a_model_from_its_file_is_the_same(model: Model, forecaster: Forecaster, rows: list[Row]) -> None:
    restored = Model.from_bytes(model.to_bytes())
    assert restored == model
    assert Forecaster(restored).forecast(rows) == forecaster.forecast(rows)


def test_forecasts_are_in_units_of_volatility(forecaster: Forecaster, rows: list[Row]) -> None:
    row = rows[0]
    calm = msgspec.structs.replace(row, volatility=row.volatility / 2)
    (first,), (second,) = forecaster.forecast([row]), forecaster.forecast([calm])
    assert second[:3] == pytest.approx([each / 2 for each in first[:3]])
    assert second.confidence == first.confidence


def test_the_sign_always_stays(blind: Model, rows: list[Row]) -> None:
    forecasts = Forecaster(blind).forecast(rows)
    assert all(forecast.log_return != 0 for forecast in forecasts)
    assert all(forecast.low < forecast.log_return < forecast.high for forecast in forecasts)
    assert all(0.1 <= forecast.confidence <= 1.0 for forecast in forecasts)


def test_what_training_never_saw_is_outside(model: Model, forecaster: Forecaster, rows: list[Row]) -> None:
    assert all(forecast.inside for forecast in forecaster.forecast(rows[:20]))
    for place, (low, high) in enumerate(model.domain):
        strange = list(rows[0].values)
        strange[place] = high + 0.2 * (high - low)
        (forecast,) = forecaster.forecast([msgspec.structs.replace(rows[0], values=tuple(strange))])
        assert not forecast.inside, NAMES[place]


def test_broken_files(model: Model) -> None:
    for bad in (b"", b"{}", model.to_bytes()[:-10]):
        with pytest.raises(BrokenModel):
            Model.from_bytes(bad)


def test_a_booster_that_lightgbm_cannot_read(model: Model) -> None:
    with pytest.raises(BrokenModel, match=model.version):
        Forecaster(msgspec.structs.replace(model, booster="no trees here"))


def test_skills_of_the_tickers(model: Model, forecaster: Forecaster) -> None:
    assert forecaster.skills == {ticker: scored.skill() for ticker, scored in model.tickers.items()}
