"""How fast a client may talk."""


class Pace:
    """Lets `per_second` events through, and as many at once; 0 = any number. Times in seconds of one steady clock."""

    __slots__ = ("_left", "_per_second", "_seen_s")

    def __init__(self, per_second: int, now_s: float) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._seen_s = now_s

    def allows(self, now_s: float) -> bool:
        """Counts one event."""
        if self._per_second == 0:
            return True
        self._left = min(float(self._per_second), self._left + (now_s - self._seen_s) * self._per_second)
        self._seen_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
