"""A gRPC server of grpcio, whose messages are bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

ECHO = "/test.Service/Echo"
FAIL = "/test.Service/Fail"
FLAKY = "/test.Service/Flaky"
HANG = "/test.Service/Hang"
TALK = "/test.Service/Talk"
COUNT = "/test.Service/Count"
SUM = "/test.Service/Sum"

# What a server says of its health, by gRPC's numbers.
SERVING, NOT_SERVING = 1, 2


class Health:
    """What a server says to those who watch it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._status = SERVING
        self.asked: list[bytes] = []

    def set(self, status: int) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def watch(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self._wake)
        told = None
        self.asked.append(request)
        while context.is_active():
            with self._changed:
                while self._status == told and context.is_active():
                    self._changed.wait()
                told = self._status
            yield bytes([0x08, told])

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The methods above."""

    def __init__(self) -> None:
        self.flaky = 0
        self.previous: list[str] = []
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.health = Health()

    def service(self, details: Any) -> Any:
        name = details.method.rsplit("/", 1)[1].lower()
        method = getattr(self, name, None)
        if method is None:
            return None
        makers = {
            "talk": grpc.stream_stream_rpc_method_handler,
            "count": grpc.unary_stream_rpc_method_handler,
            "sum": grpc.stream_unary_rpc_method_handler,
            "watch": grpc.unary_stream_rpc_method_handler,
        }
        return makers.get(name, grpc.unary_unary_rpc_method_handler)(method)

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        own = [(key, value) for key, value in context.invocation_metadata() if key.startswith("echo-")]
        own += [("echo-who", name.decode()) for name in context.peer_identities() or ()]
        context.send_initial_metadata(own)
        context.set_trailing_metadata([*own, ("last-bin", b"\x00\xff")])
        return request

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata([("hint", "look elsewhere")])
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: \u00e9 %")
        raise AssertionError("an abort does not return")

    def flaky_left(self, times: int) -> None:
        """Has the next calls fail."""
        self.flaky = times
        self.previous.clear()

    # The name as it is asked for.
    def flaky_(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        self.previous.append(str(metadata.get("grpc-previous-rpc-attempts", "none")))
        self.flaky -= 1
        if self.flaky >= 0:
            context.set_trailing_metadata([("grpc-retry-pushback-ms", "1")])
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return request

    def hang(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        over = threading.Event()
        context.add_callback(over.set)
        self.begun.set()
        over.wait(20)
        self.ended.set()
        return b""

    def talk(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for request in requests:
            yield b"you said " + request

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()

    def watch(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        return self.health.watch(request, context)

    def sum(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return str(sum(int(request) for request in requests)).encode()


class _Flaky(Service):
    def service(self, details: Any) -> Any:
        if details.method == FLAKY:
            return grpc.unary_unary_rpc_method_handler(self.flaky_)
        return super().service(details)


@contextmanager
def served(
    *options: tuple[str, Any], credentials: grpc.ServerCredentials | None = None
) -> Iterator[tuple[str, Service]]:
    """Serves on a free port; gives the target."""
    service = _Flaky()
    server = grpc.server(ThreadPoolExecutor(16), options=list(options))
    server.add_generic_rpc_handlers((service,))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}", service
    finally:
        server.stop(None).wait()
