"""Datagram sockets for threads and for asyncio."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Iterator

import pytest
from support import PATIENCE, Thread, in_child, threads_wait

import trunkline
from trunkline import Datagram


@pytest.fixture
def server() -> Iterator[Datagram]:
    with trunkline.bind("udp://127.0.0.1:0") as socket:
        socket.settimeout(PATIENCE)
        yield socket


@pytest.fixture
def client() -> Iterator[Datagram]:
    with trunkline.bind("udp://127.0.0.1:0") as socket:
        socket.settimeout(PATIENCE)
        yield socket


def test_a_datagram_arrives_whole_with_its_source(server: Datagram, client: Datagram) -> None:
    for data in (b"hello", b"", bytes(range(256)) * 200):
        client.send_to(data, server.getsockname())
        assert server.recv_from() == (data, client.getsockname())
    assert server.stats().datagrams_received == client.stats().datagrams_sent == 3
    assert server.address == "udp://{}:{}".format(*server.getsockname())


def test_it_speaks_with_sockets_of_the_standard_library(server: Datagram) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.sendto(b"theirs", server.getsockname())
        data, source = server.recv_from()
        assert (data, source) == (b"theirs", other.getsockname())
        server.send_to(b"ours", source)
        assert other.recvfrom(100) == (b"ours", server.getsockname())


def test_many_come_at_once_with_the_address_they_were_sent_to(client: Datagram) -> None:
    with trunkline.bind("udp://0.0.0.0:0") as server:
        server.settimeout(PATIENCE)
        port = server.getsockname()[1]
        for number in range(10):
            client.send_to(b"%d" % number, (f"127.0.0.{number % 3 + 1}", port))
        taken: list[trunkline.ReceivedDatagram] = []
        while len(taken) < 10:
            some = server.recv_many(4)
            assert 1 <= len(some) <= 4
            taken += some
        for number, one in enumerate(taken):
            assert one.data == b"%d" % number
            assert one.source == client.getsockname()
            assert one.to == (f"127.0.0.{number % 3 + 1}", port)
        assert taken[1].to is not None
        server.send_to(b"answer", taken[1].source, source=taken[1].to[0])
        assert client.recv_from() == (b"answer", ("127.0.0.2", port))


def test_addresses_of_ipv6_have_four_parts() -> None:
    with trunkline.bind("udp://[::1]:0") as own:
        own.settimeout(PATIENCE)
        name = own.getsockname()
        assert name == ("::1", name[1], 0, 0)
        own.send_to(b"to myself", name)
        assert own.recv_from() == (b"to myself", name)


def test_into_a_buffer_as_much_as_was_said(server: Datagram, client: Datagram) -> None:
    buffer = bytearray(b"........")
    client.send_to(b"abc", server.getsockname())
    assert server.recv_from_into(buffer) == (3, client.getsockname())
    assert buffer == b"abc....."
    client.send_to(b"xy", server.getsockname())
    assert server.recv_from_into(memoryview(buffer)[4:], 2)[0] == 2
    assert buffer == b"abc.xy.."
    with pytest.raises(TypeError):
        server.recv_from_into(b"read-only")


def test_one_that_is_cut_is_an_error_with_its_source(server: Datagram, client: Datagram) -> None:
    client.send_to(b"0123456789", server.getsockname())
    client.send_to(b"next", server.getsockname())
    with pytest.raises(trunkline.UdpError, match="truncated") as caught:
        server.recv_from(4)
    error = caught.value
    assert isinstance(error, OSError)
    assert (error.kind, error.step, error.local_address) == ("udp", "read", client.address)
    assert not error.retryable
    assert server.recv_from(4)[0] == b"next", "the rest is lost, not read next"
    assert server.stats().truncated == 1


def test_what_cannot_be_sent_or_bound_says_why(server: Datagram) -> None:
    with pytest.raises(trunkline.ConfigError) as too_long:
        server.send_to(bytes(65508), ("127.0.0.1", 9))
    assert too_long.value.errno == errno.EMSGSIZE
    with pytest.raises(trunkline.ConfigError, match="no IP address"):
        server.send_to(b"", ("localhost", 9))
    with pytest.raises(trunkline.BindError) as taken:
        trunkline.bind(server.address)
    assert taken.value.errno == errno.EADDRINUSE
    for wrong in ("tcp://127.0.0.1:0", "nonsense"):
        with pytest.raises(trunkline.ConfigError):
            trunkline.bind(wrong)
    with pytest.raises(trunkline.ConfigError, match="datagrams"):
        trunkline.connect("udp://127.0.0.1:9")
    with pytest.raises(trunkline.ConfigError, match="max_count"):
        server.recv_many(0)


def test_timeouts_and_a_close_end_the_wait(server: Datagram) -> None:
    server.settimeout(0)
    with pytest.raises(trunkline.WouldBlock):
        server.recv_from()
    server.settimeout(0.01)
    for receive in (server.recv_from, server.recv_many, lambda: server.recv_from_into(bytearray(1))):
        with pytest.raises(trunkline.ReadTimeout):
            receive()
    assert server.gettimeout() == 0.01
    with pytest.raises(trunkline.ConfigError):
        server.settimeout(-1)
    server.settimeout(None)
    waiting = Thread(server.recv_from)
    threads_wait()
    server.close()
    with pytest.raises(trunkline.ClosedError):
        waiting.result()
    server.close()
    with pytest.raises(trunkline.ClosedError):
        server.send_to(b"", ("127.0.0.1", 9))


def test_one_that_is_forgotten_is_closed_and_told() -> None:
    with pytest.warns(ResourceWarning, match="unclosed <Datagram udp://127"):
        trunkline.bind("udp://127.0.0.1:0")
        gc.collect()


def test_a_child_leaves_the_parents_socket_alone(server: Datagram, client: Datagram) -> None:
    def use() -> None:
        with pytest.raises(trunkline.ForkedError):
            server.recv_from()
        server.close()
        with trunkline.bind("udp://127.0.0.1:0") as own:
            own.send_to(b"new", own.getsockname())
            assert own.recv_from()[0] == b"new"

    in_child(use)
    client.send_to(b"still here", server.getsockname())
    assert server.recv_from()[0] == b"still here"


async def test_the_asyncio_face_does_the_same() -> None:
    async with (
        await trunkline.async_bind("udp://127.0.0.1:0") as server,
        await trunkline.async_bind("udp://127.0.0.1:0") as client,
    ):
        waiting = asyncio.create_task(server.recv_from())
        await asyncio.sleep(0)
        await client.send_to(b"first", server.getsockname())
        assert await waiting == (b"first", client.getsockname())
        await client.send_to(b"second", server.getsockname())
        buffer = bytearray(6)
        assert await server.recv_from_into(buffer) == (6, client.getsockname())
        assert buffer == b"second"
        await client.send_to(b"third", server.getsockname(), source="127.0.0.1")
        [third] = await server.recv_many()
        assert third == (b"third", client.getsockname(), server.getsockname())
        await client.send_to(b"too long", server.getsockname())
        with pytest.raises(trunkline.UdpError):
            await server.recv_from(3)
        assert server.stats().truncated == 1


async def test_a_cancelled_receive_loses_no_datagram_and_a_close_ends_it() -> None:
    async with await trunkline.async_bind("udp://127.0.0.1:0") as server:
        for _ in range(20):
            waiting = asyncio.create_task(server.recv_many())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await server.send_to(b"kept", server.getsockname())
        assert (await server.recv_from())[0] == b"kept"
        waiting = asyncio.create_task(server.recv_many())
        await asyncio.sleep(0)
        await server.aclose()
        with pytest.raises(trunkline.ClosedError):
            await waiting
