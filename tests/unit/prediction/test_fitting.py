"""Training: the same data give the same model, later data change nothing, and quality is told as it is."""

import pytest

from services.prediction.core.features import NAMES, WARM_UP
from services.prediction.core.fitting import LEAST_DATES, TooFewRows, train
from services.prediction.core.models import Model
from services.shared.errors import Unavailable
from tests.unit.prediction.conftest import BARS, CUT
from tests.unit.prediction.samples import market, walk


def quiet(step: str) -> None:
    pass


def test_the_same_data_give_the_same_model_under_the_same_name(model: Model) -> None:
    histories = market(BARS, memory=-0.5)
    shuffled = {ticker: histories[ticker] for ticker in reversed(histories)}
    again = train(shuffled, horizon="1d", before=histories["AAA"][CUT].time, progress=quiet)
    assert again.to_bytes() == model.to_bytes()


def test_what_comes_after_the_cut_changes_nothing(model: Model) -> None:
    histories = market(BARS, memory=-0.5)
    prefix = {ticker: bars[:CUT] for ticker, bars in histories.items()}
    assert train(prefix, horizon="1d", before=histories["AAA"][-1].time, progress=quiet).to_bytes() == model.to_bytes()


def test_other_data_give_another_name(model: Model) -> None:
    histories = market(BARS, memory=-0.5)
    first = histories["AAA"][0]
    histories["AAA"] = (first._replace(volume=first.volume + 1), *histories["AAA"][1:])
    other = train(histories, horizon="1d", before=histories["AAA"][CUT].time, progress=quiet)
    # a single volume, long before the first row, is smoothed away by then: the rows and so the model are the same
    assert other.version == model.version
    late = histories["AAA"][CUT - 1]
    histories["AAA"] = (*histories["AAA"][: CUT - 1], late._replace(close=late.high), *histories["AAA"][CUT:])
    other = train(histories, horizon="1d", before=histories["AAA"][CUT].time, progress=quiet)
    assert other.version != model.version


def test_where_there_is_something_to_learn_it_shows(model: Model) -> None:
    skill = model.overall.skill()
    assert skill.hit_rate_interval[0] > max(0.5, skill.baseline_hit_rate)
    assert skill.mae < skill.baseline_mae
    assert model.shrinkage > 0.5
    assert model.confidence.of(0.3) > model.confidence.of(0.0)
    assert model.confidence.of(0.3) > 0.6


def test_where_there_is_nothing_to_learn_it_says_so(blind: Model) -> None:
    skill = blind.overall.skill()
    assert skill.hit_rate_interval[0] < 0.5 < skill.hit_rate_interval[1]
    assert 0 < blind.shrinkage < 0.1
    assert blind.confidence.of(0.0) == pytest.approx(0.5, abs=0.05)


def test_each_ticker_is_scored_on_its_own_unseen_rows(model: Model) -> None:
    rows = CUT - (WARM_UP - 1) - 1
    assert set(model.tickers) == {"AAA", "BBB", "CCC"}
    assert {scored.train_samples for scored in model.tickers.values()} == {rows}
    assert {scored.count for scored in model.tickers.values()} == {rows - rows // 6}
    assert model.overall.count == sum(scored.count for scored in model.tickers.values())
    assert model.sessions == rows
    assert len(model.domain) == len(NAMES)


def test_too_little_history() -> None:
    bars = walk(WARM_UP + LEAST_DATES - 1, seed=1)  # one row short
    with pytest.raises(TooFewRows, match="59 dates"):
        train({"AAA": bars, "BBB": bars, "CCC": bars}, horizon="1d", before="2030", progress=quiet)
    with pytest.raises(TooFewRows, match="0 usable rows"):
        train({}, horizon="1d", before="2030", progress=quiet)


def test_just_enough_history() -> None:
    bars = walk(WARM_UP + LEAST_DATES, seed=1)
    assert train({"AAA": bars, "BBB": bars}, horizon="1d", before="2030", progress=quiet).sessions == LEAST_DATES


def test_progress_may_give_up() -> None:
    steps: list[str] = []

    def until_second_fold(step: str) -> None:
        steps.append(step)
        if step.startswith("fold 2"):
            raise Unavailable("stopping")

    with pytest.raises(Unavailable):
        train(market(150), horizon="1d", before="2030", progress=until_second_fold)
    assert steps == ["297 rows of 3 tickers on 99 dates", "fold 1 of 5", "fold 2 of 5"]
