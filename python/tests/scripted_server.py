"""A server whose every connection follows a script: what it does with HTTP/2 is the script's to say."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes
from support import PATIENCE

_E = TypeVar("_E", bound=h2.events.Event)

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


def message(payload: bytes) -> bytes:
    """A message as gRPC frames it."""
    return b"\0" + struct.pack(">I", len(payload)) + payload


class Gone(Exception):
    """The client ended the connection."""


class Connection:
    """One connection, as the script sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self._events: list[h2.events.Event] = []
        # What the client's calls said, by stream.
        self.bodies: dict[int, bytes] = {}

    def greet(self, settings: dict[SettingCodes | int, int] | None = None) -> None:
        """Sends SETTINGS."""
        if settings:
            self.h2.update_settings(settings)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Sends what h2 has to say."""
        self.sock.sendall(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Sends bytes past h2."""
        self.flush()
        self.sock.sendall(data)

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Sends a frame past h2."""
        self.raw(struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload)

    def wait_for(self, kind: type[_E]) -> _E:
        """The next event of a kind; what comes before it is done with."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, kind):
                    return event
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            self._events += self.h2.receive_data(data)
            for event in self._events:
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            self.flush()

    def call(self) -> int:
        """Waits for a call whose request is whole; its stream."""
        return self.wait_for(h2.events.StreamEnded).stream_id

    def begin(self, stream: int) -> None:
        """The headers of an answer."""
        self.h2.send_headers(stream, HEADERS)
        self.flush()

    def say(self, stream: int, payload: bytes) -> None:
        """One message of an answer."""
        self.h2.send_data(stream, message(payload))
        self.flush()

    def finish(self, stream: int, status: str = "0") -> None:
        """The status of an answer."""
        self.h2.send_headers(stream, [("grpc-status", status)], end_stream=True)
        self.flush()

    def answer(self, stream: int, payload: bytes = b"well") -> None:
        """A whole answer."""
        self.begin(stream)
        self.say(stream, payload)
        self.finish(stream)

    def goaway(self, last: int, code: int = 0, reason: bytes = b"") -> None:
        """GOAWAY, while calls go on: h2 itself would end them."""
        self.frame(7, 0, 0, struct.pack(">II", last, code) + reason)

    def serve(self) -> None:
        """Answers every call that comes, until the client has had enough."""
        while True:
            self.answer(self.call())

    def hold(self) -> None:
        """Reads, and says nothing, until the client ends the connection."""
        while self.sock.recv(65536):
            pass


Script = Callable[[Connection], Any]


class Scripted:
    """Listens; the nth connection follows the nth script, and each after the last is served well."""

    def __init__(self, *scripts: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._scripts = list(scripts)
        # Connections that were made.
        self.connections = 0
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self.failures: list[BaseException] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Scripted:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(PATIENCE)
        for sock in self._socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a script did not end"
        for sock in self._socks:
            sock.close()
        assert not self.failures, self.failures

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            script = self._scripts.pop(0) if self._scripts else well
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._run, args=(script, Connection(sock)), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, connection: Connection) -> None:
        try:
            script(connection)
        except (Gone, OSError):
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def well(connection: Connection) -> None:
    """A server as it should be."""
    connection.greet()
    connection.serve()
