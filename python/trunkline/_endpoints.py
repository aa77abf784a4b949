"""What a manager says of the endpoints of its backends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

__all__ = ["EndpointReason", "LiveEndpoint"]


@dataclass(frozen=True, slots=True)
class EndpointReason:
    """Why an endpoint gets no connections.

    Attributes:
        kind: what it failed at: its last check that failed, the last connection that was not made, or what it
            did beside the others.
        step: of a check ``"resolve"``, ``"connect"``, ``"tls"``, ``"request"``, ``"response"``, ``"status"``,
            ``"body"`` or ``"callback"``; of a connection the step that failed; of an ejection the rule.
        text: in words, with causes.
    """

    kind: Literal["check", "connect", "ejection"]
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An endpoint of a backend, as it was seen at one moment.

    Attributes:
        backend: the name of its backend.
        address: where it is.
        host: the name that led there; ``None`` where its address was given.
        state: the first of these that holds: ``"unhealthy"`` (it fails its checks), ``"ejected"`` (it failed
            more than the others), ``"breaker_open"`` and ``"breaker_half_open"`` (it kept failing),
            ``"drained"`` (weight 0), ``"slow_start"`` (it has a part of its weight), ``"healthy"`` (it passes
            its checks), ``"unchecked"`` (no check has said anything).
        state_age: since when it is in this state.
        reason: of the first four states; ``None`` of the others.
        remaining: until it may be in use again, or has its whole weight, where that is known.
        active: connections and attempts to connect that stand.
        weight: as it is configured.
        effective_weight: what the policy goes by now; 0 where it gets nothing.
    """

    backend: str
    address: str
    host: str | None
    state: Literal[
        "unhealthy",
        "ejected",
        "breaker_open",
        "breaker_half_open",
        "drained",
        "slow_start",
        "healthy",
        "unchecked",
    ]
    state_age: timedelta
    reason: EndpointReason | None
    remaining: timedelta | None
    active: int
    weight: int
    effective_weight: float


def endpoints_of(document: str) -> list[LiveEndpoint]:
    """The endpoints that the native module printed."""
    return [_endpoint(one) for one in json.loads(document)]


def _endpoint(one: dict[str, Any]) -> LiveEndpoint:
    age, remaining, reason = one.pop("state_age_ns"), one.pop("remaining_ns"), one.pop("reason")
    return LiveEndpoint(
        state_age=timedelta(microseconds=age / 1000),
        remaining=None if remaining is None else timedelta(microseconds=remaining / 1000),
        reason=None if reason is None else EndpointReason(**reason),
        **one,
    )
