"""WSGI and ASGI applications on the connections of listeners, behind tunnels and without."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import logging
import os
import random
import signal
import socket
import threading
import wsgiref.validate
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import bottle
import pytest
import starlette.applications
import starlette.requests
import starlette.responses
import starlette.routing
from support import PATIENCE, Thread, eventually, run_python

import trunkline
from trunkline import Agent, AgentConfig, AsyncAgent, AsyncHub, Hub, HubConfig, MemoryCommConfig
from trunkline._http1 import END, BadRequest, Connection

TOKEN = "a token that is long enough"

EXPECTING = b"POST /w HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

_names = itertools.count()

Start = Callable[..., Callable[[bytes], object]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be logged as an exception; a record of one keeps the streams of its traceback."""
    said: list[str] = []
    monkeypatch.setattr(logging.getLogger("trunkline"), "exception", said.append)
    return said


def name() -> str:
    return f"mem:serving-{os.getpid()}-{next(_names)}"


def echo(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Says what was asked, and the body again."""
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise RuntimeError("as it should")
    if path == "/breaks":
        return breaks(start)
    said = f"{environ['REQUEST_METHOD']} {path}?{environ['QUERY_STRING']} {environ.get('HTTP_X_A', '-')} "
    start("203 Odd", [("Content-Type", "text/plain")])
    return echoed(said.encode(), environ["wsgi.input"])


def echoed(said: bytes, body: Any) -> Iterator[bytes]:
    yield said
    yield b"".join(iter(lambda: body.read(50_000), b""))


def breaks(start: Start) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    yield b"a part"
    raise RuntimeError("as it should")


async def async_echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/fails":
        raise RuntimeError("as it should")
    query = scope["query_string"].decode()
    given = dict(scope["headers"]).get(b"x-a", b"-").decode()
    said = f"{scope['method']} {scope['path']}?{query} {given} ".encode()
    headers = [(b"content-type", b"text/plain")]
    length = {"content-length": b"100"} if scope["path"] == "/breaks" else {}
    headers += [(name.encode(), value) for name, value in length.items()]
    await send({"type": "http.response.start", "status": 203, "headers": headers})
    await send({"type": "http.response.body", "body": said, "more_body": True})
    if length:
        raise RuntimeError("as it should")
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.body", "body": body})


class OverStream(http.client.HTTPConnection):
    """A client of the standard library on a stream."""

    def __init__(self, stream: trunkline.Stream) -> None:
        super().__init__("service.c1", timeout=PATIENCE)
        stream.settimeout(PATIENCE)
        self.sock = stream


@contextlib.contextmanager
def serving(listener: trunkline.Listener, app: Any = echo, **limits: Any) -> Iterator[str]:
    thread = Thread(lambda: listener.serve(app, **limits))
    try:
        yield listener.getsockname()
    finally:
        listener.close()
        thread.result()


@contextlib.contextmanager
def serving_in_a_loop(at: str, app: Any = async_echo, **limits: Any) -> Iterator[str]:
    """Serves in a loop of another thread, so that one client can be for both."""
    listening: list[tuple[asyncio.AbstractEventLoop, trunkline.AsyncListener]] = []

    async def serve() -> None:
        async with await trunkline.async_listen(at) as listener:
            listening.append((asyncio.get_running_loop(), listener))
            await listener.serve(app, **limits)

    thread = Thread(lambda: asyncio.run(serve()))
    eventually(lambda: bool(listening))
    loop, listener = listening[0]
    try:
        yield listener.getsockname()
    finally:
        asyncio.run_coroutine_threadsafe(listener.aclose(), loop)
        thread.result()


@contextlib.contextmanager
def either(kind: str, at: str | None = None, **limits: Any) -> Iterator[str]:
    if kind == "asgi":
        with serving_in_a_loop(at or name(), **limits) as at:
            yield at
    else:
        with serving(trunkline.listen(at or name()), **limits) as at:
            yield at


def asked(at: str, text: bytes) -> bytes:
    """All that is answered to a text."""
    with trunkline.connect(at) as stream:
        stream.settimeout(PATIENCE)
        stream.sendall(text)
        answer = b""
        while data := stream.recv(65536):
            answer += data
        return answer


@pytest.mark.parametrize("memory", [None, 0.0, 1.0])
def test_a_wsgi_application_is_served_behind_a_tunnel(memory: float | None) -> None:
    with Hub(HubConfig(agents={"c1": [TOKEN]})) as hub:
        comm = None if memory is None else MemoryCommConfig()
        config = AgentConfig(cluster="c1", token=TOKEN, hubs=[hub.listen(name())], memory_comm=comm)
        with Agent(config) as agent:
            agent.wait_ready(PATIENCE)
            if memory is not None:
                agent.use_memory_comm(memory)
            with serving(agent.listener(), wsgiref.validate.validator(validated)):
                with contextlib.closing(OverStream(hub.dial("c1"))) as client:
                    for body in (b"", b"x", os.urandom(1 << 20)):
                        client.request("POST", "/a%20b?q=%2F", body, {"X-A": "1"})
                        response = client.getresponse()
                        assert (response.status, response.reason) == (203, "Odd")
                        assert response.read() == b"POST /a b?q=%2F 1 " + body


def test_an_agent_that_is_closed_ends_the_serving_of_its_listener() -> None:
    with Hub(HubConfig(agents={"c1": [TOKEN]})) as hub:
        with Agent(AgentConfig(cluster="c1", token=TOKEN, hubs=[hub.listen(name())])) as agent:
            agent.wait_ready(PATIENCE)
            with agent.listener() as listener:
                serving = Thread(listener.serve, echo)
                with contextlib.closing(OverStream(hub.dial("c1"))) as client:
                    client.request("GET", "/")
                    assert client.getresponse().read() == b"GET /? - "
                agent.close()
                serving.result()


def validated(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """The same, and strictly by the specification."""
    return Closing(echo(environ, start))


class Closing:
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        pass


async def test_an_asgi_application_is_served_behind_a_tunnel() -> None:
    async with AsyncHub(HubConfig(agents={"c1": [TOKEN]})) as hub:
        config = AgentConfig(cluster="c1", token=TOKEN, hubs=[await hub.listen(name())])
        async with AsyncAgent(config) as agent:
            await agent.wait_ready(PATIENCE)
            async with await agent.listener() as listener:
                serve = asyncio.ensure_future(listener.serve(async_echo))
                stream = await hub.dial("c1")

                def ask() -> None:
                    with contextlib.closing(OverStream(trunkline.Stream(stream._native))) as client:
                        for body in (b"", b"x", os.urandom(1 << 20)):
                            client.request("POST", "/a%20b?q=%2F", body, {"X-A": "1"})
                            response = client.getresponse()
                            assert response.status == 203
                            assert response.read() == b"POST /a b?q=%2F 1 " + body

                await asyncio.to_thread(ask)
                await listener.aclose()
                await serve
                await stream.aclose()


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_requests_of_one_connection_are_answered_in_turn_whatever_their_framing(kind: str) -> None:
    with either(kind) as at:
        answer = asked(
            at,
            b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
            b"POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2;e\r\ntw\r\n1\r\no\r\n0\r\nT: t\r\n\r\n"
            b"HEAD /3 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET http://y/4?q HTTP/1.0\r\n\r\n",
        )
        assert answer.count(b"HTTP/1.1 203 ") == 4
        for said in (b"POST /1? - ", b"one", b"POST /2? - ", b"GET /4?q - "):
            assert said in answer
        assert b"HEAD /3" not in answer
        assert answer.endswith(b"GET /4?q - ")


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_client_that_waits_for_leave_hears_it(kind: str) -> None:
    with either(kind) as at, trunkline.connect(at) as stream:
        stream.settimeout(PATIENCE)
        stream.sendall(b"POST /w HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
        assert b"100 Continue" not in stream.recv(1000)
    with either(kind) as at, trunkline.connect(at) as stream:
        stream.settimeout(PATIENCE)
        stream.sendall(EXPECTING)
        answer = read_until(stream, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        stream.sendall(b"ok")
        answer += read_until(stream, b"0\r\n\r\n")
        assert answer.count(b"HTTP/1.1 ") == 2
        assert b"ok" in answer


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_client_whose_body_is_not_wanted_gets_no_leave(kind: str, complaints: list[str]) -> None:
    with either(kind) as at:
        answer = asked(at, EXPECTING.replace(b"/w", b"/fails"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.count(b"HTTP/1.1 ") == 1
    assert len(complaints) == 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_what_an_application_raises_is_never_taken_for_an_answer(kind: str, complaints: list[str]) -> None:
    with either(kind) as at:
        answer = asked(at, b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"as it should" not in answer
        with pytest.raises(trunkline.ResetError):
            asked(at, b"GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(complaints) == 2


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

AMBIGUOUS = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET x HTTP/1.1\r\nHost: x\r\n\r\n",
    HEAD + b": c\r\n\r\n",
    HEAD + b"A : b\r\n\r\n",
    HEAD + b"A: \0\r\n\r\n",
    HEAD + b"A: a\x01b\r\n\r\n",
    HEAD + b"A: a\rB: c\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    HEAD + b"Content-Length: 1, 2\r\n\r\n",
    HEAD + b"Content-Length: +1\r\n\r\n",
    HEAD + b"Content-Length: 0x1\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    CHUNKED + b"1\na\r\n0\r\n\r\n",
    CHUNKED + b"1;\n\r\na\r\n0\r\n\r\n",
    CHUNKED + b"0\r\nno field\r\n\r\n",
]


def read_all(text: bytes, cuts: list[int]) -> tuple[list[tuple[str, bytes]], int | None]:
    """The requests of a text that comes in pieces, and the status that ends it."""
    connection, requests = Connection(), []
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(text)])]
    try:
        head, body = None, b""
        for piece in pieces:
            connection.feed(piece)
            while True:
                if head is None:
                    head, body = connection.head(), b""
                    if head is None:
                        break
                part = connection.body(1 << 20)
                if part is None:
                    break
                if isinstance(part, bytes):
                    body += part
                else:
                    assert part is END
                    requests.append((f"{head.method} {head.target.decode()}", body))
                    connection.answer(head, 200, "", [(b"content-length", b"0")], is_last=False)
                    connection.end()
                    if not connection.may_go_on:
                        return requests, None
                    head = None
    except BadRequest as bad:
        return requests, bad.status
    return requests, None


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused_however_it_is_cut(text: bytes) -> None:
    whole = read_all(text, [])
    assert whole[1] in (400, 501)
    assert whole[0] == []
    for cut in range(1, len(text)):
        assert read_all(text, [cut]) == whole, cut


def test_the_lines_of_a_body_have_limits() -> None:
    for text in (CHUNKED + b"1" + b";" * 70_000, CHUNKED + b"0\r\n" + b"A: b\r\n" * 12_000):
        assert read_all(text, []) == ([], 431)
        assert read_all(text, list(range(0, len(text), 1000))) == ([], 431)


def test_any_bytes_are_read_the_same_however_they_are_cut() -> None:
    chance = random.Random(7)
    pieces = [
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
        b"\n",
        b"\0",
        b":",
    ]
    ends: set[object] = set()
    for _ in range(3000):
        text = b"".join(chance.choices(pieces, k=chance.randrange(1, 14)))
        whole = read_all(text, [])
        cuts = [chance.randrange(len(text) + 1) for _ in range(4)]
        assert read_all(text, cuts) == whole, (text, cuts)
        assert read_all(text, list(range(len(text)))) == whole, text
        ends.add(whole[1])
        ends |= {"a request"} if whole[0] else set()
    assert ends >= {None, 400, "a request"}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_the_limits_of_a_head_hold_and_a_refusal_ends_the_connection(kind: str) -> None:
    with either(kind) as at:
        for text, status in (
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000, 431),
            (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
            (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nGET /2", 400),
        ):
            answer = asked(at, text)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            assert answer.count(b"HTTP/1.1") == 1
            assert b"Connection: close\r\n" in answer


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_silent_client_is_let_go_and_its_place_given_to_the_next(kind: str) -> None:
    with either(kind, max_connections=1, idle_timeout=0.05) as at:
        with trunkline.connect(at) as silent, trunkline.connect(at) as slow:
            silent.settimeout(PATIENCE)
            slow.settimeout(PATIENCE)
            slow.sendall(b"GET / HT")
            assert silent.recv(1) == b""
            assert slow.recv(1) == b""
        assert asked(at, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 203 ")


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_closed_listener_ends_what_waits_and_finishes_what_has_begun(kind: str) -> None:
    with either(kind) as at:
        idle, working = trunkline.connect(at), trunkline.connect(at)
        for stream in (idle, working):
            stream.settimeout(PATIENCE)
        idle.sendall(b"GET /i HTTP/1.1\r\nHost: x\r\n\r\n")
        read_until(idle, b"0\r\n\r\n")
        working.sendall(b"POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nha")
        read_until(working, b"POST /w")
        finishing = Thread(finished, idle, working)
    finishing.result()
    idle.close()
    working.close()


def finished(idle: trunkline.Stream, working: trunkline.Stream) -> None:
    # What waits for a request sees the end before the other is done.
    assert idle.recv(1) == b""
    working.sendall(b"lf")
    read_until(working, b"0\r\n\r\n")
    assert working.recv(1) == b""


def read_until(stream: trunkline.Stream, end: bytes) -> bytes:
    got = b""
    while end not in got:
        data = stream.recv(65536)
        assert data, got
        got += data
    return got


def test_a_program_cannot_say_what_no_response_can_have(complaints: list[str]) -> None:
    def splits(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        status, fields = {
            "/value": ("200 OK", [("A", "b\r\nC: d")]),
            "/name": ("200 OK", [("A b", "c")]),
            "/status": ("200 OK\r\nA: b", []),
            "/framing": ("200 OK", [("Transfer-Encoding", "chunked")]),
            "/none": ("204 No Content", []),
            "/known": ("200 OK", []),
        }[environ["PATH_INFO"]]
        start(status, fields)
        return [] if environ["PATH_INFO"] == "/none" else [b"12", b"3"]

    with serving(trunkline.listen(name()), splits) as at:
        for path in (b"/value", b"/name", b"/status", b"/framing"):
            answer = asked(at, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            assert answer.startswith(b"HTTP/1.1 500 "), path
        answer = asked(at, b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"ength" not in answer
        assert b"chunked" not in answer
        answer = asked(at, b"GET /known HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n123")
        assert b"Content-Length: 3\r\n" in answer
    assert len(complaints) == 4
    with trunkline.listen(name()) as listener:
        for limits in ({"max_connections": 0}, {"idle_timeout": 0.0}):
            with pytest.raises(trunkline.ConfigError, match="must be"):
                listener.serve(splits, **limits)


def test_fields_with_underscores_do_not_look_like_others() -> None:
    def shows(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        return [repr(sorted(key for key in environ if key.startswith("HTTP_"))).encode()]

    with serving(trunkline.listen(name()), shows) as at:
        answer = asked(at, b"GET / HTTP/1.0\r\nX_Forwarded_User: root\r\nX-Other: 1\r\n\r\n")
        assert answer.endswith(b"['HTTP_X_OTHER']")


async def test_an_application_hears_of_start_end_and_a_client_that_goes() -> None:
    heard: list[str] = []
    waiting = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for what in ("startup", "shutdown"):
                heard.append((await receive())["type"])
                await send({"type": f"lifespan.{what}.complete"})
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        waiting.set()
        heard.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b""})

    async with await trunkline.async_listen(name()) as listener:
        serve = asyncio.ensure_future(listener.serve(app))
        stream = await trunkline.async_connect(listener.getsockname())
        await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await waiting.wait()
        await stream.aclose()
        while len(heard) < 2:
            await asyncio.sleep(0)
        await listener.aclose()
        await serve
    assert heard == ["lifespan.startup", "http.disconnect", "lifespan.shutdown"]


async def test_an_application_that_does_not_start_is_not_served() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async with await trunkline.async_listen(name()) as listener:
        with pytest.raises(RuntimeError, match="no database"):
            await listener.serve(app)


async def test_who_watches_for_the_end_takes_nothing_of_the_next_request() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await receive()
        watching = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": scope["raw_path"]})
        assert (await watching)["type"] == "http.disconnect"

    async with await trunkline.async_listen(name()) as listener:
        serve = asyncio.ensure_future(listener.serve(app))
        async with await trunkline.async_connect(listener.getsockname()) as stream:
            for n in range(10):
                # The next one comes while the last is being answered.
                await stream.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n)
            answer = b""
            while b"/9" not in answer:
                answer += await stream.receive()
            assert answer.count(b"200 OK") == 10
        await listener.aclose()
        await serve


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[trunkline.AsyncListener]:
    async with await trunkline.async_listen(name()) as listener:
        serve = asyncio.ensure_future(listener.serve(app))
        yield listener
        serve.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serve


async def test_cancelling_the_serving_ends_its_connections() -> None:
    async with served(async_echo) as listener:
        stream = await trunkline.async_connect(listener.getsockname())
        await stream.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert await stream.receive() != b""
    with pytest.raises(trunkline.ResetError):
        while await stream.receive():
            pass
    await stream.aclose()


@contextlib.contextmanager
def serving_over_tcp(kind: str) -> Iterator[str]:
    at = "tcp://127.0.0.1:0"
    app = shows if kind == "wsgi" else async_shows
    with either(kind, at, app=app) as at:
        yield at


def shows(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", [])
    return [f"{environ['REMOTE_ADDR']} {environ['SERVER_NAME']} {environ['SERVER_PORT']}".encode()]


async def async_shows(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    said = f"{scope['client'][0]} {scope['server'][0]} {scope['server'][1]}"
    await send({"type": "http.response.body", "body": said.encode()})


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_an_answer_is_read_by_a_client_whose_body_nobody_reads(kind: str) -> None:
    with serving_over_tcp(kind) as at, trunkline.connect(at) as stream:
        stream.settimeout(PATIENCE)
        host, port = at.removeprefix("tcp://").split(":")
        length = 1 << 20
        stream.sendall(f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n\r\n".encode())
        # A server that closes at once would have this answered with a reset, which takes the answer along.
        stream.sendall(bytes(length))
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert f"127.0.0.1 {host} {port}".encode() in answer


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_body_that_breaks_off_is_no_body(kind: str) -> None:
    with either(kind) as at, trunkline.connect(at) as stream:
        stream.settimeout(PATIENCE)
        stream.sendall(b"POST /w HTTP/1.0\r\nContent-Length: 4\r\n\r\nha")
        assert b"POST /w" in stream.recv(1000)
        stream.shutdown(socket.SHUT_WR)
        with pytest.raises(trunkline.ResetError):
            while stream.recv(1000):
                pass


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_where_all_places_are_taken_who_waits_for_a_request_gives_its_own_up(kind: str) -> None:
    with either(kind, max_connections=2) as at:
        answered, silent = trunkline.connect(at), trunkline.connect(at)
        for stream in (answered, silent):
            stream.settimeout(PATIENCE)
        answered.sendall(b"GET /i HTTP/1.1\r\nHost: x\r\n\r\n")
        read_until(answered, b"0\r\n\r\n")
        silent.sendall(b"GET / HT")
        # No place comes free by itself for a minute.
        for _ in range(2):
            assert asked(at, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 203 ")
        answered.close()
        silent.close()


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_full_listener_is_closed_as_fast_as_any(kind: str) -> None:
    with either(kind, max_connections=1) as at:
        silent, next_one = trunkline.connect(at), trunkline.connect(at)
    for stream in (silent, next_one):
        stream.settimeout(PATIENCE)
        # What was not accepted yet is reset.
        with contextlib.suppress(trunkline.ResetError):
            assert stream.recv(1) == b""
        stream.close()


def test_a_part_that_a_client_does_not_wait_for_is_closed_by_the_application() -> None:
    closed = threading.Event()

    def endless(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.set()

    with serving(trunkline.listen(name()), endless) as at:
        with trunkline.connect(at) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.recv(1) == b"H"
        assert closed.wait(PATIENCE)


def test_an_interrupt_ends_the_serving_and_finishes_what_has_begun() -> None:
    def interrupts(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"whole "
        os.kill(os.getpid(), signal.SIGINT)
        yield b"answer"

    with trunkline.listen(name()) as listener:
        client = Thread(asked, listener.getsockname(), b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(KeyboardInterrupt):
            listener.serve(interrupts)
        assert client.result().endswith(b"whole answer")


async def test_what_an_application_makes_at_its_start_comes_with_each_request() -> None:
    seen: list[Any] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "made once"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        seen.append(scope["state"].pop("pool"))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(app) as listener:
        for _ in range(2):
            async with await trunkline.async_connect(listener.getsockname()) as stream:
                await stream.send(b"GET / HTTP/1.0\r\n\r\n")
                while await stream.receive():
                    pass
    assert seen == ["made once", "made once"]


def framework(kind: str) -> Any:
    """The same service in Bottle and in Starlette."""
    if kind == "wsgi":
        service = bottle.Bottle()
        service.post("/double/<n:int>")(lambda n: {"n": n * len(bottle.request.body.read())})
        service.get("/stream")(lambda: (b"x" * 10_000 for _ in range(100)))
        return service
    return starlette.applications.Starlette(
        routes=[
            starlette.routing.Route("/double/{n:int}", doubled, methods=["POST"]),
            starlette.routing.Route("/stream", streamed),
        ]
    )


async def doubled(request: starlette.requests.Request) -> starlette.responses.Response:
    return starlette.responses.JSONResponse({"n": request.path_params["n"] * len(await request.body())})


async def streamed(request: starlette.requests.Request) -> starlette.responses.Response:
    return starlette.responses.StreamingResponse(iter([b"x" * 10_000] * 100))


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_applications_of_real_frameworks_are_served(kind: str) -> None:
    with either(kind, app=framework(kind)) as at:
        with contextlib.closing(OverStream(trunkline.connect(at))) as client:
            for _ in range(3):
                client.request("POST", "/double/3", b"1234")
                assert json.loads(client.getresponse().read()) == {"n": 12}
                client.request("GET", "/stream")
                assert client.getresponse().read() == b"x" * 1_000_000
                client.request("HEAD", "/stream")
                assert client.getresponse().read() == b""
                client.request("GET", "/nothing")
                response = client.getresponse()
                assert (response.status, bool(response.read())) == (404, True)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_who_does_not_serve_needs_no_h11_and_who_does_is_told(kind: str) -> None:
    listen, serve = {
        "wsgi": ("with trunkline.listen('mem:x') as listener", "listener.serve(print)"),
        "asgi": (
            "async with await trunkline.async_listen('mem:x') as listener",
            "await listener.serve(print)",
        ),
    }[kind]
    script = f"""
import asyncio, sys
sys.modules["h11"] = None
import trunkline
from trunkline import async_listen as listen
async def serve():
    {listen}:
        try:
            {serve}
        except ModuleNotFoundError as error:
            print(error)
asyncio.run(serve())
"""
    assert "trunkline[serve]" in run_python(script).stdout
