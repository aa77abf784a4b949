"""Streams and listeners for threads, the same over pipes, TCP, Unix sockets and in-memory names."""

from __future__ import annotations

import errno
import gc
import http.client
import pickle
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import Authority
from support import Thread, threads_wait

import trunkline
from trunkline import CloseReason, Stream

Pair = tuple[Stream, Stream]


def read_all(stream: Stream) -> bytes:
    return b"".join(iter(lambda: stream.recv(65536), b""))


def test_bytes_cross_both_ways_and_a_half_close_lets_the_answer_through(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"question")
    near.shutdown(socket.SHUT_WR)
    assert read_all(far) == b"question"
    far.sendall(b"answer")
    far.close()
    assert read_all(near) == b"answer"


def test_a_slow_reader_stalls_the_writer_and_loses_nothing(pair: Pair) -> None:
    near, far = pair
    data = bytes(range(256)) * (4 << 14)

    def write() -> None:
        near.sendall(data)
        near.shutdown(socket.SHUT_WR)

    writer = Thread(write)
    threads_wait()
    assert read_all(far) == data
    writer.result()
    assert near.stats().bytes_sent == far.stats().bytes_received == len(data)


def test_send_says_how_much_was_taken(pair: Pair) -> None:
    near, far = pair
    data = b"x" * (32 << 20)
    sent = near.send(data)
    assert 0 < sent < len(data)
    left = sent
    while left:
        left -= len(far.recv(left))


def test_recv_into_fills_as_much_as_was_asked_for(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"abcdef")
    room = bytearray(b"........")
    assert far.recv_into(room, 3) == 3
    assert room == b"abc....."
    assert far.recv_into(memoryview(room)[4:]) == 3
    assert room == b"abc.def."


def test_a_read_that_takes_too_long_is_a_timeout(pair: Pair) -> None:
    near, _far = pair
    near.settimeout(0.01)
    with pytest.raises(trunkline.ReadTimeout) as caught:
        near.recv(1)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.kind, error.step, error.retryable) == ("timeout", "read", False)
    assert error.elapsed is not None
    assert error.elapsed >= 0.01
    with pytest.raises(trunkline.ReadTimeout):
        near.recv_into(bytearray(1))


def test_a_write_that_takes_too_long_is_a_timeout(pair: Pair) -> None:
    near, _far = pair
    near.settimeout(0.01)
    with pytest.raises(trunkline.WriteTimeout) as caught:
        near.sendall(b"x" * (64 << 20))
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(trunkline.WriteTimeout):
        while True:  # what was encrypted before may leave meanwhile, and make room
            near.send(b"x" * 65536)


def test_timeout_zero_only_tries(pair: Pair) -> None:
    near, far = pair
    near.settimeout(0)
    assert near.gettimeout() == 0
    with pytest.raises(BlockingIOError) as caught:
        near.recv(1)
    assert isinstance(caught.value, trunkline.WouldBlock)
    assert caught.value.errno == errno.EAGAIN
    far.sendall(b"x")
    near.settimeout(None)
    assert near.recv(1) == b"x"


def test_a_closed_stream_says_so(pair: Pair) -> None:
    near, _far = pair
    near.close()
    near.close()
    for use in (
        lambda: near.recv(1),
        lambda: near.sendall(b"x"),
        lambda: near.recv_into(bytearray(1)),
        lambda: near.send(b"x"),
    ):
        with pytest.raises(trunkline.ClosedError) as caught:
            use()
        assert isinstance(caught.value, ConnectionError)


def test_closing_wakes_a_thread_that_waits(pair: Pair) -> None:
    near, _far = pair
    near.settimeout(None)
    reader = Thread(near.recv, 1)
    threads_wait()
    near.close()
    with pytest.raises(trunkline.ClosedError):
        reader.result()


def test_several_threads_may_wait_on_one_stream(pair: Pair) -> None:
    near, far = pair
    readers = [Thread(near.recv, 1) for _ in range(4)]
    threads_wait(4)
    far.sendall(b"abcd")
    assert sorted(reader.result() for reader in readers) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("kind", ["pipe", "tcp", "mem"])
def test_an_abort_is_a_reset_at_the_peer(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"never read")
    near.abort()
    with pytest.raises(trunkline.ResetError) as caught:
        while far.recv(1):
            pass
    assert isinstance(caught.value, ConnectionResetError)
    assert caught.value.kind == "broken"


def test_stats_stay_exact_after_the_end(pair: Pair, kind: str) -> None:
    near, far = pair
    near.sendall(b"four")
    assert far.recv(10) == b"four"
    before = near.stats()
    assert (before.bytes_sent, before.bytes_received, before.close_reason) == (4, 0, None)
    assert before.protocol == ("pipe" if kind in ("pipe", "mem") else kind)
    assert timedelta(0) < before.age < timedelta(minutes=1)
    near.close()
    after = near.stats()
    assert (after.bytes_sent, after.close_reason) == (4, CloseReason.LOCAL)
    assert after.id == before.id != far.stats().id


def test_both_ends_agree_on_their_names() -> None:
    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        with trunkline.connect(listener.getsockname()) as near, listener.accept() as far:
            assert near.getpeername() == far.getsockname() == listener.getsockname()
            assert near.getsockname() == far.getpeername()
            assert near.getsockname() in repr(near)


def test_files_keep_a_stream_open_until_they_are_closed(pair: Pair) -> None:
    near, far = pair
    with near.makefile("rw", encoding="utf-8", newline="\n") as file:
        near.close()
        file.write("grüße\n")
        file.flush()
        assert far.recv(100) == "grüße\n".encode()
        far.sendall(b"back\n")
        assert file.readline() == "back\n"
        assert near.stats().close_reason is None
    assert near.stats().close_reason is not None
    assert far.recv(1) == b""


