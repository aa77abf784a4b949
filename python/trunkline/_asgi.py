"""Serves an ASGI application (version 3: HTTP and lifespan) on the connections of a listener."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ._errors import ClosedError, Error, LimitExceeded
from ._http1 import END, BadRequest, Connection, Request, end_of, phrase, refusal
from ._lifespan import VERSIONS, Lifespan
from ._serving import CHUNK, GRACE, LEFT_MAX, LINGER, PAUSE, Waiting

if TYPE_CHECKING:
    from ._async_stream import AsyncStream
    from ._lifespan import AsgiApp, Message
    from ._listener import AsyncListener

__all__ = ["serve_asgi"]

_log = logging.getLogger("trunkline")


async def serve_asgi(
    listener: AsyncListener, app: AsgiApp, max_connections: int, idle_timeout: float
) -> None:
    """Serves until the listener is closed, and what has begun to its end."""
    async with Lifespan(app) as state:
        server = _Server(app, state, max_connections, idle_timeout)
        try:
            while True:
                try:
                    stream = await listener.accept()
                except LimitExceeded:
                    await asyncio.sleep(PAUSE)
                    continue
                except ClosedError:
                    break
                await server.take(stream)
            await server.stop()
        finally:
            await server.cut()


class _Server:
    """The connections of one listener."""

    def __init__(
        self, app: AsgiApp, state: dict[str, Any], max_connections: int, idle_timeout: float
    ) -> None:
        self.app = app
        self.state = state
        self.idle_timeout = idle_timeout
        self.is_stopping = False
        self._max_connections = max_connections
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Waiting[AsyncStream] = Waiting()
        #: Who has given its place up, and is about to go.
        self._leaving: set[AsyncStream] = set()
        #: Set when one of these has changed.
        self._changed = asyncio.Event()

    async def take(self, stream: AsyncStream) -> None:
        """Serves a connection, once there is a place for it."""
        try:
            await self._make_room()
        except BaseException:
            await stream.aclose()
            raise
        task = asyncio.ensure_future(self._run(stream))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()
        if not task.cancelled() and task.exception() is not None:
            _log.error("a connection of HTTP failed", exc_info=task.exception())

    async def _make_room(self) -> None:
        """Waits for a place; who has waited for a request for longest gives its own up."""
        while len(self._tasks) >= self._max_connections:
            self._changed.clear()
            longest = None if self._leaving else self._waiting.longest()
            patience = None if longest is None else longest[1] + GRACE - _now()
            if longest is not None and patience is not None and patience <= 0:
                stream, patience = longest[0], None
                self._waiting.take(stream)
                self._leaving.add(stream)
                await stream.aclose()
            try:
                async with asyncio.timeout(patience):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Closes what waits for a request, and waits for the answers that are under way."""
        self.is_stopping = True
        for stream in self._waiting.take_all():
            await stream.aclose()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def cut(self) -> None:
        """Ends what is left, where nobody waits any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def waits(self, stream: AsyncStream) -> bool:
        """Notes that a connection waits for a request; says whether it may."""
        if self.is_stopping:
            return False
        self._waiting.add(stream, _now())
        self._changed.set()
        return True

    def works(self, stream: AsyncStream) -> bool:
        """Notes that a request has come; says whether its connection was not given up before."""
        return self._waiting.take(stream)

    async def _run(self, stream: AsyncStream) -> None:
        exchange = _Exchange(self, stream)
        try:
            async with stream:
                await exchange.run()
        except (Error, OSError) as error:
            # The client has gone, or was silent for too long.
            _log.debug("a connection of HTTP ended: %s", error)
        finally:
            self._waiting.take(stream)
            self._leaving.discard(stream)
            exchange.forget()


class _Exchange:
    """One connection, request after request."""

    def __init__(self, server: _Server, stream: AsyncStream) -> None:
        self.server = server
        self.stream = stream
        self.connection = Connection()
        #: Whether the client has gone, or was silent for too long.
        self.is_lost = False
        #: What reads while an answer is being made, to see whether the client is still there.
        self._ahead: asyncio.Task[bytes] | None = None

    async def run(self) -> None:
        try:
            while (request := await self._next()) is not None and await self._answer(request):
                pass
        except BadRequest as bad:
            await self.send(refusal(bad.status, str(bad)))
            await self._part()
        else:
            if request is not None and not self.is_lost and not self.connection.is_read:
                await self._part()

    async def send(self, data: bytes) -> None:
        try:
            with memoryview(data) as view:
                # Each piece has the time anew: a slow client is served, a silent one is not.
                for start in range(0, len(view), CHUNK):
                    async with asyncio.timeout(self.server.idle_timeout):
                        await self.stream.send(view[start : start + CHUNK])
        except (Error, OSError):
            self.is_lost = True
            raise

    async def receive(self, timeout: float | None) -> bool:
        """Feeds what comes next; says whether anything did. Cancelling it loses nothing."""
        try:
            async with asyncio.timeout(timeout):
                data = await self._read()
        except (Error, OSError):
            self.is_lost = True
            raise
        self.connection.feed(data)
        return bool(data)

    async def _read(self) -> bytes:
        if self._ahead is None:
            return await self.stream.receive(CHUNK)
        await asyncio.wait([self._ahead])
        ahead, self._ahead = self._ahead, None
        return ahead.result()

    async def gone(self, ended: asyncio.Event) -> None:
        """Waits until the client has gone, or its answer has ended. What it sends meanwhile is kept."""
        left, end = LEFT_MAX, asyncio.ensure_future(ended.wait())
        try:
            while left > 0 and not ended.is_set():
                if self._ahead is None:
                    self._ahead = asyncio.ensure_future(self.stream.receive(CHUNK))
                await asyncio.wait([end, self._ahead], return_when=asyncio.FIRST_COMPLETED)
                if self._ahead.done():
                    if self._ahead.exception() is not None or not self._ahead.result():
                        return
                    left -= len(self._ahead.result())
                    self.connection.feed(self._ahead.result())
                    self._ahead = None
            # It has sent further requests, which wait as long as this one.
            await end
        finally:
            end.cancel()

    def forget(self) -> None:
        """Ends the reading that nobody waits for any more."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead.add_done_callback(lambda ahead: ahead.cancelled() or ahead.exception())

    async def _part(self) -> None:
        """Lets the client read the last answer, whatever it still sends: a close at once would reset it."""
        await self.stream.send_eof()
        async with asyncio.timeout(min(self.server.idle_timeout, LINGER)):
            while await self._read():
                pass

    async def _next(self) -> Request | None:
        """The next request; ``None`` where none comes."""
        if not self.server.waits(self.stream):
            return None
        begun, until = False, _now() + self.server.idle_timeout
        while (request := self.connection.head()) is None:
            # A head that comes drop by drop has no more time than one that does not come.
            if not await self.receive(until - _now()):
                return None
            if not begun:
                begun, until = True, _now() + self.server.idle_timeout
        return request if self.server.works(self.stream) else None

    async def _answer(self, request: Request) -> bool:
        """Has the application answer; says whether a further request may follow."""
        answer = _Answer(self, request)
        scope = _scope(request, self.stream, dict(self.server.state))
        try:
            await self.server.app(scope, answer.receive, answer.send)
            answer.check()
            return self.connection.is_kept and await answer.skip()
        except Exception as error:
            if isinstance(error, BadRequest) and not answer.has_begun:
                raise
            if self.is_lost or isinstance(error, BadRequest):
                _log.debug("a request of HTTP broke off: %s", error)
                return False
            _log.exception("an ASGI application failed")
            if not answer.has_begun:
                await self.send(refusal(500, "the application failed"))
            return False
        finally:
            if answer.has_begun and not answer.has_ended.is_set():
                # A part must not be taken for the whole.
                self.is_lost = True
                self.stream.abort()


