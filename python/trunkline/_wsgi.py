"""Serves a WSGI application (PEP 3333) on the connections of a listener, each on a thread of its own."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ._errors import ClosedError, Error, LimitExceeded
from ._http1 import END, BadRequest, Connection, Request, end_of, phrase, refusal
from ._serving import CHUNK, GRACE, LEFT_MAX, LINGER, PAUSE, Waiting

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._listener import Listener
    from ._stream import Stream

__all__ = ["WsgiApp", "serve_wsgi"]

WsgiApp = Callable[[dict[str, Any], Callable[..., Callable[[bytes], object]]], Iterable[bytes]]

_log = logging.getLogger("trunkline")


def serve_wsgi(listener: Listener, app: WsgiApp, max_connections: int, idle_timeout: float) -> None:
    """Serves until the listener is closed, and what has begun to its end."""
    server = _Server(app, max_connections, idle_timeout)
    try:
        while True:
            try:
                stream = listener._accept(None)
            except LimitExceeded:
                time.sleep(PAUSE)
                continue
            except ClosedError:
                return
            server.take(stream)
    finally:
        server.stop()


class _Server:
    """The connections of one listener."""

    def __init__(self, app: WsgiApp, max_connections: int, idle_timeout: float) -> None:
        self.app = app
        self.idle_timeout = idle_timeout
        self.is_stopping = False
        self._max_connections = max_connections
        self._threads: set[threading.Thread] = set()
        self._waiting: Waiting[Stream] = Waiting()
        #: Who has given its place up, and is about to go.
        self._leaving: set[Stream] = set()
        #: Guards what is above, and says that it has changed.
        self._changed = threading.Condition()

    def take(self, stream: Stream) -> None:
        """Serves a connection, once there is a place for it."""
        try:
            self._make_room()
            thread = threading.Thread(target=self._run, args=(stream,), daemon=True)
            with self._changed:
                self._threads.add(thread)
            thread.start()
        except BaseException as error:
            stream.close()
            with self._changed:
                self._threads = {thread for thread in self._threads if thread.ident is not None}
            if not isinstance(error, RuntimeError):
                raise
            # The system has no thread left; those that are there go on.
            _log.warning("a connection of HTTP was refused: %s", error)

    def _make_room(self) -> None:
        """Waits for a place; who has waited for a request for longest gives its own up."""
        while (stream := self._crowded()) is not None:
            stream.close()

    def _crowded(self) -> Stream | None:
        """Who is to go, or ``None`` once there is a place."""
        with self._changed:
            while len(self._threads) >= self._max_connections:
                longest = None if self._leaving else self._waiting.longest()
                if longest is None:
                    self._changed.wait()
                    continue
                stream, since = longest
                patience = since + GRACE - time.monotonic()
                if patience > 0:
                    self._changed.wait(patience)
                elif self._waiting.take(stream):
                    self._leaving.add(stream)
                    return stream
            return None

    def stop(self) -> None:
        """Closes what waits for a request, and waits for the answers that are under way."""
        with self._changed:
            self.is_stopping = True
            waiting, threads = self._waiting.take_all(), list(self._threads)
        for stream in waiting:
            stream.close()
        for thread in threads:
            thread.join()

    def waits(self, stream: Stream) -> bool:
        """Notes that a connection waits for a request; says whether it may."""
        with self._changed:
            if self.is_stopping:
                return False
            self._waiting.add(stream, time.monotonic())
            self._changed.notify_all()
            return True

    def works(self, stream: Stream) -> bool:
        """Notes that a request has come; says whether its connection was not given up before."""
        with self._changed:
            return self._waiting.take(stream)

    def _run(self, stream: Stream) -> None:
        try:
            with stream:
                _Exchange(self, stream).run()
        except (Error, OSError) as error:
            # The client has gone, or was silent for too long.
            _log.debug("a connection of HTTP ended: %s", error)
        finally:
            with self._changed:
                self._waiting.take(stream)
                self._leaving.discard(stream)
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()


class _Exchange:
    """One connection, request after request."""

    def __init__(self, server: _Server, stream: Stream) -> None:
        self.server = server
        self.stream = stream
        self.connection = Connection()
        #: Whether the client has gone, or was silent for too long.
        self.is_lost = False

    def run(self) -> None:
        try:
            while (request := self._next()) is not None and self._answer(request):
                pass
        except BadRequest as bad:
            self.stream.settimeout(self.server.idle_timeout)
            self.send(refusal(bad.status, str(bad)))
            self._part()
        else:
            if request is not None and not self.is_lost and not self.connection.is_read:
                self._part()

    def send(self, data: bytes) -> None:
        try:
            with memoryview(data) as view:
                # Each piece has the time anew: a slow client is served, a silent one is not.
                for start in range(0, len(view), CHUNK):
                    self.stream.sendall(view[start : start + CHUNK])
        except (Error, OSError):
            self.is_lost = True
            raise

    def receive(self) -> bool:
        """Feeds what comes next; says whether anything did."""
        try:
            data = self.stream.recv(CHUNK)
        except (Error, OSError):
            self.is_lost = True
            raise
        self.connection.feed(data)
        return bool(data)

    def _part(self) -> None:
        """Lets the client read the last answer, whatever it still sends: a close at once would reset it."""
        self.stream.shutdown(SHUT_WR)
        until = time.monotonic() + min(self.server.idle_timeout, LINGER)
        while (left := until - time.monotonic()) > 0:
            self.stream.settimeout(left)
            if not self.stream.recv(CHUNK):
                return

    def _next(self) -> Request | None:
        """The next request; ``None`` where none comes."""
        if not self.server.waits(self.stream):
            return None
        begun, until = False, time.monotonic() + self.server.idle_timeout
        while (request := self.connection.head()) is None:
            # A head that comes drop by drop has no more time than one that does not come.
            self.stream.settimeout(max(until - time.monotonic(), 0.001))
            if not self.receive():
                return None
            if not begun:
                begun, until = True, time.monotonic() + self.server.idle_timeout
        self.stream.settimeout(self.server.idle_timeout)
        return request if self.server.works(self.stream) else None

    def _answer(self, request: Request) -> bool:
        """Has the application answer; says whether a further request may follow."""
        body = _Body(self)
        answer = _Answer(self, request)
        try:
            answer.give(self.server.app(_environ(request, self.stream, body), answer.start))
            return self.connection.is_kept and body.skip()
        except Exception as error:
            if isinstance(error, BadRequest) and not answer.has_begun:
                raise
            if self.is_lost or isinstance(error, BadRequest):
                _log.debug("a request of HTTP broke off: %s", error)
                return False
            _log.exception("a WSGI application failed")
            if not answer.has_begun:
                self.send(refusal(500, "the application failed"))
            return False
        finally:
            body.is_over = True
            if answer.has_begun and not answer.has_ended:
                # A part must not be taken for the whole.
                self.is_lost = True
                self.stream.abort()


class _Body(io.RawIOBase):
    """The body of a request, as it comes."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        #: Whether there is no more of it, or nobody may read it any more.
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        with memoryview(buffer).cast("B") as view:
            part = self._take(len(view))
            view[: len(part)] = part
            return len(part)

    def skip(self) -> bool:
        """Reads what nobody has read; says whether the next request may follow."""
        left = LEFT_MAX
        while left > 0 and not self.is_over:
            left -= len(self._take(left))
        return self._exchange.connection.may_go_on

    def _take(self, most: int) -> bytes:
        if self.is_over or most == 0:
            return b""
        connection = self._exchange.connection
        while (part := connection.body(most)) is None:
            if connection.awaits_leave:
                self._exchange.send(connection.leave())
            if not self._exchange.receive():
                raise BadRequest(400, "the body broke off")
        if part is END:
            self.is_over = True
            return b""
        assert isinstance(part, bytes)
        return part


