"""UDP connection managers for threads and for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from datetime import timedelta

import pytest
from support import PATIENCE, Thread, eventually

import trunkline
from trunkline import (
    NEVER,
    AsyncUdpConnectionManager,
    CloseReason,
    Datagram,
    DropReason,
    UdpConnectionManager,
    UdpManagerConfig,
)


@pytest.fixture
def manager() -> Iterator[UdpConnectionManager]:
    with UdpConnectionManager() as manager:
        yield manager


def bound() -> Datagram:
    socket = trunkline.bind("udp://127.0.0.1:0")
    socket.settimeout(PATIENCE)
    return socket


@contextlib.contextmanager
def echo(times: int = 1) -> Iterator[str]:
    """A server that gives every datagram back, so many times."""

    def serve() -> None:
        with contextlib.suppress(trunkline.ClosedError):
            while True:
                data, source = server.recv_from()
                for _ in range(times):
                    server.send_to(data, source)

    with trunkline.bind("udp://127.0.0.1:0") as server:
        serving = Thread(serve)
        yield server.address
    serving.result()


def front(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("udp://").rpartition(":")
    return host, int(port)


def test_each_source_has_a_session_and_gets_its_own_answers(manager: UdpConnectionManager) -> None:
    with echo() as destination, bound() as one, bound() as other:
        to = front(manager.relay("udp://127.0.0.1:0", destination))
        for round in range(3):
            for client in (one, other):
                data = f"{round} {client.address}".encode()
                client.send_to(data, to)
                assert client.recv_from() == (data, to)
        eventually(lambda: manager.stats().datagrams_sent == 6)
        stats = manager.stats()
        assert (stats.active, stats.verified, stats.unverified, stats.limit) == (2, 2, 0, 2048)
        assert (stats.opened, stats.closed, stats.dropped) == (2, 0, 0)
        assert stats.datagrams_received == stats.datagrams_sent == 6
        live = manager.live()
        assert [session.source for session in live] == [one.address, other.address]
        assert all(session.verified and session.destination == destination for session in live)
        assert all(session.age > timedelta(0) for session in live)


def test_a_session_is_killed_by_its_number(manager: UdpConnectionManager) -> None:
    with echo() as destination, bound() as client:
        to = front(manager.relay("udp://127.0.0.1:0", destination))
        client.send_to(b"x", to)
        client.recv_from()
        [session] = manager.live()
        manager.kill(session.id)
        assert manager.live() == []
        with pytest.raises(trunkline.UdpError, match="no session") as caught:
            manager.kill(session.id)
        assert (caught.value.kind, caught.value.step) == ("udp", "shutdown")
        client.send_to(b"again", to)
        assert client.recv_from()[0] == b"again"
        assert manager.stats().closed_by_reason[CloseReason.KILLED] == 1
        assert set(manager.stats().closed_by_reason) == set(CloseReason)
        assert set(manager.stats().dropped_by_reason) == set(DropReason)


def test_an_unverified_source_gets_no_more_than_the_limit() -> None:
    config = UdpManagerConfig(max_sessions=1, amplification_limit=2)
    with UdpConnectionManager(config) as manager, echo(5) as destination, bound() as client:
        to = front(manager.relay("udp://127.0.0.1:0", destination))
        client.send_to(b"1", to)
        eventually(lambda: manager.stats().dropped_by_reason[DropReason.AMPLIFICATION] == 3)
        client.send_to(b"2", to)
        received = [client.recv_from()[0] for _ in range(7)]
        assert received == [b"1"] * 2 + [b"2"] * 5
        with bound() as late:
            late.send_to(b"x", to)
            eventually(lambda: manager.stats().dropped_by_reason[DropReason.SESSION_TABLE_FULL] == 1)
        assert manager.stats().opened == 1


def test_silence_ends_a_session_in_the_time_of_its_class_and_relay() -> None:
    config = UdpManagerConfig(unverified_timeout=timedelta(seconds=1), idle_timeout=NEVER)
    with UdpConnectionManager(config) as manager, echo() as destination, bound() as client:
        short = timedelta(milliseconds=500)
        to = front(manager.relay("udp://127.0.0.1:0", destination, idle_timeout=short))
        for data in (b"1", b"2"):
            client.send_to(data, to)
            client.recv_from()
        eventually(lambda: manager.stats().closed_by_reason[CloseReason.IDLE_TIMEOUT] == 1)
        manager.relay("udp://127.0.0.1:0", destination, idle_timeout=NEVER)
        for wrong in (timedelta(0), timedelta(microseconds=1), timedelta(days=400)):
            with pytest.raises(trunkline.ConfigError, match="idle_timeout"):
                manager.relay("udp://127.0.0.1:0", destination, idle_timeout=wrong)


def test_a_drain_cuts_at_its_timeout_and_closes_what_was_given_away(manager: UdpConnectionManager) -> None:
    with echo() as destination, bound() as client:
        to = front(manager.relay("udp://127.0.0.1:0", destination))
        client.send_to(b"x", to)
        client.recv_from()
        own = manager.bind("udp://127.0.0.1:0")
        assert manager.drain(timeout=0.05) == 1
        with pytest.raises(trunkline.ClosedError):
            own.recv_from()
        with pytest.raises(trunkline.ClosedError):
            manager.bind("udp://127.0.0.1:0")
        assert manager.drain() == 0
        assert manager.stats().closed_by_reason[CloseReason.DRAINED] == 1
        own.close()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (UdpManagerConfig(max_sessions=0), "max_sessions"),
        (UdpManagerConfig(idle_timeout=timedelta(0)), "idle_timeout"),
        (UdpManagerConfig(amplification_limit=70000), "amplification_limit"),
    ],
)
def test_a_figure_out_of_its_range_is_named(config: UdpManagerConfig, field: str) -> None:
    with pytest.raises(trunkline.ConfigError, match=field):
        UdpConnectionManager(config)


def test_a_relay_that_would_feed_itself_is_refused(manager: UdpConnectionManager) -> None:
    with pytest.raises(trunkline.ConfigError, match="lead back"):
        manager.relay("udp://127.0.0.1:5", "udp://localhost:5")


def test_one_that_is_forgotten_is_told() -> None:
    with pytest.warns(ResourceWarning, match="unclosed <UdpConnectionManager open>"):
        UdpConnectionManager()
        gc.collect()


async def test_the_asyncio_face_does_the_same() -> None:
    config = UdpManagerConfig(drain_timeout=timedelta(milliseconds=10))
    async with AsyncUdpConnectionManager(config) as manager:
        with echo() as destination:
            to = front(await manager.relay("udp://127.0.0.1:0", destination, idle_timeout=NEVER))
            client = await manager.bind("udp://127.0.0.1:0")
            await client.send_to(b"ping", to)
            assert await client.recv_from() == (b"ping", to)
            assert [session.source for session in manager.live()] == [client.address]
            with pytest.raises(trunkline.UdpError):
                manager.kill(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await manager.drain(timeout=PATIENCE)
            assert manager.stats().active == 1
            assert await manager.drain() == 1
            with pytest.raises(trunkline.ClosedError):
                await client.recv_from()
            await client.aclose()
