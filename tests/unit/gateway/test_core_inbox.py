"""Notifications of one connection: none lost, none twice, whatever is pushed while pages are read."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.inbox import Inbox
from services.gateway.core.wire import Notice


def _notice(number: int) -> Notice:
    return Notice(f"n{number}", "u1", b"{}")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["store and push", "store and push", "send", "read a page"]), max_size=120))
def test_everything_stored_is_sent_once_in_the_end(steps: list[str]) -> None:
    inbox = Inbox(lambda: None, keep=3)
    stored: list[Notice] = []
    sent: list[str] = []
    page: list[Notice] | None = None  # being sent: what the store held when it was asked

    def send() -> None:
        nonlocal page
        if page is not None:
            sent.extend(notice.id for notice in inbox.page(page))
            page = None
        elif (notice := inbox.next()) is not None:
            sent.append(notice.id)
        elif inbox.behind:
            inbox.behind = False
            page = list(stored)

    for step in steps:
        if step == "store and push":
            stored.append(_notice(len(stored)))
            inbox.push(stored[-1])
        else:
            send()
    for _ in range(3 * len(stored) + 6):
        send()
    assert sorted(sent) == sorted(notice.id for notice in stored)


def test_it_begins_behind_so_that_what_is_unread_comes_first() -> None:
    inbox = Inbox(lambda: None)
    inbox.push(_notice(2))
    assert inbox.behind
    assert inbox.next() is None
    inbox.behind = False
    inbox.push(_notice(3))
    assert [notice.id for notice in inbox.page([_notice(1), _notice(2), _notice(3)])] == ["n1", "n2", "n3"]
    assert inbox.next() is None  # 3 was on the page


def test_it_wakes_its_connection() -> None:
    woken: list[int] = []
    inbox = Inbox(lambda: woken.append(1))
    inbox.push(_notice(1))
    assert woken == [1]


def test_the_memory_of_sent_ids_is_bounded() -> None:
    inbox = Inbox(lambda: None, remember=2)
    notices = [_notice(number) for number in range(3)]
    assert len(list(inbox.page(notices))) == 3
    assert [notice.id for notice in inbox.page(reversed(notices))] == ["n0"]
