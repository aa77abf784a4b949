"""What every test stands on: addresses of each kind, connected pairs, and no object left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from support import PATIENCE, eventually, live

import trunkline

KINDS = ("pipe", "tcp", "tls", "unix", "mem")

_names = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    before = live()
    yield
    # pytest itself would hold the streams of a test until later.
    request.node.funcargs.clear()

    def none_is_left() -> bool:
        return all(count <= before[what] for what, count in live().items())

    eventually(none_is_left, f"going back from {live()} to {before}")


@pytest.fixture
def address_of(tmp_path: Path) -> Callable[[str], str]:
    """Makes an address to listen on, new each time."""

    def make(kind: str) -> str:
        number = next(_names)
        return {
            "tcp": "tcp://127.0.0.1:0",
            "tls": "tls://127.0.0.1:0",
            "unix": f"unix:{tmp_path}/{number}.sock",
            "mem": f"mem:test-{os.getpid()}-{number}",
        }[kind]

    return make


@pytest.fixture
def silent_address() -> Iterator[str]:
    """An address that neither accepts nor refuses: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of stream."""
    return str(request.param)


@pytest.fixture
def pair(kind: str, address_of: Callable[[str], str]) -> Iterator[tuple[trunkline.Stream, trunkline.Stream]]:
    """Two connected ends of each kind."""
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            near, far = trunkline.pipe()
        else:
            tls = Authority().both_sides() if kind == "tls" else None
            listener = stack.enter_context(trunkline.listen(address_of(kind), tls=tls))
            near = trunkline.connect(listener.getsockname(), tls=tls)
            far = listener.accept()
        for stream in (near, far):
            stream.settimeout(PATIENCE)
            stack.enter_context(stream)
        yield near, far
