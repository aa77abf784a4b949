"""What a checkout pool says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from ._duration import read_duration
from ._ledger import PoolCloseReason

__all__ = ["CheckoutPoolStats", "HeldLease", "PoolAdvice"]


@dataclass(frozen=True, slots=True)
class CheckoutPoolStats:
    """The counts of a checkout pool, all of one moment.

    ``created - closed == idle + used + validating + closing``, always; ``connecting`` stands beside it.

    Attributes:
        max_size: the most connections that there may be.
        min_idle: connections that are to stand ready.
        idle: connections that stand ready.
        used: connections that are lent.
        validating: connections that are being checked or reset.
        connecting: connections that are being made.
        closing: connections that are being closed.
        waiting: callers in line.
        created: connections that were made.
        create_failed: attempts to connect that failed.
        closed: connections that are gone, for any reason.
        acquired: leases given out, in all.
        hits: those for which an idle connection was there at once.
        handed_over: those that went to a caller in line.
        timeouts: acquires that got nothing in time.
        cancelled: acquires that were given up by the caller.
        refused: acquires that were refused because too many waited.
        invalid: checks and resets that failed.
        relieved: connections that a younger one relieved before their end.
        leaks: leases that were held for longer than ``leak_after``.
        epoch: how often the pool was cleared.
        peak_used: the most connections lent at one time since the last :meth:`Pool.pop_stats`.
        use_time: for which connections were held, in all.
        wait_time: for which callers stood in line before they were served, in all.
        closed_by_reason: the ``closed``, by why; also those that were detached.
    """

    max_size: int
    min_idle: int
    idle: int
    used: int
    validating: int
    connecting: int
    closing: int
    waiting: int
    created: int
    create_failed: int
    closed: int
    acquired: int
    hits: int
    handed_over: int
    timeouts: int
    cancelled: int
    refused: int
    invalid: int
    relieved: int
    leaks: int
    epoch: int
    peak_used: int
    use_time: timedelta
    wait_time: timedelta
    closed_by_reason: Mapping[PoolCloseReason, int]

    @property
    def utilization(self) -> float:
        """Lent by the most there can be."""
        return self.used / self.max_size


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A connection that is lent: the number of its lease, for how long it is held, and where it was taken."""

    lease: int
    held: timedelta
    holder: str


@dataclass(frozen=True, slots=True)
class PoolAdvice:
    """What a tuner said: the size the pool should have, whether it was given that, how long ago, and why."""

    max_size: int
    applied: bool
    ago: timedelta
    text: str


def stats_of(counts: dict[str, int]) -> CheckoutPoolStats:
    """The counts as the native module tells them."""
    counts = dict(counts)
    reasons = {reason: counts.pop(f"closed_{reason.name.lower()}", 0) for reason in PoolCloseReason}
    use, wait = (timedelta(microseconds=counts.pop(f"{what}_time_ns") / 1000) for what in ("use", "wait"))
    return CheckoutPoolStats(
        **counts,
        use_time=use,
        wait_time=wait,
        closed_by_reason=MappingProxyType({reason: count for reason, count in reasons.items() if count}),
    )


def leases_of(text: str) -> list[HeldLease]:
    """Who holds what, as the native module tells it."""
    rows = json.loads(text) if text else []
    return [HeldLease(row["lease"], read_duration(row["held"]), row["holder"]) for row in rows]


def advice_of(text: str) -> list[PoolAdvice]:
    """What the tuner advised, as the native module tells it."""
    rows = json.loads(text) if text else []
    return [PoolAdvice(row["to"], row["applied"], read_duration(row["ago"]), row["text"]) for row in rows]


def psycopg_stats(counts: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """The figures under the names of psycopg_pool; those that only grow count from ``before`` on."""
    since = {name: count - before.get(name, 0) for name, count in counts.items()}
    return {
        "pool_min": counts["min_idle"],
        "pool_max": counts["max_size"],
        "pool_size": counts["idle"] + counts["used"] + counts["validating"] + counts["connecting"],
        "pool_available": counts["idle"],
        "requests_waiting": counts["waiting"],
        "requests_num": since["acquired"] + since["timeouts"] + since["cancelled"] + since["refused"],
        "requests_queued": since["handed_over"] + since["timeouts"] + since["cancelled"],
        "requests_wait_ms": since["wait_time_ns"] // 1_000_000,
        "requests_errors": since["timeouts"] + since["refused"],
        "usage_ms": since["use_time_ns"] // 1_000_000,
        "connections_num": since["created"] + since["create_failed"],
        "connections_errors": since["create_failed"],
        "connections_lost": since["closed_broken"] + since["closed_invalid"],
        "returns_bad": since["closed_discarded"],
    }
