"""Durations as the native documents write them: one number with a unit, or ``never``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from ._types import NEVER, Never

# Nanoseconds of each unit.
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TEXT: Final = re.compile(r"(\d+)(ns|us|ms|s|m|h)")


def duration_text(duration: timedelta) -> str:
    """As native documents write it."""
    return f"{duration // timedelta(microseconds=1)}us"


def limit_text(limit: timedelta | Never) -> str:
    """As native documents write it."""
    return limit.value if isinstance(limit, Never) else duration_text(limit)


def read_duration(text: str) -> timedelta:
    """What the native module printed; below a microsecond it is rounded."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration that the native module prints")
    return timedelta(microseconds=int(found[1]) * _UNITS[found[2]] / 1000)


def read_limit(text: str) -> timedelta | Never:
    """What the native module printed."""
    return NEVER if text == NEVER.value else read_duration(text)
