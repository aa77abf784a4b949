"""TCP connection managers for threads and for asyncio."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from support import PATIENCE, Thread, eventually, threads_wait

import trunkline
from trunkline import (
    NEVER,
    AsyncTcpConnectionManager,
    BandwidthConfig,
    CloseReason,
    Never,
    PerSourceConfig,
    SpliceConfig,
    TcpConfig,
    TcpConnectionManager,
    TcpKeepalive,
    TcpManagerConfig,
)


@pytest.fixture
def manager() -> Iterator[TcpConnectionManager]:
    with TcpConnectionManager() as manager:
        yield manager


def echo(stream: trunkline.Stream) -> None:
    with stream:
        while data := stream.recv(65536):
            stream.sendall(data)


def echo_all(listener: trunkline.Listener, count: int) -> None:
    threads = [Thread(echo, listener.accept()) for _ in range(count)]
    for thread in threads:
        thread.result()


def test_what_is_made_and_accepted_is_counted(manager: TcpConnectionManager) -> None:
    with manager.listen("tcp://127.0.0.1:0") as listener:
        with manager.connect(listener.getsockname()) as near, listener.accept() as far:
            near.sendall(b"four")
            assert far.recv(10) == b"four"
            stats = manager.stats()
            assert (stats.active, stats.limit, stats.opened) == (2, 1024, 2)
            assert (stats.accepted, stats.dialled) == (1, 1)
            assert (stats.bytes_sent, stats.bytes_received) == (4, 4)
    eventually(lambda: manager.stats().active == 0)
    stats = manager.stats()
    assert stats.closed == stats.opened == sum(stats.closed_by_reason.values()) == 2
    assert set(stats.closed_by_reason) == set(CloseReason)


def test_a_relay_carries_bytes_both_ways_and_counts_them(manager: TcpConnectionManager) -> None:
    data = os.urandom(3 << 20)
    with trunkline.listen("tcp://127.0.0.1:0") as server:
        serving = Thread(echo_all, server, 4)
        address = manager.relay("tcp://127.0.0.1:0", server.getsockname())
        for _ in range(4):
            with trunkline.connect(address, timeout=PATIENCE) as stream:
                stream.settimeout(PATIENCE)
                sending = Thread(send_and_end, stream, data)
                received = hashlib.sha256()
                while piece := stream.recv(65536):
                    received.update(piece)
                sending.result()
                assert received.digest() == hashlib.sha256(data).digest()
        serving.result()
    eventually(lambda: manager.stats().active == 0)
    stats = manager.stats()
    assert stats.opened == stats.closed == stats.accepted == 4
    assert stats.closed_by_reason[CloseReason.FINISHED] == 4
    assert stats.bytes_received == stats.bytes_sent == 4 * len(data)


@pytest.mark.parametrize(("after", "is_spliced"), [(0, True), (1 << 20, True), (None, True), (NEVER, False)])
def test_bulk_is_spliced_where_the_configuration_says(after: int | Never | None, is_spliced: bool) -> None:
    data = os.urandom(4 << 20)
    config = TcpManagerConfig(splice=SpliceConfig(after=after, max_pipes=8, pipe_size=65536))
    with TcpConnectionManager(config) as manager, trunkline.listen("tcp://127.0.0.1:0") as server:
        serving = Thread(echo_all, server, 1)
        address = manager.relay("tcp://127.0.0.1:0", server.getsockname())
        with trunkline.connect(address, timeout=PATIENCE) as stream:
            stream.settimeout(PATIENCE)
            sending = Thread(send_and_end, stream, data)
            received = b"".join(iter(lambda: stream.recv(65536), b""))
            sending.result()
        serving.result()
        assert received == data
        eventually(lambda: manager.stats().active == 0)
        stats = manager.stats()
        assert (stats.bytes_spliced > 0) == is_spliced
        assert stats.bytes_spliced <= stats.bytes_received + stats.bytes_sent == 2 * len(data)


def test_a_connection_ends_at_its_maximum_and_is_no_faster_than_it_may() -> None:
    config = TcpManagerConfig(
        max_duration=timedelta(seconds=1), bandwidth=BandwidthConfig(to_server=50_000, burst=1000)
    )
    with TcpConnectionManager(config) as manager, trunkline.listen("mem:py-limited") as server:
        address = manager.relay("tcp://127.0.0.1:0", "mem:py-limited")
        with trunkline.connect(address, timeout=PATIENCE) as stream, server.accept():
            stream.sendall(bytes(100_000))
            eventually(lambda: manager.stats().closed_by_reason[CloseReason.MAX_DURATION] == 1)
            assert manager.stats().bytes_received < 100_000


def send_and_end(stream: trunkline.Stream, data: bytes) -> None:
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)


def test_a_limit_is_never_exceeded() -> None:
    config = TcpManagerConfig(max_connections=2)
    with TcpConnectionManager(config) as manager, trunkline.listen("tcp://127.0.0.1:0") as server:
        held = [manager.connect(server.getsockname()) for _ in range(2)]
        with pytest.raises(trunkline.LimitExceeded) as caught:
            manager.connect(server.getsockname())
        assert caught.value.retryable
        held.pop().close()
        manager.connect(server.getsockname()).close()
        held.pop().close()
        eventually(lambda: manager.stats().active == 0)


def test_an_accept_beyond_the_limit_waits_for_a_place() -> None:
    config = TcpManagerConfig(max_connections=1)
    with TcpConnectionManager(config) as manager:
        with manager.listen("tcp://127.0.0.1:0") as listener:
            first, second = (trunkline.connect(listener.getsockname()) for _ in range(2))
            accepted = listener.accept()
            waiting = Thread(listener.accept)
            threads_wait()
            accepted.close()
            waiting.result().close()
            first.close()
            second.close()


@pytest.mark.parametrize("spread", [None, timedelta(0), timedelta(hours=1)])
def test_a_drain_lets_finish_and_then_cuts(spread: timedelta | None) -> None:
    config = TcpManagerConfig(drain_spread=spread)
    with TcpConnectionManager(config) as manager, trunkline.listen("tcp://127.0.0.1:0") as server:
        streams = [manager.connect(server.getsockname()) for _ in range(3)]
        streams[0].close()
        assert manager.drain(timeout=0.05) == 2
        assert manager.stats().closed_by_reason[CloseReason.DRAINED] == 2
        with pytest.raises(trunkline.ClosedError):
            manager.connect(server.getsockname())
        for stream in streams:
            stream.close()


def test_connections_are_listed_by_page_and_looked_at(manager: TcpConnectionManager) -> None:
    with trunkline.listen("mem:py-live") as server:
        address = manager.relay("tcp://127.0.0.1:0", "mem:py-live")
        with trunkline.connect(address, timeout=PATIENCE) as client, server.accept() as behind:
            client.sendall(b"hello")
            assert behind.recv(5) == b"hello"
            with manager.connect("mem:py-live"):
                eventually(lambda: manager.live()[0].state == "relaying")
                one, other = manager.live()
                assert (one.source, one.local) == (client.getsockname(), address)
                assert (one.destination, one.backend, one.protocol) == ("mem:py-live", None, None)
                assert (one.bytes_received, one.bytes_sent) == (5, 0)
                assert one.idle is not None
                assert timedelta(0) <= one.idle <= manager.inspect(one.id).age
                assert (other.state, other.idle, other.destination) == ("held", None, "mem:py-live")
                assert [page.id for page in manager.live(max=1)] == [one.id]
                assert [page.id for page in manager.live(after=one.id, max=1)] == [other.id]
                assert manager.live(after=other.id) == []
    for most in (0, 10_001):
        with pytest.raises(trunkline.ConfigError, match="max"):
            manager.live(max=most)


def test_a_connection_is_killed_by_its_number(manager: TcpConnectionManager) -> None:
    with trunkline.listen("mem:py-kill") as server:
        address = manager.relay("tcp://127.0.0.1:0", "mem:py-kill")
        with trunkline.connect(address, timeout=PATIENCE) as client, server.accept() as behind:
            client.settimeout(PATIENCE)
            (one,) = manager.live()
            manager.kill(one.id)
            assert behind.recv(1) == b"" == client.recv(1)
            eventually(lambda: manager.stats().active == 0)
            assert manager.stats().closed_by_reason[CloseReason.KILLED] == 1
            for call in (manager.kill, manager.inspect):
                with pytest.raises(trunkline.NotFoundError):
                    call(one.id)


async def test_the_live_table_for_a_loop() -> None:
    async with AsyncTcpConnectionManager() as manager:
        async with await trunkline.async_listen("mem:py-live-loop") as server:
            async with await manager.connect("mem:py-live-loop") as near, await server.accept() as far:
                (one,) = manager.live()
                assert manager.inspect(one.id).state == "held"
                manager.kill(one.id)
                with pytest.raises(trunkline.ClosedError):
                    await near.send(b"x")
                assert await far.receive(1) == b""
                assert manager.live() == []


def test_closing_a_manager_closes_what_it_made(manager: TcpConnectionManager) -> None:
    listener = manager.listen("tcp://127.0.0.1:0")
    with trunkline.listen("tcp://127.0.0.1:0") as server:
        stream = manager.connect(server.getsockname())
        with server.accept() as far:
            reader = Thread(stream.recv, 1)
            threads_wait()
            manager.close()
            manager.close()
            with pytest.raises(trunkline.ClosedError):
                reader.result()
            assert far.recv(1) == b""
    with pytest.raises(trunkline.ClosedError):
        listener.accept()
    assert manager.stats().active == 0
    stream.close()
    listener.close()


def test_a_bad_figure_is_named() -> None:
    for config, name in (
        (TcpManagerConfig(max_connections=0), "max_connections"),
        (TcpManagerConfig(idle_timeout=timedelta(0)), "idle_timeout"),
        (TcpManagerConfig(tcp=TcpConfig(backlog=0)), "tcp.backlog"),
        (TcpManagerConfig(splice=SpliceConfig(max_pipes=0)), "splice.max_pipes"),
        (TcpManagerConfig(splice=SpliceConfig(after=-1)), "splice.after"),
        (TcpManagerConfig(bandwidth=BandwidthConfig(to_client=0)), "bandwidth.to_client"),
        (TcpManagerConfig(max_duration=timedelta(0)), "max_duration"),
        (TcpManagerConfig(drain_spread=timedelta(days=366)), "drain_spread"),
        (TcpManagerConfig(per_source=PerSourceConfig(ipv4_prefix=33)), "per_source.ipv4_prefix"),
        (TcpManagerConfig(tcp=TcpConfig(keepalive=TcpKeepalive(count=0))), "tcp.keepalive.count"),
    ):
        with pytest.raises(trunkline.ConfigError, match=name):
            TcpConnectionManager(config)


def test_unset_zero_and_never_are_three_values() -> None:
    assert TcpManagerConfig().to_json() == "{}"
    assert TcpManagerConfig(drain_timeout=timedelta(0)).to_json() == '{"drain_timeout": "0us"}'
    assert TcpManagerConfig(drain_timeout=NEVER).to_json() == '{"drain_timeout": "never"}'
    assert TcpManagerConfig(splice=SpliceConfig(after=0)).to_json() == '{"splice": {"after": 0}}'
    assert TcpManagerConfig(splice=SpliceConfig(after=NEVER)).to_json() == '{"splice": {"after": "never"}}'
    with trunkline.listen("tcp://127.0.0.1:0") as server:
        with TcpConnectionManager(TcpManagerConfig(drain_timeout=timedelta(0))) as manager:
            with manager.connect(server.getsockname()):
                assert manager.drain() == 1


def test_a_forgotten_manager_is_told_of() -> None:
    manager = TcpConnectionManager()
    with pytest.warns(ResourceWarning, match="unclosed <TcpConnectionManager open>"):
        del manager
        gc.collect()


async def test_a_manager_of_a_loop_does_the_same() -> None:
    async with AsyncTcpConnectionManager(TcpManagerConfig(max_connections=4)) as manager:
        async with await manager.listen("tcp://127.0.0.1:0") as listener:
            connecting = asyncio.create_task(manager.connect(listener.getsockname()))
            async with await listener.accept() as far, await connecting as near:
                await near.send(b"four")
                assert await far.receive() == b"four"
                assert manager.stats().active == 2
            address = await manager.relay("tcp://127.0.0.1:0", listener.getsockname())
            async with await trunkline.async_connect(address) as near:
                async with await listener.accept() as far:
                    await far.send(b"through the relay")
                    assert await near.receive() == b"through the relay"
        assert await manager.drain(timeout=PATIENCE) == 0
        with pytest.raises(trunkline.ClosedError):
            await manager.connect(address)
    assert manager.stats().active == 0


async def test_a_cancelled_drain_cuts_nobody() -> None:
    async with (
        AsyncTcpConnectionManager() as manager,
        await trunkline.async_listen("tcp://127.0.0.1:0") as server,
        await manager.connect(server.getsockname()) as near,
        await server.accept() as far,
    ):
        draining = asyncio.create_task(manager.drain(timeout=PATIENCE))
        await asyncio.sleep(0)
        assert not draining.done()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        await near.send(b"still here")
        assert await far.receive() == b"still here"


async def test_a_relay_survives_a_storm_of_clients() -> None:
    async with (
        AsyncTcpConnectionManager() as manager,
        await trunkline.async_listen("tcp://127.0.0.1:0") as server,
    ):
        address = await manager.relay("tcp://127.0.0.1:0", server.getsockname())

        async def serve() -> None:
            async with await server.accept() as stream:
                async for data in stream:
                    await stream.send(data)

        async def talk() -> None:
            async with await trunkline.async_connect(address) as stream:
                await stream.send(b"x" * 10_000)
                await stream.send_eof()
                assert sum([len(data) async for data in stream]) == 10_000

        await asyncio.gather(*(work() for work in [serve, talk] * 100))
        async with asyncio.timeout(PATIENCE):
            while manager.stats().active:
                await asyncio.sleep(0)
        stats = manager.stats()
        assert (stats.opened, stats.bytes_received, stats.bytes_sent) == (100, 10**6, 10**6)
