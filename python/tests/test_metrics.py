"""Metrics: counts that agree with what was sent, and text that others read."""

from __future__ import annotations

import pytest

import trunkline
from trunkline import MetricKind, _metrics


def total(snapshot: trunkline.MetricsSnapshot, kind: MetricKind, part: str) -> float:
    return sum(sample.value for sample in snapshot if sample.kind is kind and part in sample.name)


def test_bytes_are_counted_as_they_were_sent() -> None:
    near, far = trunkline.pipe()
    before = trunkline.metrics()
    with near, far:
        near.sendall(b"x" * 1000)
        assert len(far.recv(2000)) == 1000
    after = trunkline.metrics()
    counted = total(after, MetricKind.COUNTER, "bytes") - total(before, MetricKind.COUNTER, "bytes")
    assert counted == 2000


def test_a_histogram_has_quantiles() -> None:
    with trunkline.listen("mem:quantiles") as listener:
        trunkline.connect("mem:quantiles").close()
        listener.accept().close()
    snapshot = trunkline.metrics()
    histograms = [sample for sample in snapshot if sample.kind is MetricKind.HISTOGRAM and sample.count]
    assert histograms
    for histogram in histograms:
        low, high = histogram.quantile(0), histogram.quantile(1)
        assert low is not None
        assert high is not None
        assert 0 <= low <= high
        with pytest.raises(trunkline.ConfigError, match="q:"):
            histogram.quantile(2)
    counter = next(sample for sample in snapshot if sample.kind is MetricKind.COUNTER)
    with pytest.raises(trunkline.ConfigError, match="histogram"):
        counter.quantile(0.5)


def test_a_snapshot_is_a_sequence_that_finds_by_name_and_label() -> None:
    snapshot = trunkline.metrics()
    assert len(snapshot) == len(list(snapshot)) == len(snapshot[:])
    names = [(sample.name, sorted(sample.labels.items())) for sample in snapshot]
    assert [name for name, _ in names] == sorted(name for name, _ in names)
    labelled = next(sample for sample in snapshot if sample.labels)
    found = snapshot.named(labelled.name, **labelled.labels)
    assert labelled in found
    assert not snapshot.named("no_such_metric")


def test_the_text_is_what_prometheus_reads() -> None:
    near, far = trunkline.pipe()
    near.close()
    far.close()
    text = trunkline.prometheus_text()
    snapshot = trunkline.metrics()
    assert text.endswith("\n")
    assert snapshot.openmetrics_text().endswith("# EOF\n")
    for sample in snapshot:
        assert sample.name in snapshot.prometheus_text()
    for line in text.splitlines():
        if not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])


def test_labels_are_read_with_their_escapes() -> None:
    assert _metrics._labels("") == {}
    assert _metrics._labels(r'a="b",c="d, \"e\" \\ \n"') == {"a": "b", "c": 'd, "e" \\ \n'}
