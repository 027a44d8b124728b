"""When a message is tried again, when a channel is given up, what a storm becomes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.users.core.delivery import (
    MOST_IN_DIGEST,
    SINGLES,
    TRIED_FOR,
    WINDOW,
    Health,
    Outcome,
    Window,
    next_attempt,
    plan,
)

NOW = datetime(2024, 9, 21, 12, 0, tzinfo=UTC)
BUSY = Outcome("http_503", 503)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.mark.parametrize(
    ("attempt", "random", "wait_s"),
    [(1, 1.0, 10), (1, 0.0, 1), (2, 1.0, 20), (3, 0.5, 20), (9, 1.0, 2560), (10, 1.0, 3600), (500, 1.0, 3600)],
)
def test_the_ceiling_doubles_to_an_hour_and_the_wait_is_anywhere_below_it(
    attempt: int, random: float, wait_s: float
) -> None:
    assert next_attempt(BUSY, attempt, NOW, NOW, random) == ("retrying", NOW + seconds(wait_s))


@pytest.mark.parametrize(
    ("outcome", "after", "expected"),
    [
        (Outcome(code=200), 0, ("delivered", 0)),
        (Outcome(code=200), 2 * 86_400, ("delivered", 2 * 86_400)),
        (Outcome("http_410", gone=True), 0, ("dead", 0)),
        (Outcome("http_503", retry_after_s=900), 0, ("retrying", 900)),
        (Outcome("http_503", retry_after_s=2), 0, ("retrying", 10)),
        (Outcome("http_503", retry_after_s=1e9), 0, ("retrying", 86_400)),
        (BUSY, 86_395, ("retrying", 86_400)),
        (BUSY, 86_400, ("dead", 86_400)),
    ],
)
def test_a_day_after_the_first_attempt_is_the_last_one(
    outcome: Outcome, after: float, expected: tuple[str, float]
) -> None:
    status, due = next_attempt(outcome, 1, NOW, NOW + seconds(after), 1.0)
    assert (status, due) == (expected[0], NOW + seconds(expected[1]))


@given(st.lists(st.floats(0.05, 1), min_size=1))
def test_whatever_the_jitter_attempts_end_with_one_at_the_deadline(jitter: list[float]) -> None:
    now, status, attempt = NOW, "retrying", 0
    while status == "retrying":
        attempt += 1
        status, due = next_attempt(BUSY, attempt, NOW, now, jitter[attempt % len(jitter)])
        assert due > now or status == "dead"
        now = due
    assert now == NOW + TRIED_FOR


def test_a_channel_is_hopeless_after_many_failures_over_a_day_and_healthy_after_one_success() -> None:
    health = Health()
    for hour in range(24):
        health = health.after(BUSY, NOW + timedelta(hours=hour))
        assert health.broken == (hour >= 2)
        assert not health.hopeless(NOW + timedelta(hours=hour))
    assert health.hopeless(NOW + timedelta(hours=24))
    assert health.after(Outcome(), NOW) == Health()
    assert not Health(5, NOW).hopeless(NOW + timedelta(days=9))


@pytest.mark.parametrize(
    ("sent", "fresh", "messages", "sent_then", "waits"),
    [
        (0, 0, [], 0, False),
        (0, 1, [1], 1, False),
        (0, SINGLES, [1] * SINGLES, SINGLES, False),
        (SINGLES, 1, [1], SINGLES + 1, False),
        (SINGLES - 1, 2, [2], SINGLES + 1, False),
        (0, SINGLES + 1, [SINGLES + 1], SINGLES + 1, False),
        (SINGLES + 1, 1, [], SINGLES + 1, True),
        (0, MOST_IN_DIGEST + 2, [MOST_IN_DIGEST, 2], SINGLES + 1, False),
    ],
)
def test_the_table_of_a_window(sent: int, fresh: int, messages: list[int], sent_then: int, waits: bool) -> None:
    made = plan(list(range(fresh)), Window(NOW, sent), NOW + seconds(59), gathered=False)
    assert [len(each) for each in made.messages] == messages
    assert made.window == Window(NOW, sent_then)
    assert made.wait_until == (NOW + WINDOW if waits else None)


def test_a_new_window_begins_when_the_old_one_ends() -> None:
    made = plan([1, 2], Window(NOW, SINGLES + 1), NOW + WINDOW, gathered=False)
    assert made.messages == [(1,), (2,)]
    assert made.window == Window(NOW + WINDOW, 2)


def test_what_was_held_back_goes_together_in_any_window() -> None:
    assert plan([1, 2, 3], Window(NOW, SINGLES + 1), NOW, gathered=True).messages == [[1, 2, 3]]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 90)), max_size=60))
def test_every_notification_goes_out_once_in_order_and_few_messages_in_any_window(
    storm: list[tuple[int, int]],
) -> None:
    waiting: list[int] = []
    out: list[int] = []
    sent_at: list[datetime] = []
    window, now, number = Window(), NOW, 0
    for count, pause in [*storm, (0, 120), (0, 120)]:
        waiting += range(number, number + count)
        number += count
        made = plan(waiting, window, now, gathered=False)
        assert (made.wait_until is None) == (not waiting or bool(made.messages))
        window = made.window
        for each in made.messages:
            out += each
            sent_at.append(now)
        waiting = [] if made.wait_until is None else waiting
        now += seconds(pause)
    assert out == list(range(number))
    for first in sent_at:
        assert sum(first <= each < first + WINDOW for each in sent_at) <= 2 * (SINGLES + 1)
