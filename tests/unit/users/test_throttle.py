"""Counting tries."""

import pytest

from services.shared.cache import Counted, MemoryCache
from services.shared.errors import TooMany, Unavailable
from services.users.throttle import Throttle


async def test_each_key_has_its_own_count() -> None:
    throttle = Throttle(MemoryCache(), "logins", 2, 60)
    await throttle.count("ada", "1.2.3.4")
    await throttle.count("ada", "5.6.7.8")
    await throttle.count("bob", "1.2.3.4")
    with pytest.raises(TooMany) as caught:
        await throttle.count("ada", "9.9.9.9")
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 60
    with pytest.raises(TooMany):
        await throttle.count("carol", "1.2.3.4")
    await throttle.count("dan", "")


async def test_zero_is_no_limit() -> None:
    throttle = Throttle(MemoryCache(), "logins", 0, 60)
    for _ in range(100):
        await throttle.count("ada")


async def test_a_try_that_cannot_be_counted_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: MemoryCache, key: str, window_s: int) -> Counted:
        raise Unavailable("no Redis")

    monkeypatch.setattr(MemoryCache, "count", away)
    with pytest.raises(Unavailable):
        await Throttle(MemoryCache(), "logins", 2, 60).count("ada")
    await Throttle(MemoryCache(), "logins", 0, 60).count("ada")


async def test_kinds_do_not_share_counts() -> None:
    cache = MemoryCache()
    await Throttle(cache, "logins", 1, 60).count("1.2.3.4")
    await Throttle(cache, "registrations", 1, 60).count("1.2.3.4")
