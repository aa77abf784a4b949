"""The two faces have the same names and the same parameters, but for what this table says."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import trunkline

PAIRS: list[tuple[type, type]] = [
    (trunkline.MemoryProxy, trunkline.AsyncMemoryProxy),
    (trunkline.Stream, trunkline.AsyncStream),
    (trunkline.Listener, trunkline.AsyncListener),
    (trunkline.TcpConnectionManager, trunkline.AsyncTcpConnectionManager),
    (trunkline.Datagram, trunkline.AsyncDatagram),
    (trunkline.UdpConnectionManager, trunkline.AsyncUdpConnectionManager),
    (trunkline.KeyedPool, trunkline.AsyncKeyedPool),
    (trunkline.Agent, trunkline.AsyncAgent),
    (trunkline.Hub, trunkline.AsyncHub),
    (trunkline.Pool, trunkline.AsyncPool),
    (trunkline.Channel, trunkline.AsyncChannel),
    (trunkline.Call, trunkline.AsyncCall),
    (trunkline.Interceptor, trunkline.AsyncInterceptor),
]

FUNCTIONS = ["bind", "connect", "listen", "pipe"]

# What asyncio and anyio call it.
TWINS = {
    "close": "aclose",
    "recv": "receive",
    "recv_into": "receive_into",
    "sendall": "send",
    "shutdown": "send_eof",
    "makefile": "streams",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}

# A loop has timeouts of its own, and `send` of asyncio sends all.
ONLY_FOR_THREADS = {"settimeout", "gettimeout", "send"}
# `async for` over a stream.
ONLY_FOR_LOOPS = {"__aiter__", "__anext__"}

# The shapes of a socket and of anyio differ there.
OTHER_PARAMETERS = {"recv", "recv_into", "sendall", "shutdown", "makefile", "close"}

# Async, although their twin never waits, to fit anyio's protocols.
SPECIAL = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__aiter__", "__anext__"}


def surface(cls: type) -> dict[str, Any]:
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name: member for name, member in members if not name.startswith("_") or name in SPECIAL}


def parameters(function: Any) -> list[tuple[str, object, object]]:
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


@pytest.mark.parametrize(("sync", "twin"), PAIRS)
def test_both_faces_of_a_class_have_the_same_names(sync: type, twin: type) -> None:
    # A call sends whole messages under either face.
    is_call = sync is trunkline.Call
    names = {name for name in surface(sync) if is_call or name not in ONLY_FOR_THREADS}
    expected = {TWINS.get(name, name) for name in names}
    assert expected == set(surface(twin)) - ONLY_FOR_LOOPS


@pytest.mark.parametrize(("sync", "twin"), PAIRS)
def test_both_faces_of_a_class_take_the_same_arguments(sync: type, twin: type) -> None:
    assert parameters(sync.__init__) == parameters(twin.__init__)  # type: ignore[misc]
    theirs = surface(twin)
    for name, member in surface(sync).items():
        if name not in ONLY_FOR_THREADS | OTHER_PARAMETERS:
            assert parameters(member) == parameters(theirs[TWINS.get(name, name)]), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_faces_of_a_function_take_the_same_arguments(name: str) -> None:
    sync, twin = getattr(trunkline, name), getattr(trunkline, f"async_{name}")
    assert parameters(sync) == parameters(twin)


def test_every_class_and_function_for_threads_has_a_twin() -> None:
    names = set(trunkline.__all__)
    twins = {name for name in names if name.startswith(("Async", "async_"))}
    assert twins == {twin.__name__ for _, twin in PAIRS} | {f"async_{name}" for name in FUNCTIONS}


@pytest.mark.parametrize("name", trunkline.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(trunkline, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for member, function in surface(thing).items():
            assert member in SPECIAL or inspect.getdoc(function), f"{name}.{member}"
