"""Metrics: one consistent snapshot of every instrument of this process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final, overload

from . import _errors, _native

__all__ = ["Metric", "MetricKind", "MetricsSnapshot", "metrics", "prometheus_text"]

_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class MetricKind(IntEnum):
    """What an instrument does."""

    COUNTER = 1
    GAUGE = 2
    HISTOGRAM = 3


@dataclass(frozen=True, slots=True)
class Metric:
    """One series of one metric.

    ``value`` is the count or the level; of a histogram it is the sum of all values (seconds, for durations),
    and ``count`` how many there are.
    """

    name: str
    labels: Mapping[str, str]
    kind: MetricKind
    value: float
    count: int
    _snapshot: _native.Metrics = field(repr=False, compare=False)
    _index: int = field(repr=False, compare=False)

    def quantile(self, q: float) -> float | None:
        """What a share ``q`` of a histogram's values does not exceed; ``None`` if there are no values.

        It is never below the true value, and 6.25 % above it at most.

        Raises:
            ConfigError: this is no histogram, or ``q`` is not within 0 and 1.
        """
        if self.kind is not MetricKind.HISTOGRAM:
            raise _errors.invalid(f"{self.name} is no histogram")
        if not 0 <= q <= 1:
            raise _errors.invalid("q: must be within 0 and 1")
        return self._snapshot.quantile(self._index, q)


class MetricsSnapshot(Sequence[Metric]):
    """What all instruments showed at one moment, sorted by name and labels."""

    def __init__(self) -> None:
        native = _native.Metrics()
        self._native = native
        self._samples = [
            Metric(name, _labels(labels), MetricKind(kind), value, count, native, index)
            for index, (name, labels, kind, value, count) in enumerate(native.samples())
        ]

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Metric: ...
    @overload
    def __getitem__(self, index: slice) -> list[Metric]: ...
    def __getitem__(self, index: int | slice) -> Metric | list[Metric]:
        return self._samples[index]

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._samples)

    def __repr__(self) -> str:
        return f"<MetricsSnapshot of {len(self)} series>"

    def named(self, name: str, **labels: str) -> list[Metric]:
        """The series of one metric that have these labels, among others."""
        return [
            sample
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def prometheus_text(self) -> str:
        """As Prometheus reads it: ``text/plain; version=0.0.4``."""
        return self._native.prometheus()

    def openmetrics_text(self) -> str:
        """As ``application/openmetrics-text; version=1.0.0; charset=utf-8``."""
        return self._native.openmetrics()


def metrics() -> MetricsSnapshot:
    """Reads all instruments at one moment: the counts of one connection are never torn apart."""
    return MetricsSnapshot()


def prometheus_text() -> str:
    """What a page for Prometheus shows: ``text/plain; version=0.0.4``."""
    return _native.Metrics().prometheus()


def _labels(text: str) -> Mapping[str, str]:
    """Reads ``name="value",…`` with its escapes."""
    found = {name: re.sub(r"\\.", _unescape, value) for name, value in _LABEL.findall(text)}
    return MappingProxyType(found)


def _unescape(escape: re.Match[str]) -> str:
    return _ESCAPES.get(escape[0], escape[0])
