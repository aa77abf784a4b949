"""Connection management on real sockets: TCP and UDP managers, a pool, metrics, errors, a small benchmark.

The programs beside this one do the same in Rust, C and Go, and print the same.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import trunkline

# Round trips of one measurement, and the bytes of each.
TRIPS = 2000
SIZE = 64


def main() -> None:
    tcp = tcp_manager()
    udp = udp_manager()
    pool()
    errors()
    metrics()
    print(
        f"bench    TCP {tcp:.0f} and UDP {udp:.0f} round trips/s of {SIZE} bytes through a relay"
    )


def tcp_manager() -> float:
    """Relays under a limit; what exceeds it is refused before anything is started."""
    config = trunkline.TcpManagerConfig(max_connections=2)
    with (
        trunkline.listen("tcp://127.0.0.1:0") as server,
        trunkline.TcpConnectionManager(config) as manager,
    ):
        threading.Thread(target=serve, args=(server,)).start()
        front = manager.relay("tcp://127.0.0.1:0", server.getsockname())
        client = trunkline.connect(front)
        started = time.monotonic()
        for _ in range(TRIPS):
            client.sendall(bytes(SIZE))
            received = 0
            while received < SIZE:
                received += len(client.recv(SIZE))
        rate = TRIPS / (time.monotonic() - started)

        second = manager.connect(server.getsockname())
        try:
            manager.connect(server.getsockname())
        except trunkline.LimitExceeded as error:
            if error.retryable:
                print("TCP      a third connection: limit exceeded, safe to retry")
        stats = manager.stats()
        print(f"TCP      {stats.bytes_received} bytes came and {stats.bytes_sent} went")
        client.close()
        while manager.stats().active > 1:
            time.sleep(0.001)
        print(f"TCP      drained, {manager.drain(timeout=0)} had to be cut")
        second.close()
        return rate


def udp_manager() -> float:
    """A source has a session, which is listed, verified by its second question, killed by its number."""
    config = trunkline.UdpManagerConfig(
        max_sessions=10, idle_timeout=timedelta(seconds=30)
    )
    with (
        trunkline.bind("udp://127.0.0.1:0") as server,
        trunkline.UdpConnectionManager(config) as manager,
    ):
        threading.Thread(target=answer, args=(server,)).start()
        host, _, port = manager.relay("udp://127.0.0.1:0", server.address)[
            6:
        ].rpartition(":")
        with trunkline.bind("udp://127.0.0.1:0") as client:
            started = time.monotonic()
            for _ in range(TRIPS):
                client.send_to(bytes(SIZE), (host, int(port)))
                client.recv_from()
            rate = TRIPS / (time.monotonic() - started)
        [session] = manager.live()
        stats = manager.stats()
        print(
            f"UDP      {stats.active} session, verified: {str(session.verified).lower()}"
        )
        print(
            f"UDP      {stats.datagrams_received} datagrams came, {stats.dropped} dropped"
        )
        manager.kill(session.id)
        try:
            manager.kill(session.id)
        except trunkline.UdpError:
            print("UDP      killed; a second kill: no session")
        return rate


def pool() -> None:
    """Whoever asks for a key gets the one connection that was made for it."""
    pool: trunkline.KeyedPool[str, trunkline.Stream] = trunkline.KeyedPool()
    with trunkline.listen("tcp://127.0.0.1:0") as server, pool:

        def ask() -> None:
            pool.get_or_create("db", lambda _: trunkline.connect(server.getsockname()))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        print(f"pool     3 asked, {pool.stats().inserted} made")
        made = pool.remove("db")
        assert made is not None
        made.close()


def errors() -> None:
    """An error says which step failed, whose fault it is, and whether to try again."""
    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        nowhere = listener.getsockname()
    try:
        trunkline.connect(nowhere)
    except trunkline.ConnectError as error:
        retry = str(error.retryable).lower()
        print(f"errors   {error.step}: connection failed, safe to retry: {retry}")
    with trunkline.bind("udp://127.0.0.1:0") as socket:
        socket.send_to(b"longer than its room", socket.getsockname())
        try:
            socket.recv_from(4)
        except trunkline.UdpError as error:
            retry = str(error.retryable).lower()
            print(f"errors   {error.step}: datagram truncated, safe to retry: {retry}")


def metrics() -> None:
    """What was opened and is not open any more was closed, in every snapshot."""
    snapshot = trunkline.metrics()

    def total(name: str) -> float:
        wanted = {"protocol": "udp", "direction": "accepted"}.items()
        found = (metric for metric in snapshot if metric.name == name)
        return sum(metric.value for metric in found if wanted <= metric.labels.items())

    opened, closed = (
        total("trunkline_connections_opened_total"),
        total("trunkline_connections_closed_total"),
    )
    print(f"metrics  UDP sessions opened {opened:.0f}, closed {closed:.0f}")


def serve(listener: trunkline.Listener) -> None:
    """Gives every byte back."""
    with suppress(trunkline.ClosedError):
        while True:
            threading.Thread(target=echo, args=(listener.accept(),)).start()


def echo(stream: trunkline.Stream) -> None:
    with stream, suppress(trunkline.Error):
        while data := stream.recv(4096):
            stream.sendall(data)


def answer(socket: trunkline.Datagram) -> None:
    """Gives every datagram back."""
    with suppress(trunkline.ClosedError):
        while True:
            data, source = socket.recv_from()
            socket.send_to(data, source)


main()
