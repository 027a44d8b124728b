"""Is a last price old? Time counts only while the market is open, and for a replay by the data's own clock."""

from datetime import datetime, timedelta

from services.gateway.core.wire import Update
from services.shared import calendars
from services.shared.events import parse_time, rfc3339


class Freshness:
    """after_s: seconds of open market after which a price is stale.

    A replay's clock stands at the newest instant seen; what is judged is compared with the instant before that one,
    since its symbols move on one after another.
    """

    def __init__(self, after_s: int) -> None:
        self._after = timedelta(seconds=after_s)
        self._epoch = b""
        self._newest = ""
        self._before = ""
        self._limit_of = ""
        self._limit = ""

    def note(self, update: Update) -> None:
        """Moves the replay's clock on; called with one record of each batch. A new epoch sets it anew."""
        if update.replayed and update.epoch > self._epoch:
            self._epoch = update.epoch
            self._newest = self._before = ""
        if update.replayed and (time := update.time) > self._newest:
            self._before, self._newest = self._newest, time

    def is_stale(self, update: Update, now: str) -> bool:
        """Is a price older than the limit, or a prediction no longer valid? now: RFC 3339, of the wall clock."""
        clock = self._before if update.replayed else now
        if update.kind == "prediction":
            valid_until = update.text_field(b"valid_until").decode()
            return bool(valid_until) and clock > valid_until
        return bool(clock) and update.time < self._oldest_fresh(clock)

    def _oldest_fresh(self, clock: str) -> str:
        to_second = clock[:19]
        if to_second != self._limit_of:
            self._limit_of = to_second
            self._limit = rfc3339(_open_before(parse_time(clock), self._after))
        return self._limit


def _open_before(instant: datetime, span: timedelta) -> datetime:
    """The instant from which on the market was open for `span` until `instant`."""
    day = instant.date()
    while True:
        if calendars.is_session(day):
            begin, end = calendars.open_time(day), min(calendars.close_time(day), instant)
            if end - begin >= span:
                return end - span
            span -= max(end - begin, timedelta(0))
        day -= timedelta(days=1)