def test_a_binary_file_reads_lines_and_the_end(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"one\ntwo")
    near.shutdown(socket.SHUT_WR)
    with far.makefile("rb") as file:
        assert file.readlines() == [b"one\n", b"two"]
    with far.makefile("wb", 0) as raw:
        assert raw.write(b"raw") == 3
    assert near.recv(10) == b"raw"
    with pytest.raises(ValueError, match="unbuffered"):
        far.makefile("r", 0)
    with pytest.raises(ValueError, match="invalid mode"):
        far.makefile("a")  # type: ignore[call-overload]


def test_http_client_works_over_a_stream(pair: Pair) -> None:
    near, far = pair

    def serve() -> bytes:
        with far.makefile("rb") as request:
            line = request.readline()
            while request.readline().strip():
                pass
        far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        return line

    server = Thread(serve)
    connection = http.client.HTTPConnection("trunkline.test")
    connection.sock = near
    connection.request("GET", "/path")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"hello")
    assert server.result() == b"GET /path HTTP/1.1\r\n"
    connection.close()


def test_a_forgotten_stream_is_closed_with_a_warning() -> None:
    near, far = trunkline.pipe()
    with pytest.warns(ResourceWarning, match="unclosed <Stream pipe open>"):
        del near
        gc.collect()
    assert far.recv(1) == b""
    far.close()


def test_a_forgotten_listener_is_closed_with_a_warning() -> None:
    listener = trunkline.listen("tcp://127.0.0.1:0")
    address = listener.getsockname()
    with pytest.warns(ResourceWarning, match="unclosed <Listener tcp"):
        del listener
        gc.collect()
    with pytest.raises(ConnectionError):
        trunkline.connect(address)


def test_streams_and_listeners_stay_in_their_process() -> None:
    near, far = trunkline.pipe()
    with near, far, trunkline.listen("tcp://127.0.0.1:0") as listener:
        for thing in (near, listener):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(thing)


def test_a_stream_claims_no_descriptor() -> None:
    near, far = trunkline.pipe()
    with near, far:
        assert not hasattr(near, "fileno")


def test_an_accept_that_takes_too_long_is_a_timeout(address_of: Callable[[str], str]) -> None:
    for kind in ("tcp", "unix", "mem"):
        with trunkline.listen(address_of(kind)) as listener:
            listener.settimeout(0.01)
            with pytest.raises(trunkline.WaitTimeout) as caught:
                listener.accept()
            assert caught.value.step == "accept"
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_closing_a_listener_wakes_a_thread_that_accepts(address_of: Callable[[str], str]) -> None:
    for kind in ("tcp", "unix", "mem"):
        listener = trunkline.listen(address_of(kind))
        acceptor = Thread(listener.accept)
        threads_wait()
        listener.close()
        with pytest.raises(trunkline.ClosedError):
            acceptor.result()


def test_bad_arguments_are_named() -> None:
    near, far = trunkline.pipe()
    with near, far:
        for use, name in (
            (lambda: trunkline.connect("no address"), "address"),
            (lambda: trunkline.pipe(0), "capacity"),
            (lambda: trunkline.listen("tcp://127.0.0.1:0", backlog=0), "backlog"),
            (lambda: near.settimeout(-1), "timeout"),
            (lambda: near.recv(-1), "bytes"),
            (lambda: near.shutdown(7), "how"),
        ):
            with pytest.raises(trunkline.ConfigError, match=name) as caught:
                use()
            assert isinstance(caught.value, ValueError)
            assert not caught.value.retryable


def test_a_pipe_holds_as_much_as_it_was_made_for() -> None:
    near, far = trunkline.pipe(capacity=7)
    with near, far:
        near.settimeout(0)
        assert near.send(b"0123456789") == 7
        with pytest.raises(trunkline.WouldBlock):
            near.send(b"7")
        assert far.recv(100) == b"0123456"


def test_a_socket_carries_what_a_stream_does(pair: Pair) -> None:
    near, far = pair
    far.sendall(b"before")
    with near.to_socket() as given:
        given.settimeout(20)
        assert given.recv(6, socket.MSG_WAITALL) == b"before"
        given.sendall(b"question")
        given.shutdown(socket.SHUT_WR)
        assert read_all(far) == b"question"
        far.sendall(b"answer")
        for refused in (lambda: near.recv(1), lambda: near.sendall(b"x"), near.to_socket):
            with pytest.raises(trunkline.ClosedError):
                refused()
        far.close()
        with given.makefile("rb") as rest:
            assert rest.read() == b"answer"
        assert (near.stats().bytes_received, near.stats().bytes_sent) == (12, 8)


def test_a_lent_stream_has_no_socket() -> None:
    with trunkline.listen("mem:lent-without-socket") as listener:
        with trunkline.Pool("mem:lent-without-socket", max_size=1) as pool:
            with pool.connection() as lent, listener.accept():
                assert isinstance(lent, Stream)
                with pytest.raises(trunkline.ConfigError, match="detach"):
                    lent.to_socket()


def test_tls_of_the_standard_library_runs_over_memory(tmp_path: Path) -> None:
    authority = Authority()
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_server.load_cert_chain(*authority.issue().write(tmp_path))
    of_client = ssl.create_default_context(cadata=authority.pem)
    near, far = trunkline.pipe()
    server = Thread(lambda: of_server.wrap_socket(far.to_socket(), server_side=True))
    with of_client.wrap_socket(near.to_socket(), server_hostname="localhost") as secured:
        with server.result() as other:
            secured.sendall(b"secret")
            assert other.recv(6) == b"secret"
