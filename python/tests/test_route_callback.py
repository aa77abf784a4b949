"""The route callback: the program says where connections go, and the routes wherever it does not."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from support import PATIENCE, eventually

import trunkline
from trunkline import (
    REFUSE,
    Arrival,
    AsyncTcpConnectionManager,
    BackendConfig,
    EndpointConfig,
    ListenerConfig,
    ProbeConfig,
    RouteCallbackConfig,
    TcpConnectionManager,
    TcpManagerConfig,
    ToAddress,
)

CONFIG = TcpManagerConfig(
    listeners={"in": ListenerConfig(address="mem:py-in", probe=ProbeConfig(timeout=timedelta(hours=1)))},
    route_callback=RouteCallbackConfig(timeout=timedelta(hours=1)),
    default_backend="a",
    backends={name: BackendConfig(endpoints=[EndpointConfig(address=f"mem:py-to-{name}")]) for name in "ab"},
)


@pytest.fixture
def behind() -> Iterator[dict[str, trunkline.Listener]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(trunkline.listen(f"mem:py-to-{name}")) for name in "abc"}


def said(host: str) -> trunkline.Stream:
    stream = trunkline.connect("mem:py-in", timeout=PATIENCE)
    stream.settimeout(PATIENCE)
    stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return stream


def goes_to(listener: trunkline.Listener, host: str) -> None:
    with said(host), listener.accept() as server:
        server.settimeout(PATIENCE)
        assert server.recv(5) == b"GET /"


def is_reset(host: str) -> None:
    with said(host) as stream, pytest.raises(trunkline.ResetError):
        stream.recv(1)


def counted(outcome: str) -> float:
    return sum(
        metric.value
        for metric in trunkline.metrics()
        if metric.name == "trunkline_route_callback_total" and metric.labels == {"outcome": outcome}
    )


def answer(arrival: Arrival) -> str | ToAddress | trunkline.Refuse | None:
    assert (arrival.listener, arrival.protocol, arrival.alpn) == ("in", "http1", ())
    assert arrival.timeout == timedelta(hours=1)
    match arrival.host:
        case "c.example":
            return ToAddress("mem:py-to-c")
        case "refused.example":
            return REFUSE
        case "bad.example":
            raise LookupError("the callback of a test")
        case "wrong.example":
            return 7  # type: ignore[return-value]
        case "default.example":
            return None
    return "b"


def test_a_function_says_where_each_connection_goes(
    behind: dict[str, trunkline.Listener], caplog: pytest.LogCaptureFixture
) -> None:
    with TcpConnectionManager(CONFIG) as manager:
        manager.start()
        manager.on_route(answer)
        goes_to(behind["b"], "b.example")
        goes_to(behind["c"], "c.example")
        goes_to(behind["a"], "default.example")
        is_reset("refused.example")
        with caplog.at_level(logging.ERROR, "trunkline"):
            goes_to(behind["a"], "bad.example")
            goes_to(behind["a"], "wrong.example")
        failures = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
        assert failures[0] == "the callback of a test"
        assert failures[1].endswith("not 7")
        manager.on_route(None)
        goes_to(behind["a"], "b.example")
    with pytest.raises(trunkline.ClosedError):
        manager.on_route(answer)


async def test_a_coroutine_says_where_each_connection_goes(behind: dict[str, trunkline.Listener]) -> None:
    async def soon(arrival: Arrival) -> str | ToAddress | trunkline.Refuse | None:
        await asyncio.sleep(0)
        return answer(arrival)

    async with AsyncTcpConnectionManager(CONFIG) as manager:
        await manager.start()
        manager.on_route(soon)
        await asyncio.to_thread(goes_to, behind["b"], "b.example")
        await asyncio.to_thread(goes_to, behind["c"], "c.example")
        await asyncio.to_thread(is_reset, "refused.example")
        await asyncio.to_thread(goes_to, behind["a"], "bad.example")
        manager.on_route(answer)
        await asyncio.to_thread(goes_to, behind["b"], "b.example")
        manager.on_route(None)
        await asyncio.to_thread(goes_to, behind["a"], "b.example")


def late(config: TcpManagerConfig) -> TcpManagerConfig:
    timeout = timedelta(milliseconds=1)
    return TcpManagerConfig(
        listeners=config.listeners,
        route_callback=RouteCallbackConfig(timeout=timeout, max_pending=10, probe=False),
        default_backend="a",
        backends=config.backends,
    )


def test_a_function_that_hangs_is_not_waited_for(behind: dict[str, trunkline.Listener]) -> None:
    before, over = counted("timeout"), threading.Event()
    with TcpConnectionManager(late(CONFIG)) as manager:
        manager.start()
        manager.on_route(lambda _: "b" if over.wait(PATIENCE) else None)
        for _ in range(20):
            goes_to(behind["a"], "b.example")
        assert counted("timeout") == before + 20
        over.set()


async def test_a_coroutine_that_hangs_is_cancelled(behind: dict[str, trunkline.Listener]) -> None:
    cancelled = asyncio.Event()

    async def hang(_: Arrival) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with AsyncTcpConnectionManager(late(CONFIG)) as manager:
        await manager.start()
        manager.on_route(hang)
        async with asyncio.timeout(PATIENCE):
            # A question may be over before it is asked.
            while not cancelled.is_set():
                await asyncio.to_thread(goes_to, behind["a"], "b.example")
        manager.on_route(None)


async def test_a_drain_ends_a_question_that_is_not_answered() -> None:
    asked: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()

    async def hang(arrival: Arrival) -> None:
        asked.set_result(arrival)
        await asyncio.get_running_loop().create_future()

    async with AsyncTcpConnectionManager(CONFIG) as manager:
        await manager.start()
        manager.on_route(hang)
        with await asyncio.to_thread(said, "b.example"):
            async with asyncio.timeout(PATIENCE):
                arrival = await asked
            assert manager.inspect(arrival.id).state == "reaching"
            assert await manager.drain(timeout=0) == 1


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "trunkline-route"]


@pytest.mark.filterwarnings("ignore:unclosed")
def test_the_threads_end_with_the_manager_also_when_it_is_forgotten(
    behind: dict[str, trunkline.Listener],
) -> None:
    eventually(lambda: threads() == [])
    manager = TcpConnectionManager(CONFIG)
    manager.start()
    manager.on_route(answer)
    goes_to(behind["b"], "b.example")
    assert len(threads()) == 2
    manager.on_route(answer)
    eventually(lambda: len(threads()) == 1)
    del manager
    gc.collect()
    eventually(lambda: threads() == [])
