"""The figures of a checkout pool: what its constructor takes, as the native document writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, TypedDict

from . import _errors
from ._breaker_config import BreakerConfig
from ._config import BackoffConfig
from ._document import to_document
from ._duration import limit_text
from ._types import Never

__all__ = ["PoolFigures", "TunerConfig"]

# A time: seconds, or a timedelta.
Span: TypeAlias = float | timedelta
# A time that may have no end.
Limit: TypeAlias = float | timedelta | Never

# Times, in seconds, that are sent along where the caller says nothing: a loop ends its calls by them, too.
_SENT: Final[dict[str, Any]] = {"connect_timeout": 5.0, "check_timeout": 5.0, "close_timeout": 5.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class TunerConfig:
    """When a pool should be larger or smaller, and whether it may change by itself; ``None`` is unset.

    Attributes:
        mode: ``"off"``; ``"observe"`` (unset), which gives advice and changes nothing; or ``"apply"``.
        interval: time that one sample covers. Unset 10 s; 1 ms to 1 day.
        target_wait: for a connection, which 95 of 100 callers should stay within. Unset 10 ms.
        grow_after: samples in a row with longer waits and every connection in use. Unset 3; 1 to 10,000.
        yield_after: samples in a row with a slowing backend and every connection in use. Unset 2.
        shrink_after: samples in a row in which less than half was ever in use. Unset 30.
        gradient: the backend is slowing if its usual latency is less than this part of its latest. Unset 0.9;
            0.1 to 1.
        cool_down: time after advice in which there is no other. Unset 60 s.
        min_size: below which the pool is never advised to go. Unset 1; 1 to ``max_size``.
        max_size: above which the pool is never advised to go. Unset 50; 1 to 1,000,000.
    """

    mode: Literal["off", "observe", "apply"] | None = None
    interval: timedelta | None = None
    target_wait: timedelta | None = None
    grow_after: int | None = None
    yield_after: int | None = None
    shrink_after: int | None = None
    gradient: float | None = None
    cool_down: timedelta | None = None
    min_size: int | None = None
    max_size: int | None = None


class PoolFigures(TypedDict, total=False):
    """What both pools take besides who makes their connections; see :class:`trunkline.Pool`."""

    min_idle: int | None
    max_size: int | None
    max_waiters: int | None
    timeout: Limit | None
    connect_timeout: Span | None
    max_connecting: int | None
    idle_timeout: Limit | None
    max_lifetime: Limit | None
    lifetime_jitter: float | None
    check_after: Limit | None
    check_timeout: Span | None
    keepalive: Limit | None
    close_timeout: Span | None
    idle_order: Literal["lifo", "fifo"] | None
    leak_after: Limit | None
    backoff: BackoffConfig | None
    breaker: BreakerConfig | None
    tuner: TunerConfig | None
    name: str | None


# Figures that are times, and the one that has another name in the document.
_TIMES: Final = frozenset(
    {
        "timeout",
        "connect_timeout",
        "idle_timeout",
        "max_lifetime",
        "check_after",
        "check_timeout",
        "keepalive",
        "close_timeout",
        "leak_after",
    }
)
_NAMES: Final = {"timeout": "acquire_timeout"}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one pool: the native document, and those that Python itself goes by."""

    document: str
    name: str
    max_connecting: int
    connect_timeout: float
    check_timeout: float
    close_timeout: float


def figures(given: Mapping[str, Any]) -> Figures:
    """Reads what a constructor was given; the native module checks the ranges."""
    figures = _SENT | {name: value for name, value in given.items() if value is not None}
    connect, check, close = (seconds(name, figures[name]) for name in _SENT)
    document = {_NAMES.get(name, name): _write(name, value) for name, value in figures.items()}
    most = given.get("max_connecting")
    return Figures(
        document=json.dumps(document),
        name=given.get("name") or "default",
        max_connecting=most if isinstance(most, int) and most > 0 else 2,
        connect_timeout=connect,
        check_timeout=check,
        close_timeout=close,
    )


def seconds(name: str, value: Span) -> float:
    """A time as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _errors.invalid(f"{name}: must be seconds or a timedelta, not {value!r}")
    return float(value)


def _write(name: str, value: Any) -> object:
    if name in _TIMES:
        return limit_text(_span(name, value))
    return to_document(value)


def _span(name: str, value: Limit) -> timedelta | Never:
    if isinstance(value, Never | timedelta):
        return value
    try:
        return timedelta(seconds=seconds(name, value))
    except (OverflowError, ValueError):
        raise _errors.invalid(f"{name}: {value!r} is no time; use NEVER for a limit without end") from None
