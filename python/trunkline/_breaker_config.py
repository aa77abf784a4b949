"""When calls and connections are kept away from an endpoint that fails, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["BreakerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerConfig:
    """When a circuit breaker opens, for how long, and how carefully it closes again; ``None`` is unset.

    It opens at a failure that is the ``consecutive_failures``-th in a row, or that brings the failures of the
    window, which is ``buckets`` times ``bucket`` long, to ``failure_ratio`` of at least ``min_calls`` calls.

    Attributes:
        bucket: time that one bucket of the window counts. Unset 1 s; 1 ms to 1 h.
        buckets: of the window; the oldest is forgotten as a whole. Unset 10; 1 to 100.
        failure_ratio: part of the window's calls that must have failed. Unset 0.5; 0.01 to 1.
        min_calls: of the window, below which their ratio says nothing. Unset 20; 1 to 1,000,000.
        consecutive_failures: in a row that open it, however few calls there are. Unset 7; 1 to 1,000,000.
        open: time that it stays open at first. Unset 5 s; 1 ms to ``max_open``.
        multiplier: of that time, for each further opening without a closing between. Unset 2; 1 to 10.
        max_open: ceiling of that time, before chance. Unset 60 s; ``open`` to 365 days.
        jitter: part of that time that chance adds or takes away. Unset 0.2; 0 to 1.
        probes: calls let through at one time once it was open long enough, and successes among them that
            close it. Unset 3; 1 to 100.
        probe_deadline: after which a probe that told no outcome frees its place. Unset 30 s.
    """

    bucket: timedelta | None = None
    buckets: int | None = None
    failure_ratio: float | None = None
    min_calls: int | None = None
    consecutive_failures: int | None = None
    open: timedelta | None = None
    multiplier: float | None = None
    max_open: timedelta | None = None
    jitter: float | None = None
    probes: int | None = None
    probe_deadline: timedelta | None = None
