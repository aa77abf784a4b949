"""Channels whose addresses are in a file, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from grpc_server import ECHO, served
from support import PATIENCE, eventually

from trunkline import NEVER, AsyncChannel, Channel, ChannelError, ConfigError, ConnectionConfig, ServiceConfig

PLAIN = ConnectionConfig(service_config=ServiceConfig(document={}))


def say(path: Path, text: str) -> None:
    """Another file takes its place, as a whole."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.rename(path)


def where(channel: Channel | AsyncChannel) -> list[str]:
    return [address.address for address in channel.inspect().addresses if address.connections]


def test_calls_follow_the_addresses_in_a_file_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    listed = tmp_path / "servers"
    with served() as (one, _), served() as (other, _):
        say(listed, f"tcp://{one}  # for now\n")
        with Channel(f"file:{listed}", config=PLAIN) as channel:
            channel.unary(ECHO, b"x", timeout=PATIENCE)
            assert where(channel) == [f"tcp://{one}"]
            say(listed, f"tcp://{other}\nnonsense\n")
            eventually(lambda: "line 2" in (channel.inspect().lookup_error or ""))
            channel.unary(ECHO, b"x", timeout=PATIENCE)
            assert where(channel) == [f"tcp://{one}"]
            say(listed, f"tcp://{other}\n")
            eventually(lambda: where(channel) == [f"tcp://{other}"])
            channel.unary(ECHO, b"x", timeout=PATIENCE)
            shown = channel.inspect()
            assert shown.lookup_error is None
            assert shown.calls_failed == 0
            eventually(lambda: channel.inspect().pool.closed["unlisted"] == 1)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Channel(f"file:{tmp_path / 'nothing'}", config=PLAIN) as channel:
        with pytest.raises(ChannelError, match="nothing: No such file"):
            channel.unary(ECHO, b"x", timeout=PATIENCE)


async def test_an_async_channel_follows_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "servers"
    with served() as (one, _), served() as (other, _):
        say(listed, f"tcp://{one}")
        async with AsyncChannel(f"file:{listed}", config=PLAIN) as channel:
            await channel.unary(ECHO, b"x", timeout=PATIENCE)
            say(listed, f"tcp://{other}")
            async with asyncio.timeout(PATIENCE):
                while where(channel) != [f"tcp://{other}"]:
                    await channel.unary(ECHO, b"x", timeout=PATIENCE)


def test_how_often_a_name_is_looked_up_is_never_or_within_its_range() -> None:
    assert ConnectionConfig().lookup_interval is NEVER
    assert ConnectionConfig(lookup_interval=timedelta(minutes=5)).lookup_interval == timedelta(minutes=5)
    with pytest.raises(ConfigError, match="lookup_interval"):
        ConnectionConfig(lookup_interval=timedelta(seconds=29))