class _Answer:
    """What an application answers, sent as it comes."""

    def __init__(self, exchange: _Exchange, request: Request) -> None:
        self._exchange = exchange
        self._request = request
        self._head: tuple[int, str, list[tuple[bytes, bytes]]] | None = None
        self.has_begun = False
        self.has_ended = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """``start_response`` of the specification."""
        if exc_info is not None and self.has_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise AssertionError("start_response was called before")
        code, _, reason = status.partition(" ")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = int(code), reason, fields
        return self._write

    def give(self, parts: Iterable[bytes]) -> None:
        try:
            if isinstance(parts, (list, tuple)):
                self._promise(sum(map(len, parts)))
            for part in parts:
                self._write(part)
            opening = self._opening()
            self._exchange.send(opening + self._exchange.connection.end())
            self.has_ended = True
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()

    def _promise(self, length: int) -> None:
        """Says how long a body is that is there already."""
        if (
            self._head is None
            or self.has_begun
            or self._request.method == "HEAD"
            or self._head[0] in (204, 304)
        ):
            return
        fields = self._head[2]
        if all(name.lower() != b"content-length" for name, _ in fields):
            fields.append((b"Content-Length", b"%d" % length))

    def _write(self, part: bytes) -> None:
        # The head waits for the first byte: until then the application may take it back.
        if part:
            opening = self._opening()
            self._exchange.send(opening + self._exchange.connection.part(part))

    def _opening(self) -> bytes:
        """The head, where it was not sent yet."""
        if self.has_begun:
            return b""
        if self._head is None:
            raise AssertionError("start_response was not called")
        code, reason, fields = self._head
        opening = self._exchange.connection.answer(
            self._request, code, reason or phrase(code), fields, is_last=self._exchange.server.is_stopping
        )
        self.has_begun = True
        return opening


def _environ(request: Request, stream: Stream, body: _Body) -> dict[str, Any]:
    scheme = "https" if stream.tls() is not None else "http"
    far = end_of(stream.getpeername())
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": far[0] if far is not None else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BufferedReader(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.fields:
        if b"_" in name:
            # It would look like another one, which may say who somebody is.
            continue
        text = value.decode("latin-1")
        key = name.decode("ascii").upper().replace("-", "_")
        if name not in (b"content-type", b"content-length"):
            key = f"HTTP_{key}"
        if key in environ:
            text = f"{environ[key]}{'; ' if name == b'cookie' else ','}{text}"
        environ[key] = text
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _asked(environ.get("HTTP_HOST", ""), scheme)
    return environ


def _asked(host: str, scheme: str) -> tuple[str, str]:
    """Name and port of a ``Host``. Neither may be empty."""
    name, _, port = host.rpartition(":")
    if not port.isdecimal():
        name, port = host, "443" if scheme == "https" else "80"
    return name or "localhost", port
