"""Channels, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_server import COUNT, ECHO, FAIL, FLAKY, HANG, NOT_SERVING, SERVING, SUM, TALK, Service, served
from support import PATIENCE, Thread, eventually, live

import trunkline
from trunkline import (
    AsyncChannel,
    BreakerConfig,
    Channel,
    ChannelError,
    ChannelState,
    CircuitConfig,
    ConnectionConfig,
    ServiceConfig,
)

Served = tuple[str, Service]


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as found:
        yield found


@pytest.fixture
def channel(server: Served) -> Iterator[Channel]:
    with Channel(server[0]) as channel:
        yield channel


def document(**fields: Any) -> ConnectionConfig:
    return ConnectionConfig(service_config=ServiceConfig(document=fields))


def test_a_call_brings_message_and_metadata(channel: Channel) -> None:
    sent: list[tuple[str, bytes | str]] = [("echo-text", "hi"), ("echo-bin", b"\x00\xff\n")]
    response = channel.unary(ECHO, b"hello", timeout=PATIENCE, metadata=sent)
    assert response.message == b"hello"
    assert {("echo-text", b"hi"), ("echo-bin", b"\x00\xff\n")} <= set(response.initial)
    assert ("last-bin", b"\x00\xff") in response.trailing
    assert channel.get_state() is ChannelState.READY


def test_any_buffer_can_be_sent(channel: Channel) -> None:
    for request in (bytearray(b"abc"), memoryview(b"xabcx")[1:4], b"abc"):
        assert channel.unary(ECHO, request, timeout=PATIENCE).message == b"abc"
    large = bytes(range(256)) * 8000
    assert channel.unary(ECHO, large, timeout=PATIENCE).message == large
    assert channel.unary(ECHO, large, timeout=PATIENCE, compression="gzip").message == large


def test_a_status_is_an_exception_that_says_all_the_server_said(channel: Channel) -> None:
    with pytest.raises(ChannelError) as caught:
        channel.unary(FAIL, b"", timeout=PATIENCE)
    error = caught.value
    assert (error.status, error.details) == (grpc.StatusCode.NOT_FOUND.value[0], "no such thing: \u00e9 %")
    assert ("hint", b"look elsewhere") in error.trailers
    assert (error.kind, error.step, error.retryable) == ("rpc", "call", False)
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.status, copied.trailers) == (error.status, error.trailers)
    with pytest.raises(ChannelError) as caught:
        channel.unary("/test.Service/Nothing", b"", timeout=PATIENCE)
    assert caught.value.status == grpc.StatusCode.UNIMPLEMENTED.value[0]


def test_a_timeout_ends_the_call_at_the_server_too(server: Served, channel: Channel) -> None:
    with pytest.raises(ChannelError) as caught:
        channel.unary(HANG, b"", timeout=2)
    assert caught.value.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert server[1].ended.wait(PATIENCE)


def test_states_are_seen_and_waited_for(server: Served) -> None:
    with Channel(server[0]) as channel:
        assert channel.get_state() is ChannelState.IDLE
        assert not channel.wait_for_state_change(ChannelState.IDLE, timeout=0.01)
        assert channel.get_state(try_to_connect=True) is ChannelState.IDLE
        assert channel.wait_for_state_change(ChannelState.IDLE, timeout=PATIENCE)
        channel.wait_ready(timeout=PATIENCE)
        assert channel.get_state() is ChannelState.READY
        assert channel.is_healthy()
        channel.reset_connect_backoff()
    assert channel.get_state() is ChannelState.SHUTDOWN
    assert not channel.is_healthy()
    with pytest.raises(trunkline.ClosedError):
        channel.unary(ECHO, b"")


def test_a_channel_that_cannot_get_ready_says_why() -> None:
    with Channel("mem:nobody-serves-this") as channel:
        with pytest.raises(trunkline.ConnectTimeout) as caught:
            channel.wait_ready(timeout=0.05)
        assert "mem:nobody-serves-this" in str(caught.value.__cause__.__cause__)  # type: ignore[union-attr]
    with Channel("mem:nobody-serves-this", config=document()) as channel:
        with pytest.raises(ChannelError) as unavailable:
            channel.unary(ECHO, b"", timeout=PATIENCE)
        assert unavailable.value.status == grpc.StatusCode.UNAVAILABLE.value[0]
        assert unavailable.value.retryable
        with pytest.raises(ChannelError) as late:
            channel.unary(ECHO, b"", timeout=0.05, wait_for_ready=True)
        assert late.value.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


def test_what_the_service_config_says_is_done(server: Served) -> None:
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = document(methodConfig=[{"name": [{"service": "test.Service"}], "retryPolicy": retry}])
    with Channel(server[0], config=config) as channel:
        server[1].flaky_left(3)
        assert channel.unary(FLAKY, b"x", timeout=PATIENCE).message == b"x"
        assert server[1].previous == ["none", "1", "2", "3"]
        server[1].flaky_left(4)
        with pytest.raises(ChannelError):
            channel.unary(FLAKY, b"x", timeout=PATIENCE)
        assert len(server[1].previous) == 4


def test_messages_flow_each_way(channel: Channel) -> None:
    with channel.stream(TALK, timeout=PATIENCE) as call:
        for said in (b"a", b"b"):
            call.send(said)
            assert call.receive() == b"you said " + said
        call.finish_sending()
        assert call.receive() is None
        assert call.receive() is None
        with pytest.raises(trunkline.ClosedError):
            call.send(b"late")
    with channel.stream(COUNT, timeout=PATIENCE) as call:
        call.send(b"1000")
        call.finish_sending()
        assert [int(message) for message in call] == list(range(1000))
    with channel.stream(SUM, timeout=PATIENCE) as call:
        for number in range(100):
            call.send(str(number).encode())
        call.finish_sending()
        assert list(call) == [b"4950"]


def test_one_thread_sends_while_another_receives(channel: Channel) -> None:
    with channel.stream(TALK, timeout=PATIENCE) as call:

        def send() -> None:
            for number in range(500):
                call.send(str(number).encode())
            call.finish_sending()

        sending = Thread(send)
        assert list(call) == [b"you said " + str(number).encode() for number in range(500)]
        sending.result()


def test_leaving_a_call_cancels_it(server: Served, channel: Channel) -> None:
    with channel.stream(HANG) as call:
        call.send(b"")
        call.finish_sending()
        waiting = Thread(call.receive)
        assert server[1].begun.wait(PATIENCE)
    with pytest.raises(trunkline.ClosedError):
        waiting.result()
    assert server[1].ended.wait(PATIENCE)


def test_many_threads_share_a_channel(channel: Channel) -> None:
    def work(number: int) -> None:
        for nth in range(50):
            message = f"{number} {nth}".encode()
            assert channel.unary(ECHO, message, timeout=PATIENCE).message == message

    threads = [Thread(work, number) for number in range(8)]
    for thread in threads:
        thread.result()


def test_not_one_call_fails_while_a_server_ages_its_connections_out() -> None:
    aging = [("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 5000)]
    with served(*aging) as (target, _), Channel(target) as channel:
        until = time.monotonic() + 2
        calls = []

        def work() -> None:
            made = 0
            while time.monotonic() < until:
                channel.unary(ECHO, b"x", timeout=PATIENCE)
                made += 1
            calls.append(made)

        for thread in [Thread(work) for _ in range(4)]:
            thread.result()
        assert sum(calls) > 100


def test_a_server_that_comes_back_is_found(server: Served) -> None:
    first = grpc.server(ThreadPoolExecutor(2))
    first.add_generic_rpc_handlers((server[1],))
    port = first.add_insecure_port("127.0.0.1:0")
    first.start()
    with Channel(f"127.0.0.1:{port}") as channel:
        channel.unary(ECHO, b"x", timeout=PATIENCE)
        first.stop(None).wait()
        assert channel.wait_for_state_change(ChannelState.READY, timeout=PATIENCE)
        second = grpc.server(ThreadPoolExecutor(2))
        second.add_generic_rpc_handlers((server[1],))
        assert second.add_insecure_port(f"127.0.0.1:{port}") == port
        second.start()
        assert channel.unary(ECHO, b"y", timeout=PATIENCE, wait_for_ready=True).message == b"y"
        second.stop(None).wait()


ASKING = document(
    loadBalancingConfig=[{"round_robin": {}}], healthCheckConfig={"serviceName": "test.Service"}
)


def test_calls_go_to_a_server_while_it_says_that_it_serves(server: Served) -> None:
    with Channel(server[0], config=ASKING) as channel:
        channel.wait_ready(timeout=PATIENCE)
        assert server[1].health.asked == [b"\n\x0ctest.Service"]
        server[1].health.set(NOT_SERVING)
        assert channel.wait_for_state_change(ChannelState.READY, timeout=PATIENCE)
        with pytest.raises(ChannelError, match="NOT_SERVING") as caught:
            channel.unary(ECHO, b"", timeout=PATIENCE)
        assert caught.value.status == grpc.StatusCode.UNAVAILABLE.value[0]
        server[1].health.set(SERVING)
        channel.wait_ready(timeout=PATIENCE)
        assert channel.unary(ECHO, b"x", timeout=PATIENCE).message == b"x"


async def test_async_calls_go_to_a_server_while_it_says_that_it_serves(server: Served) -> None:
    async with AsyncChannel(server[0], config=ASKING) as channel:
        await channel.wait_ready(timeout=PATIENCE)
        server[1].health.set(NOT_SERVING)
        assert await channel.wait_for_state_change(ChannelState.READY, timeout=PATIENCE)
        with pytest.raises(ChannelError, match="NOT_SERVING"):
            await channel.unary(ECHO, b"", timeout=PATIENCE)
        server[1].health.set(SERVING)
        assert (await channel.unary(ECHO, b"x", timeout=PATIENCE, wait_for_ready=True)).message == b"x"


JUDGING = document(
    loadBalancingConfig=[
        {
            "outlier_detection_experimental": {
                "interval": "0.3s",
                "failurePercentageEjection": {"threshold": 50, "minimumHosts": 2, "requestVolume": 3},
                "childPolicy": [{"round_robin": {}}],
            }
        }
    ]
)


def ejections() -> float:
    samples = trunkline.metrics().named("trunkline_channel_ejections_total", enforced="yes")
    return sum(sample.value for sample in samples)


def test_a_server_whose_calls_fail_is_left_out(server: Served) -> None:
    with served() as (other, broken), Channel(f"tcp://{server[0]},tcp://{other}", config=JUDGING) as channel:
        server[1].flaky_left(0)
        broken.flaky_left(10**9)
        before = ejections()

        def is_left_out() -> bool:
            with contextlib.suppress(ChannelError):
                channel.unary(FLAKY, b"", timeout=PATIENCE)
            return ejections() > before

        eventually(is_left_out)
        for _ in range(20):
            assert channel.unary(FLAKY, b"x", timeout=PATIENCE).message == b"x"


def status_of(channel: Channel, method: str) -> int:
    try:
        channel.unary(method, b"", timeout=PATIENCE)
    except ChannelError as error:
        return error.status
    return 0


def test_calls_are_kept_away_from_an_address_that_fails_or_has_enough(server: Served) -> None:
    hour = timedelta(hours=1)
    breaker = BreakerConfig(consecutive_failures=2, open=hour, max_open=hour)
    circuit = CircuitConfig(breaker=breaker)
    config = ConnectionConfig(circuit=circuit, service_config=ServiceConfig(document={}))
    assert ConnectionConfig.from_json(config.to_json()).circuit.breaker.open == hour  # type: ignore[union-attr]
    with Channel(server[0], config=config) as channel:
        server[1].flaky_left(2)
        unavailable = grpc.StatusCode.UNAVAILABLE.value[0]
        assert [status_of(channel, FLAKY) for _ in range(3)] == [unavailable] * 3
        assert (server[1].flaky, len(server[1].previous)) == (0, 2), "the third was not sent"
    config = ConnectionConfig(circuit=CircuitConfig(max_calls=1))
    with Channel(server[0], config=config) as channel:
        with channel.stream(TALK, timeout=PATIENCE) as call:
            call.send(b"a")
            assert call.receive() == b"you said a"
            assert status_of(channel, ECHO) == grpc.StatusCode.UNAVAILABLE.value[0]
            call.finish_sending()
            assert call.receive() is None
        assert status_of(channel, ECHO) == 0
    with pytest.raises(trunkline.ConfigError, match=r"circuit\.max_calls"):
        ConnectionConfig(circuit=CircuitConfig(max_calls=0))


@pytest.mark.asyncio
async def test_async_calls_are_kept_away_from_an_address_that_has_enough(server: Served) -> None:
    config = ConnectionConfig(circuit=CircuitConfig(max_calls=1))
    async with AsyncChannel(server[0], config=config) as channel:
        async with await channel.stream(TALK, timeout=PATIENCE) as call:
            await call.send(b"a")
            assert await call.receive() == b"you said a"
            with pytest.raises(ChannelError) as refused:
                await channel.unary(ECHO, b"", timeout=PATIENCE, wait_for_ready=True)
            assert refused.value.status == grpc.StatusCode.UNAVAILABLE.value[0]
            await call.finish_sending()
            assert await call.receive() is None
        assert (await channel.unary(ECHO, b"x", timeout=PATIENCE)).message == b"x"


def test_bad_targets_and_documents_are_named() -> None:
    with pytest.raises(trunkline.ConfigError, match="target"):
        Channel("host:http")
    with pytest.raises(trunkline.ConfigError, match=r"service_config\.document\.methodConfig\[0\]\.timeout"):
        document(methodConfig=[{"timeout": "soon"}])
    with Channel("mem:a") as channel, pytest.raises(trunkline.ConfigError, match="method"):
        channel.unary("Echo", b"")
    with Channel("mem:a") as channel, pytest.raises(trunkline.ConfigError, match="reserved"):
        channel.unary(ECHO, b"", metadata=[("grpc-timeout", "1S")])


def test_a_channel_that_is_not_closed_is_complained_about_and_freed() -> None:
    before = live()
    channel = Channel("mem:a")
    with pytest.warns(ResourceWarning, match="unclosed"):
        del channel
        gc.collect()
    eventually(lambda: live() == before)
    with Channel("mem:a") as channel, pytest.raises(TypeError):
        pickle.dumps(channel)


async def test_async_calls_run_side_by_side(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        assert channel.get_state() is ChannelState.IDLE
        await channel.wait_ready(timeout=PATIENCE)
        assert not await channel.wait_for_state_change(ChannelState.READY, timeout=0.01)
        calls = [channel.unary(ECHO, str(n).encode(), timeout=PATIENCE) for n in range(200)]
        responses = await asyncio.gather(*calls)
        assert [int(response.message) for response in responses] == list(range(200))
        with pytest.raises(ChannelError) as caught:
            await channel.unary(FAIL, b"", timeout=PATIENCE)
        assert caught.value.status == grpc.StatusCode.NOT_FOUND.value[0]


async def test_of_async_calls_made_together_a_bad_one_fails_alone(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        calls = [
            channel.unary(ECHO, b"%d" % n, timeout=PATIENCE, max_reply=-1 if n == 7 else 0) for n in range(20)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(7), OverflowError)
    messages = [result.message for result in results if isinstance(result, trunkline.Response)]
    assert messages == [b"%d" % n for n in range(20) if n != 7]


async def test_of_async_calls_made_together_each_is_cancelled_for_itself(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        hanging = [asyncio.ensure_future(channel.unary(HANG, b"")) for _ in range(2)]
        echoes = [asyncio.ensure_future(channel.unary(ECHO, b"x", timeout=PATIENCE)) for _ in range(9)]
        await asyncio.sleep(0)
        # All but the first are gathered by now, and have not begun.
        hanging[1].cancel()
        echoes[3].cancel()
        results = await asyncio.gather(hanging[1], *echoes, return_exceptions=True)
        cancelled = [n for n, result in enumerate(results) if isinstance(result, asyncio.CancelledError)]
        assert cancelled == [0, 4]
        assert sum(isinstance(result, trunkline.Response) for result in results) == 8
        hanging[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging[0]


async def test_what_an_async_call_sends_is_what_it_was_given(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        request = bytearray(b"before")
        calls = [asyncio.ensure_future(channel.unary(ECHO, request, timeout=PATIENCE)) for _ in range(3)]
        await asyncio.sleep(0)
        request[:] = b"after!"
        assert [response.message for response in await asyncio.gather(*calls)] == [b"before"] * 3


async def test_async_streams_flow_each_way(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        async with await channel.stream(TALK, timeout=PATIENCE) as call:
            await call.send(b"a")
            assert await call.receive() == b"you said a"
            await call.finish_sending()
            assert [message async for message in call] == []
            assert await call.initial() == await call.initial()
            await call.trailing()
        async with await channel.stream(COUNT, timeout=PATIENCE) as call:
            await call.send(b"100")
            await call.finish_sending()
            assert len([message async for message in call]) == 100


async def test_a_cancelled_await_cancels_the_call(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        await channel.wait_ready(timeout=PATIENCE)
        task = asyncio.create_task(channel.unary(HANG, b""))
        assert await asyncio.to_thread(server[1].begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server[1].ended.wait, PATIENCE)


# What a document is to grpcio and to us: (document, accepted). Where the two differ on purpose, it is said.
DOCUMENTS: list[tuple[str, bool]] = [
    ("{}", True),
    ('{"unknown": 1}', True),
    ("[]", False),
    ('{"methodConfig": []}', True),
    ('{"methodConfig": {}}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "timeout": "1.5s"}]}', True),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "timeout": "1.5"}]}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "timeout": 5}]}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "timeout": "-1s"}]}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "waitForReady": true}]}', True),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "waitForReady": "yes"}]}', False),
    ('{"methodConfig": [{"name": [{"method": "M"}]}]}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}]}, {"name": [{"service": "a.B"}]}]}', False),
    ('{"methodConfig": [{"name": [{}]}, {"name": [{}]}]}', False),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "maxRequestMessageBytes": 1000}]}', True),
    ('{"methodConfig": [{"name": [{"service": "a.B"}], "maxRequestMessageBytes": -1}]}', False),
    ('{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}}', True),
    ('{"retryThrottling": {"maxTokens": 0, "tokenRatio": 0.1}}', False),
    ('{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0}}', False),
    ('{"retryThrottling": {"maxTokens": 10}}', False),
    ('{"loadBalancingConfig": [{"round_robin": {}}]}', True),
    ('{"loadBalancingConfig": [{"nobody_knows": {}}, {"pick_first": {}}]}', True),
    ('{"loadBalancingConfig": [{"nobody_knows": {}}]}', False),
    ('{"loadBalancingConfig": [{"pick_first": {}, "round_robin": {}}]}', False),
    ('{"loadBalancingConfig": {}}', False),
    *(
        (json.dumps({"loadBalancingConfig": [{policy: config}]}), accepted)
        for policy, config, accepted in [
            ("weighted_round_robin", {}, True),
            ("weighted_round_robin", {"blackoutPeriod": "1s", "errorUtilizationPenalty": 0.5}, True),
            ("weighted_round_robin", {"errorUtilizationPenalty": -1}, False),
            ("weighted_round_robin", {"blackoutPeriod": 1}, False),
            ("outlier_detection_experimental", {"childPolicy": [{"round_robin": {}}]}, True),
            ("outlier_detection_experimental", {"childPolicy": [{"nobody_knows": {}}]}, False),
            ("outlier_detection_experimental", {"interval": "1s"}, False),
            (
                "outlier_detection_experimental",
                {"childPolicy": [{"round_robin": {}}], "maxEjectionPercent": 101},
                False,
            ),
        ]
    ),
]


def retry(**changes: Any) -> str:
    policy: dict[str, Any] = {
        "maxAttempts": 3,
        "initialBackoff": "1s",
        "maxBackoff": "10s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    policy |= changes
    policy = {name: value for name, value in policy.items() if value is not None}
    return json.dumps({"methodConfig": [{"name": [{"service": "a.B"}], "retryPolicy": policy}]})


DOCUMENTS += [
    (retry(), True),
    (retry(maxAttempts=9), True),
    (retry(maxAttempts=1), False),
    (retry(maxAttempts="x"), False),
    (retry(maxAttempts=None), False),
    (retry(initialBackoff="0s"), False),
    (retry(initialBackoff=None), False),
    (retry(maxBackoff="0s"), False),
    (retry(backoffMultiplier=0), False),
    (retry(backoffMultiplier=-1), False),
    (retry(retryableStatusCodes=[]), False),
    (retry(retryableStatusCodes=["BUSY"]), False),
    (retry(retryableStatusCodes=None), False),
]


def grpcio_accepts(text: str) -> bool:
    """Whether a call works: with a service config that it refuses, no call of grpcio does."""
    options = [("grpc.service_config", text), ("grpc.enable_http_proxy", 0)]
    with served() as (target, _), grpc.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary(ECHO)
        try:
            return bool(call(b"x", timeout=5) == b"x")
        except grpc.RpcError:
            return False


@pytest.mark.parametrize(("text", "accepted"), DOCUMENTS)
def test_documents_are_accepted_and_refused_as_grpcio_does(text: str, accepted: bool) -> None:
    assert grpcio_accepts(text) is accepted
    ours = f'{{"service_config": {{"document": {text}}}}}'
    if accepted:
        ConnectionConfig.from_json(ours)
    else:
        with pytest.raises(trunkline.ConfigError):
            ConnectionConfig.from_json(ours)


def test_no_thread_is_left_over(server: Served) -> None:
    before = threading.active_count()
    with Channel(server[0]) as channel:
        channel.unary(ECHO, b"x", timeout=PATIENCE)
    assert threading.active_count() <= before + 1
