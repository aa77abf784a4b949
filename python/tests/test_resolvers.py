"""Channels whose addresses the program says, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from grpc_server import ECHO, served
from support import PATIENCE

from trunkline import (
    AsyncChannel,
    Channel,
    ChannelError,
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionConfig,
    ResolveQuestion,
    ResolverConfig,
    ServiceConfig,
)

PLAIN = ConnectionConfig(service_config=ServiceConfig(document={}))


def where(channel: Channel | AsyncChannel) -> list[str]:
    return [address.address for address in channel.inspect().addresses if address.connections]


def test_a_function_says_where_a_target_is_and_again_when_that_does_not_work() -> None:
    questions: list[ResolveQuestion] = []
    with served() as (server, _):

        def resolve(question: ResolveQuestion) -> list[str]:
            assert threading.current_thread().name == "trunkline-resolve"
            questions.append(question)
            match question.number:
                case 1:
                    raise LookupError("no such zone")
                case 2:
                    return ["nonsense"]
                case 3:
                    return []
            return [f"tcp://{server}"]

        with Channel("zone:web", config=PLAIN, resolver=resolve) as channel:
            with pytest.raises(ChannelError, match="LookupError: no such zone"):
                channel.unary(ECHO, b"x", timeout=PATIENCE)
            channel.wait_ready(PATIENCE)
            assert channel.unary(ECHO, b"x", timeout=PATIENCE).message == b"x"
    assert [question.number for question in questions] == [1, 2, 3, 4]
    assert questions[0] == ResolveQuestion("zone:web", 1, timedelta(seconds=30))


def test_what_is_pushed_counts_and_a_bad_push_changes_nothing() -> None:
    with served() as (one, _), served() as (other, _):
        with Channel("web", config=PLAIN, resolver=lambda _: f"tcp://{one}") as channel:
            channel.unary(ECHO, b"x", timeout=PATIENCE)
            assert where(channel) == [f"tcp://{one}"]
            channel.push_addresses([f"tcp://{other}"])
            channel.unary(ECHO, b"x", timeout=PATIENCE)
            assert where(channel) == [f"tcp://{other}"]
            with pytest.raises(ConnectError, match="no address"):
                channel.push_addresses([])
            with pytest.raises(ConfigError):
                channel.push_addresses("nonsense")
            channel.unary(ECHO, b"x", timeout=PATIENCE)
        with pytest.raises(ClosedError):
            channel.push_addresses(f"tcp://{one}")
        with Channel(f"tcp://{one}") as channel, pytest.raises(ConfigError, match="resolver"):
            channel.push_addresses(f"tcp://{one}")


async def test_a_coroutine_says_where_a_target_is() -> None:
    loop = asyncio.get_running_loop()
    with served() as (one, _), served() as (other, _):

        async def resolve(question: ResolveQuestion) -> list[str]:
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            if question.number == 1:
                raise LookupError("no such zone")
            return [f"tcp://{one}"]

        async with AsyncChannel("web", config=PLAIN, resolver=resolve) as channel:
            with pytest.raises(ChannelError, match="no such zone"):
                await channel.unary(ECHO, b"x", timeout=PATIENCE)
            await channel.wait_ready(PATIENCE)
            await channel.unary(ECHO, b"x", timeout=PATIENCE)
            channel.push_addresses([f"tcp://{other}"])
            await channel.unary(ECHO, b"x", timeout=PATIENCE)
            assert where(channel) == [f"tcp://{other}"]
        async with AsyncChannel("web", config=PLAIN, resolver=lambda _: [f"tcp://{one}"]) as channel:
            await channel.unary(ECHO, b"x", timeout=PATIENCE)


async def test_a_coroutine_is_cancelled_with_its_channel_or_when_its_time_is_up() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(_: ResolveQuestion) -> list[str]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    async with asyncio.timeout(PATIENCE):
        channel = AsyncChannel("web", config=PLAIN, resolver=hang)
        channel.get_state(try_to_connect=True)
        await begun.wait()
        await channel.aclose()
        await ended.wait()
        ended.clear()
        brief = PLAIN.replace(resolver=ResolverConfig(timeout=timedelta(milliseconds=1)))
        async with AsyncChannel("web", config=brief, resolver=hang) as channel:
            channel.get_state(try_to_connect=True)
            await ended.wait()


def test_a_resolver_that_hangs_is_given_up_and_its_channel_closes() -> None:
    over = threading.Event()

    def hang(_: ResolveQuestion) -> list[str]:
        over.wait(PATIENCE)
        return []

    brief = PLAIN.replace(resolver=ResolverConfig(timeout=timedelta(milliseconds=1)))
    with Channel("web", config=brief, resolver=hang) as channel:
        with pytest.raises(ChannelError, match="timed out"):
            channel.unary(ECHO, b"x", timeout=PATIENCE)
        over.set()


def test_how_a_resolver_is_asked_has_its_ranges() -> None:
    assert ConnectionConfig().resolver == ResolverConfig()
    for wrong in (ResolverConfig(timeout=timedelta()), ResolverConfig(max_addresses=10_001)):
        with pytest.raises(ConfigError, match="resolver"):
            ConnectionConfig(resolver=wrong)
    with pytest.raises(ConfigError, match="target"):
        Channel("", resolver=lambda _: [])
