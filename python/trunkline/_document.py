"""Configurations as the native documents write them: JSON with durations as text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar, get_args, get_type_hints

from ._duration import duration_text, limit_text, read_duration, read_limit
from ._errors import invalid
from ._types import Never

T = TypeVar("T")


def to_document(value: Any) -> Any:
    """As JSON has it; what is unset is left out."""
    if dataclasses.is_dataclass(value):
        fields = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: to_document(inner) for name, inner in fields if inner is not None}
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Never):
        return limit_text(value)
    if isinstance(value, Mapping):
        return {name: to_document(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_document(inner) for inner in value]
    return value


def text_of(config: Any, kind: type) -> str:
    """The document of a configuration: one of its class, a mapping of the same shape, or JSON text as it is.

    Of ``None`` it is an empty one.

    Raises:
        ConfigError: it is none of these.
    """
    if config is None:
        return ""
    if isinstance(config, str):
        return config
    if isinstance(config, (kind, Mapping)):
        return json.dumps(to_document(config))
    given = type(config).__name__
    raise invalid(f"config: must be a {kind.__name__}, a mapping or JSON text, not {given}")


def read_document(kind: type[T], document: dict[str, Any]) -> T:
    """A dataclass from what the native module printed."""
    hints = get_type_hints(kind)
    return kind(**{name: _read(hints[name], inner) for name, inner in document.items()})


def _read(kind: Any, document: Any) -> Any:
    """The value of a type from what the native module printed."""
    if dataclasses.is_dataclass(kind):
        return read_document(kind, document)  # type: ignore[arg-type]
    inner = next((arg for arg in get_args(kind) if dataclasses.is_dataclass(arg)), None)
    if inner is not None and document is not None:
        return read_document(inner, document)  # type: ignore[arg-type]
    if timedelta in (kind, *get_args(kind)) and Never not in get_args(kind) and document is not None:
        return read_duration(document)
    if Never in get_args(kind):
        return read_limit(document)
    return tuple(document) if isinstance(document, list) else document
