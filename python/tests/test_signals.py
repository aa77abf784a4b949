"""Ctrl-C ends every call that waits, at once, and the operation with it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from support import eventually

import trunkline
from trunkline import _native

Pair = tuple[trunkline.Stream, trunkline.Stream]


@pytest.fixture(autouse=True)
def _ctrl_c_is_not_ignored() -> Iterator[None]:
    """A shell starts what it runs in the background with SIGINT ignored, and Python then leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupted(number: int = signal.SIGINT) -> Iterator[None]:
    """Sends the signal once the main thread waits."""

    def send() -> None:
        eventually(lambda: _native.threads_waiting() == 1)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def expect_interrupt(wait: Callable[[], object]) -> None:
    with interrupted(), pytest.raises(KeyboardInterrupt):
        wait()


def test_reading_is_interrupted(pair: Pair) -> None:
    near, far = pair
    near.settimeout(None)
    expect_interrupt(lambda: near.recv(1))
    expect_interrupt(lambda: near.recv_into(bytearray(1)))
    with near.makefile("rb") as file:
        expect_interrupt(file.readline)
    far.sendall(b"x")
    assert near.recv(1) == b"x"


def test_writing_is_interrupted(pair: Pair) -> None:
    near, _far = pair
    near.settimeout(None)
    expect_interrupt(lambda: near.sendall(b"x" * (64 << 20)))
    expect_interrupt(lambda: send_for_ever(near))


def send_for_ever(stream: trunkline.Stream) -> None:
    while True:  # what was encrypted before may leave meanwhile, and make room
        stream.send(b"x" * 65536)


def test_accepting_is_interrupted(address_of: Callable[[str], str]) -> None:
    for kind in ("tcp", "unix", "mem"):
        with trunkline.listen(address_of(kind)) as listener:
            expect_interrupt(listener.accept)
            with trunkline.connect(listener.getsockname()), listener.accept():
                pass


def test_connecting_is_interrupted_and_ends(silent_address: str) -> None:
    expect_interrupt(lambda: trunkline.connect(silent_address, timeout=None))
    assert _native.debug_counts()["operations"] == 0


def test_draining_is_interrupted_and_cuts_nobody() -> None:
    with (
        trunkline.TcpConnectionManager() as manager,
        trunkline.listen("tcp://127.0.0.1:0") as server,
        manager.connect(server.getsockname()) as near,
        server.accept() as far,
    ):
        expect_interrupt(lambda: manager.drain(timeout=60))
        assert _native.debug_counts()["operations"] == 0
        near.sendall(b"still here")
        assert far.recv(100) == b"still here"


def test_connecting_with_a_manager_is_interrupted(silent_address: str) -> None:
    with trunkline.TcpConnectionManager() as manager:
        expect_interrupt(lambda: manager.connect(silent_address))
        assert manager.stats().active == 0


@contextlib.contextmanager
def interrupted_in_line(pool: trunkline.Pool[object]) -> Iterator[None]:
    """Sends SIGINT once the main thread stands in line."""

    def send() -> None:
        eventually(lambda: pool.stats().waiting == 1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_wait_for_a_connection_is_interrupted_and_leaves_the_line() -> None:
    with trunkline.Pool(object, max_size=1) as pool:
        with pool.connection():
            for wait in (pool.acquire, pool.getconn, pool.connection().__enter__):
                with interrupted_in_line(pool), pytest.raises(KeyboardInterrupt):
                    wait()
            eventually(lambda: pool.stats().waiting == 0)
            assert pool.stats().cancelled == 3
        with pool.connection(timeout=0):
            pass
        eventually(lambda: _native.debug_counts()["operations"] == 0)


def test_draining_a_checkout_pool_is_interrupted_and_goes_on() -> None:
    pool = trunkline.Pool(object)
    lease = pool.acquire()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pool.drain()
    timer.join()
    lease.release()
    assert pool.close() == 0


def test_an_interrupt_at_any_moment_loses_no_connection() -> None:
    """The signal comes between any two steps of taking a connection and putting it back."""
    with trunkline.Pool(object, max_size=1, timeout=20) as pool:
        hits = 0
        for turn in range(60):
            timer = threading.Timer(0.0005 + turn * 0.00002, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while timer.is_alive() or not timer.finished.is_set():
                    with pool.connection():
                        pass
                timer.join()
                for _ in range(1000):
                    pass
            except KeyboardInterrupt:
                hits += 1
            timer.join()
            with pool.connection():
                pass
        assert hits
        assert pool.stats().used == 0


def test_a_handler_that_returns_lets_the_wait_go_on() -> None:
    near, far = trunkline.pipe()
    with near, far:

        def handler(number: int, frame: FrameType | None) -> None:
            far.sendall(b"from the handler")

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            with interrupted(signal.SIGUSR1):
                assert near.recv(100) == b"from the handler"
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_handler_may_wait_itself_in_the_middle_of_a_wait() -> None:
    near, far = trunkline.pipe()
    other_near, other_far = trunkline.pipe()
    with near, far, other_near, other_far:
        heard: list[bytes] = []

        def handler(number: int, frame: FrameType | None) -> None:
            threading.Thread(target=answer).start()
            heard.append(other_near.recv(100))
            heard.append(near.recv(5))
            threading.Thread(target=far.sendall, args=(b"outer",)).start()

        def answer() -> None:
            eventually(lambda: _native.threads_waiting() == 1)
            other_far.sendall(b"nested")
            eventually(lambda: len(heard) == 1 and _native.threads_waiting() == 1)
            far.sendall(b"inner")

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            with interrupted(signal.SIGUSR1):
                assert near.recv(100) == b"outer"
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert heard == [b"nested", b"inner"]


def test_a_connect_survives_a_handler_that_waits(silent_address: str) -> None:
    near, far = trunkline.pipe()
    with near, far:

        def handler(number: int, frame: FrameType | None) -> None:
            threading.Thread(target=far.sendall, args=(b"x",)).start()
            assert near.recv(1) == b"x"

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            with interrupted(signal.SIGUSR1), pytest.raises(trunkline.ConnectTimeout):
                trunkline.connect(silent_address, timeout=0.3)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_another_thread_takes_is_seen_soon() -> None:
    """A process's signal may go to any of its threads: only a look now and then finds it."""
    near, far = trunkline.pipe()
    blocked = {signal.SIGINT}
    with near, far:
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        taker_stops = threading.Event()
        try:
            taker = threading.Thread(target=take_signals, args=(taker_stops,))
            taker.start()
            expect_interrupt(lambda: near.recv(1))
        finally:
            taker_stops.set()
            taker.join()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)


def take_signals(stops: threading.Event) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    stops.wait()
