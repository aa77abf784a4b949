"""Configurations: the same figures and rules as in every language."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Literal

import pytest

import trunkline
from trunkline import NEVER, BackoffConfig, ConnectionConfig, KeepaliveParams, PoolingConfig
from trunkline._duration import duration_text, limit_text, read_duration, read_limit


def test_presets_have_their_figures() -> None:
    production = ConnectionConfig.preset("production")
    assert production == ConnectionConfig()
    assert production.connect_timeout == timedelta(seconds=30)
    assert production.backoff == BackoffConfig(
        base_delay=timedelta(seconds=1),
        multiplier=1.6,
        jitter=0.2,
        max_delay=timedelta(seconds=120),
    )
    assert production.idle_timeout == timedelta(minutes=30)
    assert production.service_config.retry_policy.retryable_status_codes == (
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "ABORTED",
    )
    development = ConnectionConfig.preset("development")
    assert development.connect_timeout == timedelta(seconds=5)
    assert development.service_config.retry_policy.backoff_multiplier == 1.5
    throughput = ConnectionConfig.preset("high_throughput")
    assert throughput.idle_timeout is NEVER
    assert throughput.pooling == PoolingConfig(enabled=True, size=10)
    with pytest.raises(trunkline.ConfigError, match="preset"):
        ConnectionConfig.preset("fast")  # type: ignore[arg-type]


def test_a_document_chooses_what_absent_keys_mean() -> None:
    config = ConnectionConfig.from_json('{"preset": "development", "idle_timeout": "never"}')
    assert config == ConnectionConfig.preset("development").replace(idle_timeout=NEVER)
    assert ConnectionConfig.from_json("{}") == ConnectionConfig()
    assert ConnectionConfig.from_json('{"idle_timeout": null}') == ConnectionConfig()


def test_a_document_reads_back_what_it_was_made_from() -> None:
    names: list[Literal["production", "development", "high_throughput"]]
    names = ["production", "development", "high_throughput"]
    for name in names:
        config = ConnectionConfig.preset(name)
        assert ConnectionConfig.from_json(config.to_json()) == config
    assert json.loads(ConnectionConfig(idle_timeout=NEVER).to_json())["idle_timeout"] == "never"


def test_the_environment_names_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, preset in (("development", "development"), ("anything else", "production")):
        monkeypatch.setenv("ENVIRONMENT", name)
        assert ConnectionConfig.from_env() == ConnectionConfig.preset(preset)  # type: ignore[arg-type]
    monkeypatch.delenv("ENVIRONMENT")
    assert ConnectionConfig.from_env() == ConnectionConfig()


def test_unset_zero_and_never_are_three_values() -> None:
    unset = ConnectionConfig()
    zero = ConnectionConfig(idle_timeout=timedelta(0))
    never = ConnectionConfig(idle_timeout=NEVER)
    assert len({unset.idle_timeout, zero.idle_timeout, never.idle_timeout}) == 3
    assert repr(never.idle_timeout) == "NEVER"


def test_a_configuration_is_checked_when_it_is_made() -> None:
    for changes, name in (
        ({"connect_timeout": timedelta(0)}, "connect_timeout"),
        ({"connect_timeout": timedelta(seconds=-1)}, "connect_timeout"),
        ({"keepalive": KeepaliveParams(time=timedelta(seconds=1))}, "keepalive.time"),
        ({"pooling": PoolingConfig(size=101)}, "pooling.size"),
        ({"max_message_size": 0}, "max_message_size"),
        ({"backoff": BackoffConfig(jitter=1.5)}, "backoff.jitter"),
    ):
        with pytest.raises(trunkline.ConfigError, match=name) as caught:
            ConnectionConfig().replace(**changes)
        assert isinstance(caught.value, ValueError)
    for text in ("", "[]", '{"no such key": 1}', '{"connect_timeout": 5}'):
        with pytest.raises(trunkline.ConfigError):
            ConnectionConfig.from_json(text)


def test_a_configuration_does_not_change() -> None:
    config = ConnectionConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_message_size = 1  # type: ignore[misc]
    assert config.replace(max_message_size=1).max_message_size == 1
    assert config.max_message_size == 4 << 20
    with pytest.raises(TypeError):
        config.replace(no_such_field=1)


@pytest.mark.parametrize(
    "duration",
    [
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(milliseconds=1500),
        timedelta(days=365),
        timedelta(seconds=-1),
    ],
)
def test_durations_read_back_what_was_written(duration: timedelta) -> None:
    if duration >= timedelta(0):
        assert read_duration(duration_text(duration)) == duration
        assert read_limit(limit_text(duration)) == duration
    else:
        with pytest.raises(ValueError, match="no duration"):
            read_duration(duration_text(duration))
    assert read_limit(limit_text(NEVER)) is NEVER
