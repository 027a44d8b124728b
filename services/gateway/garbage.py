"""Open sockets are no garbage, and the collector need not go through them again and again.

A full round of it visits every object of every socket, and everybody waits meanwhile: with thousands of sockets for a
second, several times while they come in. So now and then whatever is open is set aside for good. A socket that closes
is freed nevertheless: nothing of it refers to itself in a circle.
"""

import gc
from itertools import count
from typing import Final

EVERY: Final = 250
"""Sockets: the round before they are set aside takes some ten milliseconds."""

_came = count(1)


def came_in() -> None:
    """A socket was let in."""
    if next(_came) % EVERY == 0:
        gc.collect()  # or the garbage of the moment would be kept for ever
        gc.freeze()
