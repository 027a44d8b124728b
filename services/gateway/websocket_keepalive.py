"""Is the peer still there, and how far behind is it? Pings that any frame answers, and pongs that are timed."""

from typing import Any, Final

from prometheus_client import Histogram
from websockets.frames import Frame

from services.gateway.websocket_lean import LeanProtocol

_PONG: Final = Histogram(
    "gateway_pong_seconds",
    "From a ping to its pong: it waits behind what the client has not read yet",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0),
)

OVERSLEPT_S: Final = 1.0
"""A timer that is so late says that this process stood still, or was too busy to read what came in time."""


class KeepAliveProtocol(LeanProtocol):
    """Pings every `ping_interval`; hangs up on who says nothing within `ping_timeout` of one.

    A ping stays in flight until its own pong comes, though other frames prove the peer alive before: behind everything
    that the peer has not read yet, a second one would tell nothing new.
    """

    __slots__ = ("_asked_at", "_last_pong_s")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked_at = 0.0
        self._last_pong_s = 0.0

    @property
    def behind_s(self) -> float:
        """Seconds that the last pong took; where a ping is out for longer, since when."""
        if self.pending_ping_payload is None:
            return self._last_pong_s
        return max(self._last_pong_s, self.loop.time() - self.ping_sent_at)

    def handle_events(self) -> None:
        if self.conn.events and self.pong_timer is not None:
            self.pong_timer.cancel()
            self.pong_timer = None
            self.last_ping_rtt = self.loop.time() - self._asked_at
            self.schedule_ping()
        super().handle_events()

    def handle_pong(self, event: Frame) -> None:
        asked = self.pending_ping_payload is not None
        super().handle_pong(event)
        if asked and self.pending_ping_payload is None:
            self._last_pong_s = self.loop.time() - self.ping_sent_at
            _PONG.observe(self._last_pong_s)

    def send_keepalive_ping(self) -> None:
        self._asked_at = self.loop.time()
        if self.pending_ping_payload is None:
            super().send_keepalive_ping()
        elif not self.close_sent and not self.transport.is_closing():
            self.ping_timer = None
            self._wait_for_a_sign()

    def keepalive_timeout(self) -> None:
        assert self.ping_timeout is not None
        late_s = self.loop.time() - self._asked_at - self.ping_timeout
        if self.read_paused or late_s > OVERSLEPT_S:  # whatever it said, we did not listen
            self._wait_for_a_sign()
        else:
            self.give_up()

    def give_up(self) -> None:
        """Closes: nothing came for too long."""
        super().keepalive_timeout()

    def _wait_for_a_sign(self) -> None:
        assert self.ping_timeout is not None
        self._asked_at = self.loop.time()
        self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
