"""A remembered forecast is given again only while nothing has come that could change it."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.backends import Forecast
from services.gateway.core.board import Board
from services.gateway.core.performance import Performance
from services.gateway.core.wire import read_update
from services.gateway.forecasts import RememberedForecasts
from services.shared.errors import Unavailable
from tests.unit.gateway.frames import bar, signal, split, tick
from tests.unit.gateway.http_fakes import FakePrediction

TIME = "2024-09-21T14:01:00.000000Z"
BAR_TIME = "2024-09-21T20:00:00.000000Z"


class Study(FakePrediction):
    """Answers with the forecast it was given, and counts how often it had to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.made = forecast()

    async def predict(self, ticker: str, horizon: str) -> Forecast:
        self.asked.append((ticker, horizon))
        if self.fails is not None:
            raise self.fails
        return self.made


def forecast(seq: int = 1, bar_time: str = "", epoch: str = "e1") -> Forecast:
    return Forecast("AAPL", 2.0, 3.0, 0.6, "bullish", TIME, "1d", "lightgbm", epoch, seq, bar_time)


@dataclass
class Door:
    """What the gateway has read, and its clock."""

    study: Study = field(default_factory=Study)
    board: Board = field(default_factory=Board)
    performance: Performance = field(default_factory=Performance)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.forecasts = RememberedForecasts(self.study, self.board.of, self.performance, lambda: self.now_s)

    def read(self, value: bytes) -> None:
        update = read_update(value)
        assert update is not None
        self.board.advance(update)

    async def ask(self, times: int = 2, ticker: str = "AAPL", horizon: str = "") -> int:
        """How many of these prediction had to answer."""
        before = len(self.study.asked)
        for _ in range(times):
            await self.forecasts.predict(ticker, horizon)
        return len(self.study.asked) - before


@pytest.fixture
def door() -> Door:
    return Door()


async def test_the_same_question_is_asked_once(door: Door) -> None:
    door.read(tick(seq=1))
    assert await door.ask(times=5) == 1
    assert (door.performance.hits, door.performance.misses) == (4, 1)
    assert await door.ask(horizon="10d") == 1
    assert await door.ask(ticker="IBM") == 1


async def test_a_symbol_without_records_is_remembered_too(door: Door) -> None:
    assert await door.ask() == 1


@pytest.mark.parametrize(
    ("news", "made"),
    [
        (tick(seq=2), forecast(2)),
        (tick(seq=1, epoch="e2"), forecast(1, epoch="e2")),
        (bar(seq=2), forecast(1, bar_time=BAR_TIME)),
        (signal(seq=1), forecast(1)),
    ],
)
async def test_news_of_the_symbol_make_it_ask_again(door: Door, news: bytes, made: Forecast) -> None:
    door.read(tick(seq=1))
    await door.ask()
    door.read(news)
    door.study.made = made
    assert await door.ask() == 1


async def test_news_of_another_symbol_do_not(door: Door) -> None:
    door.read(tick(seq=1))
    await door.ask()
    door.read(tick("IBM", seq=1))
    assert await door.ask() == 0


@pytest.mark.parametrize(
    ("read", "made"),
    [
        ((tick(seq=2),), forecast(1)),
        ((tick(seq=1, epoch="e2"),), forecast(9)),
        ((tick(seq=1),), forecast(0, epoch="")),
        ((tick(seq=1), bar(seq=2)), forecast(1, bar_time="2024-09-20T20:00:00.000000Z")),
        ((tick(seq=1), split(seq=2)), forecast(1, bar_time=BAR_TIME)),
    ],
)
async def test_what_was_made_from_less_than_is_known_here_is_not_kept(
    door: Door, read: tuple[bytes, ...], made: Forecast
) -> None:
    for value in read:
        door.read(value)
    door.study.made = made
    assert await door.ask() == 2


async def test_what_was_made_from_more_is_kept_until_that_comes(door: Door) -> None:
    door.read(tick(seq=1))
    door.study.made = forecast(2)
    assert await door.ask() == 1
    door.read(tick(seq=2))
    assert await door.ask() == 1


async def test_nothing_is_told_for_ever(door: Door) -> None:
    door.read(tick(seq=1))
    await door.ask()
    door.now_s = 9.9
    assert await door.ask() == 0
    door.now_s = 10.0
    assert await door.ask() == 1


async def test_a_failure_is_not_remembered(door: Door) -> None:
    door.study.fails = Unavailable("no model is trained yet", code="no_model")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await door.ask()
    assert len(door.study.asked) == 2


async def test_the_memory_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.forecasts._MOST", 3)
    for name in "ABCD":
        await door.ask(ticker=name)
    assert [await door.ask(ticker=name) for name in "BCDA"] == [0, 0, 0, 1]


async def test_times_are_noted_of_remembered_ones_too(door: Door) -> None:
    await door.ask(times=3)
    assert door.performance.metrics(0.0, "").prediction_performance.predictions_under_100ms == 1.0


def bar_time(seq: int) -> str:
    return BAR_TIME.replace("20:00:00", f"20:{seq:02}:00")


class World(Study):
    """stock_data, prediction and Kafka, step by step.

    told: how many of the published records stock_data answers with; moves: does it get on while a forecast is made?
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, int]] = []
        self.told = 0
        self.moves = False

    def publish(self, kind: str) -> None:
        newest = sum(each != "signal" for each, _ in self.published)
        self.published.append((kind, newest if kind == "signal" else newest + 1))

    def record(self, place: int) -> bytes:
        kind, seq = self.published[place]
        if kind == "tick":
            return tick(seq=seq)
        return signal(seq=seq) if kind == "signal" else bar(seq=seq).replace(BAR_TIME.encode(), bar_time(seq).encode())

    def newest(self, kind: str, of: int) -> int:
        """The seq of the newest of the first `of` records; 0 without one."""
        return max((seq for each, seq in self.published[:of] if each == kind), default=0)

    async def predict(self, ticker: str, horizon: str) -> Forecast:
        self.asked.append((ticker, horizon))
        price = self.newest("tick", self.told)
        if self.moves:
            self.told = len(self.published)
        last_bar = self.newest("bar", self.told)
        made = forecast(price, bar_time(last_bar) if last_bar else "", "e1" if price else "")
        return replace(made, model=str(self.newest("signal", len(self.published))))  # in effect before its signal


STEPS = st.lists(st.sampled_from(["tick", "bar", "signal", "read", "tell", "move", "ask"]), max_size=50)


@settings(deadline=None, max_examples=400)
@given(STEPS)
def test_whatever_happens_in_whatever_order_a_remembered_answer_is_not_stale(steps: list[str]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    world = World()
    door, read = Door(world), 0
    for step in steps:
        if step in ("tick", "bar", "signal"):
            world.publish(step)
        elif step == "read" and read < len(world.published):
            door.read(world.record(read))
            read += 1
        elif step == "tell":
            world.told = len(world.published)
        elif step == "move":
            world.moves = not world.moves
        elif step == "ask":
            hits = door.performance.hits
            found = await door.forecasts.predict("AAPL", "")
            if door.performance.hits > hits:
                assert found.seq >= world.newest("tick", read)
                assert found.bar_time >= (bar_time(last) if (last := world.newest("bar", read)) else "")
                assert int(found.model) >= world.newest("signal", read)