class _Answer:
    """One request and what is answered to it."""

    def __init__(self, exchange: _Exchange, request: Request) -> None:
        self._exchange = exchange
        self._request = request
        self._head: Message | None = None
        self.has_begun = False
        self.has_ended = asyncio.Event()
        self._is_read = False
        #: Two readers would take each other's bytes.
        self._receiving = asyncio.Lock()

    async def receive(self) -> Message:
        """``receive`` of the specification."""
        async with self._receiving:
            if self._is_read:
                await self._exchange.gone(self.has_ended)
            elif not self.has_ended.is_set():
                part = await self._take(CHUNK)
                return {"type": "http.request", "body": part or b"", "more_body": part is not None}
            return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """``send`` of the specification."""
        kind = message["type"]
        if kind == "http.response.start" and self._head is None:
            self._head = message
        elif kind == "http.response.body" and self._head is not None and not self.has_ended.is_set():
            data = self._opening(self._head)
            data += self._exchange.connection.part(bytes(message.get("body", b"")))
            ends = not message.get("more_body", False)
            await self._exchange.send(data + self._exchange.connection.end() if ends else data)
            if ends:
                self.has_ended.set()
        else:
            raise RuntimeError(f"{kind} does not come here")

    def check(self) -> None:
        """Whether the answer is whole, where the application says that it is."""
        if not self.has_ended.is_set():
            raise RuntimeError("the response was not finished")

    async def skip(self) -> bool:
        """Reads what nobody has read; says whether the next request may follow."""
        left = LEFT_MAX
        # Whoever holds the lock has seen the end of the answer, and reads no more.
        async with self._receiving:
            while left > 0 and not self._is_read:
                left -= len(await self._take(left) or b"")
        return self._exchange.connection.may_go_on

    def _opening(self, head: Message) -> bytes:
        """The head, where it was not sent yet."""
        if self.has_begun:
            return b""
        fields = [(bytes(name), bytes(value)) for name, value in head.get("headers", ())]
        status, is_last = head["status"], self._exchange.server.is_stopping
        connection = self._exchange.connection
        opening = connection.answer(self._request, status, phrase(status), fields, is_last=is_last)
        self.has_begun = True
        return opening

    async def _take(self, most: int) -> bytes | None:
        """A part of the body; ``None`` after its end."""
        connection = self._exchange.connection
        while (part := connection.body(most)) is None:
            if connection.awaits_leave:
                await self._exchange.send(connection.leave())
            if not await self._exchange.receive(self._exchange.server.idle_timeout):
                raise BadRequest(400, "the body broke off")
        if part is END:
            self._is_read = True
            return None
        assert isinstance(part, bytes)
        return part


def _now() -> float:
    return asyncio.get_running_loop().time()


def _scope(request: Request, stream: AsyncStream, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": request.version,
        "method": request.method,
        "scheme": "https" if stream.tls() is not None else "http",
        "path": unquote(request.path.decode("ascii")),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": "",
        "headers": request.fields,
        "client": end_of(stream.getpeername()),
        "server": end_of(stream.getsockname()),
        "state": state,
    }
