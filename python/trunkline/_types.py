"""Types that both faces share."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntEnum
from typing import Final, TypeAlias

from . import _native

__all__ = ["NEVER", "CloseReason", "Never", "StreamStats"]

# What a queue tells: tag, handle, value, error, and the object that it carries.
Event: TypeAlias = tuple[
    int, int, int, Exception | None, _native.Stream | _native.Lease | _native.Job | _native.Reply | None
]

# How a call is made: the deadline, metadata, flags, and the largest message of the answer.
Terms: TypeAlias = tuple[int, list[tuple[str, bytes]], int, int, list[tuple[str, bytes]]]


class Never(Enum):
    """A limit that is never reached; neither zero nor unset."""

    NEVER = "never"

    def __repr__(self) -> str:
        return "NEVER"


NEVER: Final = Never.NEVER


class CloseReason(IntEnum):
    """Why a connection ended."""

    FINISHED = 1
    LOCAL = 2
    RESET = 3
    IDLE_TIMEOUT = 4
    HALF_CLOSE_TIMEOUT = 5
    CONNECT_FAILED = 6
    DRAINED = 7
    CANCELLED = 8
    EVICTED = 9
    REFUSED = 10
    KILLED = 11
    MAX_DURATION = 12
    SOURCE_LIMIT = 13
    BACKEND_FULL = 14
    QUEUE_TIMEOUT = 15


_PROTOCOLS: Final = {1: "tcp", 2: "unix", 3: "pipe", 4: "tls"}


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The counts of one stream, exact also after it was closed.

    ``id`` is the connection's number, unique in this process. ``close_reason`` is ``None`` while it is open.
    """

    id: int
    protocol: str
    bytes_received: int
    bytes_sent: int
    age: timedelta
    close_reason: CloseReason | None


def stream_stats(raw: tuple[int, int, int, int, int, int]) -> StreamStats:
    """The counts as the native module tells them."""
    number, protocol, received, sent, age_ns, reason = raw
    return StreamStats(
        id=number,
        protocol=_PROTOCOLS.get(protocol, "unknown"),
        bytes_received=received,
        bytes_sent=sent,
        age=timedelta(microseconds=age_ns / 1000),
        close_reason=CloseReason(reason) if reason else None,
    )


# What `shutdown` of a socket takes, as interests of the native module.
SHUTDOWN: Final = {socket.SHUT_RD: 1, socket.SHUT_WR: 2, socket.SHUT_RDWR: 3}
