"""What both servers of HTTP have in common: their limits, and who waits for a request. No I/O, no clock."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["CHUNK", "GRACE", "LEFT_MAX", "LINGER", "PAUSE", "Waiting"]

#: Bytes that are read, or written within one timeout.
CHUNK = 64 << 10
#: Bytes of a body nobody has read that are read to keep the connection.
LEFT_MAX = 64 << 10
#: Seconds that a client has to read the last answer while it still sends.
LINGER = 2.0
#: Seconds until a listener is asked again that had no descriptor left for a connection.
PAUSE = 0.1
#: Seconds that a connection may wait for a request while others wait for its place.
GRACE = 1.0

_S = TypeVar("_S")


class Waiting(Generic[_S]):
    """The connections that wait for a request, and since when. Whoever takes one out decides on it."""

    def __init__(self) -> None:
        # In the order in which they came.
        self._since: dict[_S, float] = {}

    def add(self, stream: _S, now: float) -> None:
        self._since[stream] = now

    def take(self, stream: _S) -> bool:
        """Takes it out; says whether it was there."""
        return self._since.pop(stream, None) is not None

    def take_all(self) -> list[_S]:
        streams = list(self._since)
        self._since.clear()
        return streams

    def longest(self) -> tuple[_S, float] | None:
        """Who has waited for longest, and since when."""
        return next(iter(self._since.items()), None)
