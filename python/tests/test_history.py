"""Every change of a channel's state, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from grpc_server import ECHO, Service, served
from support import PATIENCE, Thread

import trunkline
from trunkline import AsyncChannel, Channel, ChannelState, ConnectionConfig

Served = tuple[str, Service]

IDLE, CONNECTING, READY, FAILED, SHUTDOWN = ChannelState


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as found:
        yield found


def test_a_slow_reader_sees_every_state_and_why_it_failed(server: Served) -> None:
    with Channel(server[0]) as channel:
        assert channel.history().changes == ()
        channel.unary(ECHO, b"x", timeout=PATIENCE)
    changes = channel.history().changes
    assert [(change.old, change.new) for change in changes] == [
        (IDLE, CONNECTING),
        (CONNECTING, READY),
        (READY, SHUTDOWN),
    ]
    assert [change.number for change in changes] == [1, 2, 3]
    assert [change.why for change in changes] == [None, None, None]
    assert changes[0].age >= changes[1].age
    with Channel("mem:nobody-serves-this") as channel:
        channel.get_state(try_to_connect=True)
        assert channel.wait_history(1, timeout=PATIENCE)
        failed = channel.history(after=1).changes[0]
        assert failed.new is FAILED
        assert failed.why is not None
        assert "mem:nobody-serves-this" in failed.why


def test_what_is_kept_no_longer_is_counted(server: Served) -> None:
    with Channel(server[0], config=ConnectionConfig(state_history=1)) as channel:
        channel.wait_ready(timeout=PATIENCE)
        history = channel.history()
        assert ([change.new for change in history.changes], history.lost) == ([READY], 1)
        assert channel.history(after=1).lost == 0
        assert not channel.wait_history(2, timeout=0.01)
        waiting = Thread(lambda: channel.wait_history(2, timeout=PATIENCE))
    assert waiting.result() is True
    with pytest.raises(trunkline.ClosedError):
        channel.wait_history(3)
    with pytest.raises(trunkline.ConfigError):
        ConnectionConfig(state_history=0)


async def test_an_async_reader_waits_for_each_change(server: Served) -> None:
    seen: list[ChannelState] = []

    async def watch(channel: AsyncChannel) -> None:
        number = 0
        while SHUTDOWN not in seen:
            assert await channel.wait_history(number, timeout=PATIENCE)
            for change in channel.history(number).changes:
                number = change.number
                seen.append(change.new)

    async with AsyncChannel(server[0]) as channel:
        watching = asyncio.create_task(watch(channel))
        await channel.unary(ECHO, b"x", timeout=PATIENCE)
    await watching
    assert seen == [CONNECTING, READY, SHUTDOWN]
