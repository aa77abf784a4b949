"""Calls under the names that gRPC gives them for OpenTelemetry, against servers of grpcio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from grpc_server import ECHO, FAIL, Service, served
from support import PATIENCE, eventually

import trunkline
from trunkline import AsyncChannel, Channel, ChannelError, ConnectionConfig, ServiceConfig

Served = tuple[str, Service]
TOLD = ConnectionConfig(opentelemetry=True, service_config=ServiceConfig(document={}))


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as found:
        yield found


def shown(target: str) -> dict[str, str]:
    """The lines of the text for Prometheus about a target: what is before the value, and the value."""
    lines = [line for line in trunkline.prometheus_text().splitlines() if f'grpc_target="{target}"' in line]
    return {series: value for series, _, value in (line.rpartition(" ") for line in lines)}


def test_attempts_and_calls_are_counted_by_method_target_and_status(server: Served) -> None:
    target = server[0]
    with Channel(target, config=TOLD) as channel:
        channel.unary(ECHO, b"hello", timeout=PATIENCE)
        with pytest.raises(ChannelError):
            channel.unary(FAIL, b"", timeout=PATIENCE)
    method = f'grpc_method="test.Service/Echo",grpc_target="{target}"'
    ended = f'grpc_method="test.Service/Echo",grpc_status="OK",grpc_target="{target}"'
    found = shown(target)
    assert found[f"grpc_client_attempt_started_total{{{method}}}"] == "1"
    for name in (
        "grpc_client_attempt_duration_seconds_count",
        "grpc_client_call_duration_seconds_count",
        "grpc_client_attempt_sent_total_compressed_message_size_bytes_count",
    ):
        assert found[f"{name}{{{ended}}}"] == "1"
    for way in ("sent", "rcvd"):
        name = f"grpc_client_attempt_{way}_total_compressed_message_size_bytes_sum"
        assert float(found[f"{name}{{{ended}}}"]) == 5
    failed = ended.replace("Echo", "Fail").replace("OK", "NOT_FOUND")
    assert found[f"grpc_client_call_duration_seconds_count{{{failed}}}"] == "1"
    connections = f'{{grpc_target="{target}"}}'
    assert found[f"grpc_subchannel_connection_attempts_succeeded_total{connections}"] == "1"
    eventually(lambda: shown(target)[f"grpc_subchannel_open_connections{connections}"] == "0")


async def test_async_attempts_are_counted_too(server: Served) -> None:
    async with AsyncChannel(server[0], config=TOLD) as channel:
        await channel.unary(ECHO, b"hello", timeout=PATIENCE)
    method = f'grpc_method="test.Service/Echo",grpc_target="{server[0]}"'
    assert shown(server[0])[f"grpc_client_attempt_started_total{{{method}}}"] == "1"
