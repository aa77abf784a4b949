"""Checks of endpoints: by HTTP, by TLS, by what the program says; and what is seen of endpoints."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Authority
from support import PATIENCE, eventually

import trunkline
from trunkline import (
    AsyncTcpConnectionManager,
    BackendConfig,
    CallbackCheckConfig,
    CheckQuestion,
    EndpointCheck,
    EndpointConfig,
    EndpointReason,
    HealthConfig,
    HttpCheckConfig,
    ListenerConfig,
    LiveEndpoint,
    TcpConnectionManager,
    TcpManagerConfig,
    TlsCheckConfig,
)


def config(
    *addresses: str, check: EndpointCheck, timeout: timedelta = timedelta(hours=1)
) -> TcpManagerConfig:
    health = HealthConfig(check=check, interval=timedelta(milliseconds=1), rise=1, fall=1, timeout=timeout)
    endpoints = [EndpointConfig(address=address) for address in addresses]
    return TcpManagerConfig(
        listeners={"in": ListenerConfig(address="mem:py-checked")},
        default_backend="all",
        backends={"all": BackendConfig(endpoints=endpoints, health=health)},
    )


def asking(*addresses: str, timeout: timedelta = timedelta(hours=1)) -> TcpManagerConfig:
    check = EndpointCheck(callback=CallbackCheckConfig(no_answer="keep"))
    return config(*addresses, check=check, timeout=timeout)


def seen(manager: TcpConnectionManager | AsyncTcpConnectionManager) -> dict[str, LiveEndpoint]:
    return {endpoint.address: endpoint for endpoint in manager.endpoints()}


def checked(manager: TcpConnectionManager) -> dict[str, str | None]:
    """The step at which each endpoint fails, once all were checked."""
    eventually(lambda: all(one.state != "unchecked" for one in manager.endpoints()))
    return {one.address: None if one.reason is None else one.reason.step for one in manager.endpoints()}


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert self.headers["X-Why"] == "a check"
        body = b"all is well"
        self.send_response(200 if self.path == "/ready" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(PATIENCE)


def test_an_endpoint_is_asked_by_http(server: ThreadingHTTPServer) -> None:
    address = f"tcp://127.0.0.1:{server.server_address[1]}"
    headers = {"X-Why": "a check"}
    good = HttpCheckConfig(path="/ready", headers=headers, expect=[200, "204-206"], contains="is well")
    with TcpConnectionManager(config(address, check=EndpointCheck(http=good))) as manager:
        manager.start()
        eventually(lambda: seen(manager)[address].state == "healthy")
        endpoint = seen(manager)[address]
        assert (endpoint.backend, endpoint.reason, endpoint.active) == ("all", None, 0)
        assert (endpoint.weight, endpoint.effective_weight) == (1, 1.0)
        bad = HttpCheckConfig(path="/sick", headers=headers)
        manager.reconfigure(config(address, check=EndpointCheck(http=bad)))
        why = EndpointReason("check", "status", "it answered 503 Service Unavailable")
        eventually(lambda: seen(manager)[address].reason == why)
        assert seen(manager)[address].state == "unhealthy"


def test_an_endpoint_is_asked_by_http_over_tls(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    authority = Authority("checks")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("shop.example").write(tmp_path))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address = f"tcp://127.0.0.1:{server.server_address[1]}"
    client = trunkline.TlsClientConfig(roots=trunkline.PemText(authority.pem))
    tls = trunkline.Tls(trunkline.TlsConfig(client=client))
    for name, step in (("shop.example", None), ("other.example", "tls")):
        secured = TlsCheckConfig(server_name=name)
        http = HttpCheckConfig(path="/ready", headers={"X-Why": "a check"}, tls=secured)
        for check in (EndpointCheck(http=http), EndpointCheck(tls=secured)):
            with TcpConnectionManager(config(address, check=check), tls=tls) as manager:
                manager.start()
                assert checked(manager).get(address) == step


def how(question: CheckQuestion) -> bool | None:
    assert (question.backend, question.host) == ("all", None)
    assert timedelta() < question.timeout <= timedelta(hours=1)
    match question.address:
        case "mem:py-good":
            return None
        case "mem:py-bad":
            raise ValueError("it lags")
        case "mem:py-odd":
            return 7  # type: ignore[return-value]
        case _:
            return question.address == "mem:py-true"


ALL = ("mem:py-good", "mem:py-true", "mem:py-bad", "mem:py-odd", "mem:py-false")
TEXTS = {
    "mem:py-good": None,
    "mem:py-true": None,
    "mem:py-bad": "ValueError: it lags",
    "mem:py-odd": "TypeError: a check returns True, False or None, not 7",
    "mem:py-false": "the callback returned False",
}


def texts(manager: TcpConnectionManager | AsyncTcpConnectionManager) -> dict[str, str | None]:
    return {one.address: None if one.reason is None else one.reason.text for one in manager.endpoints()}


def is_told(manager: TcpConnectionManager | AsyncTcpConnectionManager) -> bool:
    is_checked = all(one.state != "unchecked" for one in manager.endpoints())
    return is_checked and texts(manager) == TEXTS


def test_a_function_says_how_endpoints_are() -> None:
    with TcpConnectionManager(asking(*ALL)) as manager:
        manager.start()
        assert {one.state for one in manager.endpoints()} == {"unchecked"}
        manager.on_check(how)
        eventually(lambda: is_told(manager))
        assert [one.address for one in manager.endpoints()] == list(ALL)
        manager.on_check(None)
        assert is_told(manager), "they stay what they are"
    with pytest.raises(trunkline.ClosedError):
        manager.on_check(how)


def test_a_function_that_hangs_keeps_nobody_from_closing() -> None:
    begun, release = threading.Event(), threading.Event()

    def hangs(question: CheckQuestion) -> None:
        begun.set()
        release.wait(PATIENCE)

    manager = TcpConnectionManager(asking("mem:py-good"))
    manager.start()
    manager.on_check(hangs)
    assert begun.wait(PATIENCE)
    manager.close()
    release.set()


@pytest.mark.filterwarnings("ignore:unclosed")
def test_a_function_is_let_go_when_another_takes_its_place_and_with_its_manager() -> None:
    def threads() -> int:
        return sum(one.name == "trunkline-check" for one in threading.enumerate())

    # A dispatcher and a worker.
    manager = TcpConnectionManager(asking("mem:py-good"))
    manager.start()
    for _ in range(2):
        manager.on_check(lambda question: None)
        eventually(lambda: threads() == 2)
    del manager
    gc.collect()
    eventually(lambda: threads() == 0)


def test_async_a_function_or_a_coroutine_says_how_endpoints_are() -> None:
    async def slowly(question: CheckQuestion) -> bool | None:
        await asyncio.sleep(0)
        return how(question)

    async def main() -> None:
        async with AsyncTcpConnectionManager(asking(*ALL)) as manager:
            await manager.start()
            for function in (how, slowly):
                manager.on_check(function)
                while not is_told(manager):
                    await asyncio.sleep(0.001)
            manager.on_check(None)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_async_a_coroutine_that_takes_too_long_has_told_nothing() -> None:
    async def main() -> None:
        ended = asyncio.Event()
        count = 0

        async def hangs(question: CheckQuestion) -> None:
            nonlocal count
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                count += 1
                if count == 3:
                    ended.set()
                raise

        config = asking("mem:py-good", timeout=timedelta(milliseconds=1))
        async with AsyncTcpConnectionManager(config) as manager:
            await manager.start()
            manager.on_check(hangs)
            await ended.wait()
            assert seen(manager)["mem:py-good"].state == "unchecked"

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_what_is_wrong_with_a_check_is_named() -> None:
    for check, field in (
        (EndpointCheck(tls=TlsCheckConfig()), "health.check.tls.server_name"),
        (EndpointCheck(http=HttpCheckConfig(expect=["2xx"])), "health.check.http.expect"),
        (EndpointCheck(http=HttpCheckConfig(), callback=CallbackCheckConfig()), "health.check"),
        (EndpointCheck(), "health.check"),
    ):
        with pytest.raises(trunkline.ConfigError, match=field):
            TcpConnectionManager(config("mem:py-a", check=check))


def test_endpoints_are_described_as_in_other_languages() -> None:
    document = {
        "listeners": {"in": {"address": "mem:py-seen"}},
        "default_backend": "b",
        "backends": {
            "a": {"endpoints": [{"address": "mem:py-drained", "weight": 0}]},
            "b": {
                "endpoints": [{"address": "mem:py-missing"}],
                "breaker": {"consecutive_failures": 1},
            },
        },
    }
    with TcpConnectionManager(json.dumps(document)) as manager:
        manager.start()
        client = trunkline.connect("mem:py-seen", timeout=PATIENCE)
        client.settimeout(PATIENCE)
        with client, pytest.raises(trunkline.ResetError):
            client.recv(1)
        drained, missing = manager.endpoints()
        assert (drained.backend, drained.state, drained.remaining) == ("a", "drained", None)
        assert (missing.state, missing.effective_weight) == ("breaker_open", 0.0)
        assert missing.reason is not None
        assert missing.reason.kind == "connect"
        assert missing.remaining is not None
        assert missing.remaining > timedelta()
