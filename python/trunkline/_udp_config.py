"""The configuration of a UDP connection manager: plain data, checked when a manager is made of it.

Unset, zero and never are three values: ``None`` has the documented default, ``timedelta(0)`` is zero, and
``NEVER`` has no end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from ._document import to_document
from ._types import Never

__all__ = ["UdpManagerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UdpManagerConfig:
    """How a UDP connection manager admits, limits and ends sessions; ``None`` is unset.

    A session is what datagrams of one source to one of our addresses belong to. It is verified once its
    client has sent again after an answer went out to it.

    Attributes:
        max_sessions: at one time, verified or not. An unverified one makes room for a new one, a verified one
            never does. Unset 2048; 1 to 1,000,000.
        max_unverified: unverified ones at one time, within ``max_sessions``. Unset 1024; 1 to 1,000,000.
        idle_timeout: silence both ways after which a verified session ends. Unset 60 s; 1 ms to 365 days, or
            ``NEVER``.
        unverified_timeout: the same for those that are not verified. Unset 5 s.
        amplification_limit: how many times the bytes of an unverified source may be sent to it. Unset 3; 1 to
            65535. Short questions with long answers, as in DNS, need about 100.
        early_datagrams: that wait for a session's socket while it is made. Unset 64; 1 to 65536.
        early_bytes: of those. Unset 64 KiB; 1 KiB to 16 MiB.
        connect_timeout: time to look a destination's name up. Unset 5 s; 1 ms to 365 days.
        drain_timeout: time that a drain gives sessions to fall silent. Unset 30 s; zero to 365 days, or
            ``NEVER``.
        receive_pause: pause of receiving on a socket on which it keeps failing. Unset 100 ms.
    """

    max_sessions: int | None = None
    max_unverified: int | None = None
    idle_timeout: timedelta | Never | None = None
    unverified_timeout: timedelta | Never | None = None
    amplification_limit: int | None = None
    early_datagrams: int | None = None
    early_bytes: int | None = None
    connect_timeout: timedelta | None = None
    drain_timeout: timedelta | Never | None = None
    receive_pause: timedelta | None = None

    def to_json(self) -> str:
        """The fields that are set."""
        return json.dumps(to_document(self))
