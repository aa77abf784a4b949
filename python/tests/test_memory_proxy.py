"""The memory proxy: requests go where routes and hooks say, and hooks that fail let nothing through."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from certificates import Authority
from support import PATIENCE, Thread, eventually, live

import trunkline
from trunkline import (
    AsyncMemoryProxy,
    FieldChanges,
    MemoryProxy,
    MemoryProxyConfig,
    ProxyHello,
    ProxyRefusal,
    ProxyRequest,
    ProxyRoute,
    ProxyTarget,
)

HOUR = timedelta(hours=1)
CONFIG = MemoryProxyConfig(
    routes=[ProxyRoute(path="/a", target="mem:py-proxied-a", strip_path=True)], hook_timeout=HOUR
)
TOKEN = "a token that is long enough"


def head_of(stream: trunkline.Stream) -> str:
    heard = b""
    while b"\r\n\r\n" not in heard:
        piece = stream.recv(1000)
        assert piece
        heard += piece
    return heard.decode("latin-1")


@contextmanager
def service(address: str) -> Iterator[None]:
    """Answers each request with the head that it sees."""

    def serve() -> None:
        while True:
            try:
                stream = listener.accept()
            except trunkline.ClosedError:
                return
            with stream:
                body = f"{address} {head_of(stream)}".encode("latin-1")
                fields = f"Connection: close\r\nContent-Length: {len(body)}\r\n"
                stream.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + body)
            del stream

    with trunkline.listen(address) as listener:
        thread = Thread(serve)
        yield
        listener.close()
        thread.result()


@pytest.fixture
def behind() -> Iterator[None]:
    with service("mem:py-proxied-a"), service("mem:py-proxied-b"):
        yield


def told(
    path: str, fields: str = "", *, at: str = "mem:py-proxy", stream: trunkline.Stream | None = None
) -> str:
    """All that is answered to a request."""
    stream = stream or trunkline.connect(at, timeout=PATIENCE)
    with stream:
        stream.settimeout(PATIENCE)
        stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode("latin-1")
        )
        heard = b""
        while piece := stream.recv(1000):
            heard += piece
    return heard.decode("latin-1")


def route(request: ProxyRequest) -> ProxyTarget | ProxyRefusal | None:
    assert (request.method, request.host, request.timeout) == ("GET", "x", HOUR)
    assert request.connection
    assert not request.is_secured
    assert request.header("Host") == "x"
    match request.path:
        case "/b":
            return ProxyTarget("mem:py-proxied-b", path="/seen?by=b", host="other")
        case "/gone":
            return ProxyRefusal(410, "not any more")
        case "/fails":
            raise LookupError("the hook of a test")
        case "/wrong":
            return ProxyTarget("nowhere")
        case "/odd":
            return FieldChanges()  # type: ignore[return-value]
    return None


def process(request: ProxyRequest, target: ProxyTarget) -> FieldChanges | ProxyRefusal | None:
    assert target.address.startswith("mem:py-proxied-")
    match request.header("X-Ask"):
        case "deny":
            return ProxyRefusal(403, "not you")
        case "fixed":
            return FieldChanges({"Content-Length": "5"})
        case "plain":
            return None
    return FieldChanges({"X-Who": ["alice", "b\xe9"]}, remove=["x-who"])


def check_hooks() -> None:
    told_a = told("/a/1", "X-Who: mallory\r\n")
    assert "mem:py-proxied-a GET /1 HTTP/1.1\r\n" in told_a
    assert "x-who: alice\r\nx-who: b\xe9\r\n" in told_a
    assert "mallory" not in told_a
    told_b = told("/b")
    assert "mem:py-proxied-b GET /seen?by=b HTTP/1.1\r\n" in told_b
    assert "host: other\r\n" in told_b
    assert "x-who" not in told("/a", "X-Ask: plain\r\n")
    for path, fields, status in [
        ("/none", "", 404),
        ("/gone", "", 410),
        ("/a", "X-Ask: deny\r\n", 403),
        ("/fails", "", 500),
        ("/wrong", "", 500),
        ("/odd", "", 500),
        ("/a", "X-Ask: fixed\r\n", 500),
    ]:
        assert told(path, fields).startswith(f"HTTP/1.1 {status} "), path


def test_hooks_say_where_requests_go_and_with_which_fields(
    behind: None, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        trunkline.listen("mem:py-proxy") as listener,
        MemoryProxy(CONFIG, router=route, request_processor=process) as proxy,
    ):
        proxy.serve(listener)
        with caplog.at_level(logging.ERROR, "trunkline"):
            check_hooks()
        failures = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
        assert failures[0] == "the hook of a test"
        assert "content-length" in failures[3]
        stats = proxy.stats()
        assert (stats.requests, stats.denied, stats.hooks_failed) == (10, 7, 4)
        assert stats.opened == stats.active + stats.closed == 10
        assert proxy.drain() == 0
        with pytest.raises(trunkline.ClosedError):
            proxy.serve(listener)


async def test_coroutines_say_where_requests_go(behind: None) -> None:
    async def soon(request: ProxyRequest) -> ProxyTarget | ProxyRefusal | None:
        await asyncio.sleep(0)
        return route(request)

    def later(
        request: ProxyRequest, target: ProxyTarget
    ) -> FieldChanges | ProxyRefusal | Awaitable[FieldChanges | ProxyRefusal | None] | None:
        return process(request, target)

    async with await trunkline.async_listen("mem:py-proxy") as listener:
        async with AsyncMemoryProxy(CONFIG, router=soon, request_processor=later) as proxy:
            await proxy.serve(listener)
            await asyncio.to_thread(check_hooks)
            assert proxy.stats().requests == 10
            assert await proxy.drain() == 0


def test_a_hook_that_hangs_is_not_waited_for() -> None:
    over = threading.Event()

    def hang(request: ProxyRequest) -> None:
        assert over.wait(PATIENCE)

    config = MemoryProxyConfig(hook_timeout=timedelta(milliseconds=1))
    with trunkline.listen("mem:py-proxy") as listener, MemoryProxy(config, router=hang) as proxy:
        proxy.serve(listener)
        assert told("/a").startswith("HTTP/1.1 504 ")
        assert proxy.stats().hooks_failed == 1
        over.set()


def test_the_proxy_of_an_agent_serves_users_of_its_hub(behind: None) -> None:
    hub_config = trunkline.HubConfig(
        agents={"c1": [TOKEN]},
        anonymous=["c1"],
        http=trunkline.HttpConfig(routes=[trunkline.HttpRoute(cluster="c1")]),
    )
    with trunkline.Hub(hub_config) as hub:
        at = hub.listen("mem:py-proxy-hub")
        hub.listen_http("mem:py-proxy-front")
        agent_config = trunkline.AgentConfig(cluster="c1", token=TOKEN, hubs=[at], use_memory_comm=True)
        config = MemoryProxyConfig(routes=CONFIG.routes, trust_forwarded=True)
        with trunkline.Agent(agent_config) as agent, MemoryProxy(config) as proxy:
            agent.wait_ready(PATIENCE)
            # Nobody but the proxy keeps the listener.
            proxy.serve(agent.listener())
            gc.collect()
            answer = told("/a/y", "Impersonate-User: root\r\n", at="mem:py-proxy-front")
            assert "mem:py-proxied-a GET /y HTTP/1.1\r\n" in answer
            assert "x-forwarded-host: x\r\n" in answer
            assert "impersonate" not in answer
            assert agent.memory_comm_stats().memory.opened == 1


def test_a_certificate_provider_shows_each_name_its_own(behind: None) -> None:
    authority = Authority()
    own = authority.issue("a.test")

    def shown(hello: ProxyHello) -> trunkline.TlsCertificate | trunkline.Refuse | None:
        return own.texts() if hello.server_name == "a.test" else trunkline.REFUSE

    def user(name: str) -> trunkline.Stream:
        client = trunkline.TlsClientConfig(roots=trunkline.PemText(authority.pem), server_name=name)
        tls = trunkline.Tls(trunkline.TlsConfig(client=client))
        return trunkline.connect(at.replace("tcp:", "tls:"), timeout=PATIENCE, tls=tls)

    with (
        trunkline.listen("tcp://127.0.0.1:0") as listener,
        MemoryProxy(CONFIG, certificate_provider=shown) as proxy,
    ):
        at = listener.getsockname()
        proxy.serve(listener)
        assert "x-forwarded-proto: https\r\n" in told("/a", stream=user("a.test"))
        with pytest.raises((trunkline.TlsError, trunkline.ConnectError)):
            user("b.test")
        eventually(lambda: proxy.stats().handshakes_failed == 1)
        assert proxy.stats().hooks_failed == 0


def test_nothing_is_left_of_a_proxy_that_was_closed(behind: None) -> None:
    before = live()
    proxy = MemoryProxy(CONFIG, router=lambda request: None)
    assert repr(proxy) == "<MemoryProxy open>"
    with trunkline.listen("mem:py-proxy") as listener:
        proxy.serve(listener)
        assert told("/a").startswith("HTTP/1.1 200 ")
        proxy.close()
        with pytest.raises(trunkline.ClosedError):
            listener.accept()
    proxy.close()
    assert (proxy.stats().requests, proxy.stats().active) == (1, 0)
    del proxy, listener
    eventually(lambda: live() == before)


def test_a_forgotten_proxy_is_told_of() -> None:
    proxy = MemoryProxy(router=lambda request: None)
    with pytest.warns(ResourceWarning, match="unclosed <MemoryProxy open>"):
        del proxy
        gc.collect()


def test_what_cannot_be_a_proxy_is_refused_with_its_field() -> None:
    with pytest.raises(trunkline.ConfigError, match="max_head"):
        MemoryProxy(MemoryProxyConfig(max_head=1), router=lambda request: None)
    with MemoryProxy() as proxy, pytest.raises(TypeError, match="belongs to its process"):
        proxy.__reduce__()
