"""What channels look like, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from grpc_server import ECHO, FAIL, HANG, Service, served
from support import PATIENCE, eventually

import trunkline
from trunkline import AsyncChannel, Channel, ChannelError, ChannelState, ConnectionConfig, ServiceConfig

Served = tuple[str, Service]
PLAIN = ConnectionConfig(service_config=ServiceConfig(document={}))


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as found:
        yield found


def test_a_channel_shows_its_calls_its_addresses_and_their_connections(server: Served) -> None:
    with Channel(f"mem:nobody-serves-this,tcp://{server[0]}", config=PLAIN) as channel:
        before = channel.inspect()
        assert (before.state, before.addresses, before.last_call_age) == (ChannelState.IDLE, (), None)
        channel.unary(ECHO, b"x", timeout=PATIENCE)
        with pytest.raises(ChannelError):
            channel.unary(FAIL, b"x", timeout=PATIENCE)
        shown = channel.inspect()
        assert (shown.calls_started, shown.calls_succeeded, shown.calls_failed, shown.calls_queued) == (
            2,
            1,
            1,
            0,
        )
        assert shown.state is ChannelState.READY
        assert shown.last_call_age is not None
        assert shown.last_call_age >= timedelta(0)
        nobody, good = shown.addresses
        assert (nobody.address, nobody.connections) == ("mem:nobody-serves-this", ())
        assert nobody.last_error is not None
        assert nobody.last_error.startswith("connect to mem:nobody-serves-this: ")
        assert (good.state, good.calls_started, good.last_error) == (ChannelState.READY, 2, None)
        (one,) = good.connections
        assert (one.calls_started, one.calls_succeeded, one.calls_failed, one.calls_active) == (2, 1, 1, 0)
        assert (one.security, one.retired, one.remote) == (None, None, good.address)
        assert one.bytes_received > 0
        assert one.bytes_sent > 0
        assert one.local is not None
        assert (shown.pool.hits, shown.pool.misses, shown.pool.created) == (1, 1, 1)
    after = channel.inspect()
    assert (after.state, after.addresses) == (ChannelState.SHUTDOWN, ())
    assert {reason: count for reason, count in after.pool.closed.items() if count} == {"closed": 1}


async def test_an_async_channel_shows_the_call_that_is_under_way(server: Served) -> None:
    async with AsyncChannel(server[0]) as channel:
        call = await channel.stream(HANG)
        await call.send(b"x")

        def shown() -> bool:
            return any(one.calls_active == 1 for a in channel.inspect().addresses for one in a.connections)

        eventually(shown)
        await call.cancel()
        eventually(lambda: channel.inspect().calls_failed == 1)


def test_why_a_name_is_not_found_is_shown() -> None:
    with Channel("dns:nothing.invalid:1", config=PLAIN) as channel:
        with pytest.raises(trunkline.ConnectTimeout):
            channel.wait_ready(timeout=0.05)
        eventually(lambda: channel.inspect().lookup_error is not None)
        shown = channel.inspect()
        assert shown.addresses == ()
        assert shown.next_lookup is not None
