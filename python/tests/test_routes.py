"""Managers that are started: listeners, routes, backends, and proxies in front and behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from support import PATIENCE, eventually

import trunkline
from trunkline import (
    NEVER,
    AcceptProxyConfig,
    AsyncTcpConnectionManager,
    BackendConfig,
    BackoffConfig,
    BalanceConfig,
    BreakerConfig,
    CloseReason,
    EndpointConfig,
    EwmaConfig,
    HealthConfig,
    ListenerConfig,
    OutlierConfig,
    PerSourceConfig,
    ProbeConfig,
    QueueConfig,
    ResolveConfig,
    RouteConfig,
    SlowStartConfig,
    TcpConfig,
    TcpConnectionManager,
    TcpManagerConfig,
)

CONFIG = TcpManagerConfig(
    listeners={
        "in": ListenerConfig(
            address="tcp://127.0.0.1:0",
            proxy_protocol=AcceptProxyConfig(mode="optional", trusted=["127.0.0.0/8"]),
            probe=ProbeConfig(timeout=timedelta(seconds=1), max_bytes=4096),
        )
    },
    routes=[
        RouteConfig(host="*.a.example", backend="a"),
        RouteConfig(source="192.0.2.0/24", listener="in", backend="b"),
    ],
    backends={
        "a": BackendConfig(
            endpoints=[EndpointConfig(address="mem:py-nobody", weight=2), EndpointConfig(address="mem:py-a")],
            balance=BalanceConfig(
                policy="round_robin",
                ewma=EwmaConfig(decay=timedelta(seconds=3), floor=timedelta(0)),
                slow_start=SlowStartConfig(window=timedelta(0)),
            ),
            breaker=BreakerConfig(consecutive_failures=3),
            outlier=OutlierConfig(max_ejection_percent=50),
            max_attempts=2,
            attempt_timeout=timedelta(seconds=1),
        ),
        "b": BackendConfig(
            endpoints=[EndpointConfig(address="mem:py-b")],
            resolve=ResolveConfig(min_ttl=timedelta(seconds=1), retry=BackoffConfig()),
            removed_timeout=NEVER,
            health=HealthConfig(interval=timedelta(hours=1), jitter=0.0),
            send_proxy_protocol="v1",
        ),
    },
)

REQUEST = b"GET / HTTP/1.1\r\nHost: x.a.example\r\n"
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"


@pytest.fixture
def behind() -> Iterator[dict[str, trunkline.Listener]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(trunkline.listen(f"mem:py-{name}")) for name in "ab"}


def said_to(address: str, data: bytes) -> trunkline.Stream:
    stream = trunkline.connect(address, timeout=PATIENCE)
    stream.settimeout(PATIENCE)
    stream.sendall(data)
    return stream


def hears(listener: trunkline.Listener, data: bytes) -> None:
    """Takes the next connection that says something; checks of the manager say nothing."""
    while True:
        with listener.accept() as stream:
            stream.settimeout(PATIENCE)
            found = b""
            while len(found) < len(data) and (more := stream.recv(len(data) - len(found))):
                found += more
            if found:
                assert found == data
                return


def test_a_client_goes_where_it_wants_to(behind: dict[str, trunkline.Listener]) -> None:
    with TcpConnectionManager(CONFIG) as manager:
        address = manager.start()["in"]
        with said_to(address, REQUEST):
            hears(behind["a"], REQUEST)
        with said_to(address, HEADER + b"hello"):
            hears(behind["b"], HEADER + b"hello")
        with said_to(address, b"no route") as stream, pytest.raises(trunkline.ResetError):
            stream.recv(1)
        eventually(lambda: manager.stats().active == 0)
        assert manager.stats().closed_by_reason[CloseReason.REFUSED] == 1
        with pytest.raises(trunkline.ConfigError):
            manager.start()


def test_the_same_for_a_loop(behind: dict[str, trunkline.Listener]) -> None:
    async def main() -> None:
        async with AsyncTcpConnectionManager(CONFIG) as manager:
            address = (await manager.start())["in"]
            stream = await trunkline.async_connect(address, timeout=PATIENCE)
            async with stream:
                await stream.send(REQUEST)
                await asyncio.to_thread(hears, behind["a"], REQUEST)

    asyncio.run(main())


def leading_to(name: str, **figures: object) -> TcpManagerConfig:
    return TcpManagerConfig(
        listeners={"in": ListenerConfig(address="tcp://127.0.0.1:0")},
        default_backend="all",
        backends={"all": BackendConfig(endpoints=[EndpointConfig(address=f"mem:py-{name}")])},
        **figures,  # type: ignore[arg-type]
    )


def test_another_configuration_takes_hold_and_what_stands_stays(
    behind: dict[str, trunkline.Listener],
) -> None:
    with TcpConnectionManager(leading_to("a")) as manager:
        address = manager.start()["in"]
        with said_to(address, b"first") as first, behind["a"].accept() as server:
            assert server.recv(5) == b"first"
            manager.reconfigure(leading_to("b", max_connections=2))
            with said_to(address, b"second"), behind["b"].accept() as other:
                assert other.recv(6) == b"second"
                first.sendall(b"stays")
                assert server.recv(5) == b"stays"
                stats = manager.stats()
                assert (stats.active, stats.limit, stats.closed) == (2, 2, 0)
                manager.reconfigure(leading_to("a").to_json())
                for document, named in (
                    ('{"max_connections": 0}', "max_connections"),
                    ('{"tcp": {"backlog": 0}}', "tcp.backlog"),
                    ("{}", "listeners.in"),
                ):
                    with pytest.raises(trunkline.ConfigError, match=named):
                        manager.reconfigure(document)
        manager.close()
        with pytest.raises(trunkline.ClosedError):
            manager.reconfigure(leading_to("a"))


def test_an_endpoint_given_by_name_is_looked_up() -> None:
    with trunkline.listen("tcp://127.0.0.1:0") as server:
        port = server.getsockname().rpartition(":")[2]
        endpoint = EndpointConfig(address=f"tcp://localhost:{port}")
        config = TcpManagerConfig(
            listeners={"in": ListenerConfig(address="tcp://127.0.0.1:0")},
            default_backend="named",
            backends={"named": BackendConfig(endpoints=[endpoint])},
        )
        with TcpConnectionManager(config) as manager:
            with said_to(manager.start()["in"], b"hello"), server.accept() as there:
                assert there.recv(5) == b"hello"


def accepted_from(client: trunkline.Stream) -> socket.socket:
    """A descriptor of ours for the other end of a connection within this process."""
    assert client.getsockname()
    port = int(client.getsockname().rpartition(":")[2])
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        try:
            if copy.getpeername()[1] == port:
                return copy
        except (OSError, IndexError):
            pass
        copy.close()
    raise AssertionError(f"nothing here was accepted from port {port}")


def test_what_sockets_are_told_changes_for_those_that_come_after(
    behind: dict[str, trunkline.Listener],
) -> None:
    with TcpConnectionManager(leading_to("a")) as manager:
        address = manager.start()["in"]
        with said_to(address, b"first") as first, behind["a"].accept() as one:
            hears_on(one, b"first")
            tcp = TcpConfig(nodelay=False, user_timeout=timedelta(seconds=7), backlog=7)
            manager.reconfigure(leading_to("a", tcp=tcp))
            with said_to(address, b"second") as second, behind["a"].accept() as two:
                hears_on(two, b"second")
                with accepted_from(first) as before, accepted_from(second) as after:
                    told = [
                        (
                            s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                            s.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                        )
                        for s in (before, after)
                    ]
                assert told == [(1, 300_000), (0, 7_000)]


def hears_on(stream: trunkline.Stream, data: bytes) -> None:
    assert stream.recv(len(data)) == data


async def test_a_loop_reconfigures_as_well(behind: dict[str, trunkline.Listener]) -> None:
    async with AsyncTcpConnectionManager(leading_to("a")) as manager:
        address = (await manager.start())["in"]
        manager.reconfigure(leading_to("b"))
        async with await trunkline.async_connect(address, timeout=PATIENCE) as stream:
            await stream.send(b"to b")
            await asyncio.to_thread(hears, behind["b"], b"to b")


def limited(name: str, queue: QueueConfig) -> TcpManagerConfig:
    """One place in the backend, one connection for each network."""
    return TcpManagerConfig(
        per_source=PerSourceConfig(max_connections=1, ipv4_prefix=24, ipv6_prefix=64, max_networks=100),
        listeners={
            "in": ListenerConfig(
                address="tcp://127.0.0.1:0",
                max_connections=3,
                proxy_protocol=AcceptProxyConfig(
                    mode="optional", trusted=["127.0.0.0/8"], timeout=timedelta(hours=1)
                ),
            )
        },
        default_backend="one",
        backends={
            "one": BackendConfig(
                endpoints=[EndpointConfig(address=f"mem:py-{name}")], max_connections=1, queue=queue
            )
        },
    )


def announced(network: int) -> bytes:
    return b"PROXY TCP4 192.0.%d.7 198.51.100.1 4711 443\r\nhello" % network


def is_reset(address: str, data: bytes) -> None:
    with said_to(address, data) as stream, pytest.raises(trunkline.ResetError):
        stream.recv(1)


def test_a_full_backend_makes_clients_wait_and_each_refusal_has_its_reason(
    behind: dict[str, trunkline.Listener],
) -> None:
    with TcpConnectionManager(limited("a", QueueConfig(max_waiting=1, timeout=NEVER))) as manager:
        address = manager.start()["in"]

        def closed(reason: CloseReason) -> int:
            return manager.stats().closed_by_reason[reason]

        with said_to(address, announced(1)) as first, behind["a"].accept() as server:
            assert server.recv(5) == b"hello"
            is_reset(address, announced(1))
            eventually(lambda: closed(CloseReason.SOURCE_LIMIT) == 1)
            with said_to(address, announced(2)):
                eventually(lambda: manager.stats().waiting == 1)
                assert [one.state for one in manager.live()] == ["relaying", "waiting"]
                assert manager.stats().active == 2
                is_reset(address, announced(3))
                eventually(lambda: closed(CloseReason.BACKEND_FULL) == 1)
                first.close()
                server.close()
                with behind["a"].accept() as next_server:
                    assert next_server.recv(5) == b"hello"
                    assert manager.stats().waiting == 0
                    manager.reconfigure(limited("a", QueueConfig(timeout=timedelta(milliseconds=1))))
                    is_reset(address, announced(4))
                    eventually(lambda: closed(CloseReason.QUEUE_TIMEOUT) == 1)


async def test_a_drain_ends_a_wait_of_a_loop(behind: dict[str, trunkline.Listener]) -> None:
    async with AsyncTcpConnectionManager(limited("b", QueueConfig(timeout=NEVER))) as manager:
        address = (await manager.start())["in"]
        async with await trunkline.async_connect(address, timeout=PATIENCE) as first:
            await first.send(announced(1))
            with await asyncio.to_thread(behind["b"].accept):
                async with await trunkline.async_connect(address, timeout=PATIENCE) as second:
                    await second.send(announced(2))
                    async with asyncio.timeout(PATIENCE):
                        while manager.stats().waiting != 1:
                            await asyncio.sleep(0.001)
                    assert await manager.drain(timeout=0) == 2
                    with pytest.raises(trunkline.ResetError):
                        await second.receive()


def test_a_document_of_text_is_the_same(behind: dict[str, trunkline.Listener]) -> None:
    document = CONFIG.to_json()
    assert json.loads(document)["listeners"]["in"]["proxy_protocol"]["trusted"] == ["127.0.0.0/8"]
    with TcpConnectionManager(document) as manager, said_to(manager.start()["in"], REQUEST):
        hears(behind["a"], REQUEST)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ('{"listeners": {"in": {"adress": "mem:a"}}}', "listeners.in.adress"),
        ('{"routes": [{"backend": "b"}]}', r"routes\[0\].backend"),
        ('{"backends": {"a": {"endpoints": []}}}', "backends.a.endpoints"),
    ],
)
def test_a_mistake_is_named(document: str, named: str) -> None:
    with pytest.raises(trunkline.ConfigError, match=named):
        TcpConnectionManager(document)


def test_listeners_that_cannot_listen_say_so() -> None:
    with trunkline.listen("mem:py-taken"):
        document = '{"listeners": {"in": {"address": "mem:py-taken"}}}'
        with TcpConnectionManager(document) as manager, pytest.raises(trunkline.BindError):
            manager.start()
