"""What tests use: waiting for what must happen, threads with results, interpreters of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import trunkline
from trunkline import _native

# How long a test waits for something that must happen, seconds. It is reached only by a failure.
PATIENCE = 20.0


def eventually(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Waits until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.001)


def live() -> dict[str, int]:
    """Native objects that are alive, but for queues: a thread keeps its own."""
    gc.collect()
    counts = _native.debug_counts()
    del counts["queues"]
    return counts


class Thread(threading.Thread):
    """A thread whose result, or exception, is handed over by :meth:`result`."""

    def __init__(self, work: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._work, self._args = work, args
        self._answer: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._work(*self._args)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the thread did not end"
        if self._error is not None:
            raise self._error
        return self._answer


def threads_wait(count: int = 1) -> None:
    """Waits until so many threads wait in the native module."""
    eventually(lambda: _native.threads_waiting() == count, f"{count} threads waiting")


def run_python(source: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own; warnings are errors there."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", source, *args],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if check:
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.stderr == ""
    return done


def exchange() -> None:
    """Uses all that a thread needs."""
    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        with trunkline.connect(listener.getsockname()) as near, listener.accept() as far:
            near.sendall(b"of its own")
            assert far.recv(100) == b"of its own"


def borrow() -> None:
    """Uses all that a pool needs."""
    with trunkline.Pool(object, max_size=1) as pool:
        with pool.connection() as connection:
            waiter = Thread(lambda: pool.putconn(pool.getconn()))
            eventually(lambda: pool.stats().waiting == 1)
        waiter.result()
        with pool.connection(timeout=0) as again:
            assert again is connection


async def async_exchange() -> None:
    """Uses all that a loop needs."""
    near, far = trunkline.async_pipe()
    async with near, far:
        reading = asyncio.create_task(far.receive())
        await asyncio.sleep(0)
        await near.send(b"of its own")
        assert await reading == b"of its own"


def exchange_and_tell(connection: Connection) -> None:
    """Work for another process."""
    exchange()
    asyncio.run(async_exchange())
    borrow()
    connection.send(_native.debug_counts()["streams"])


def in_child(work: Callable[[], None]) -> None:
    """Runs ``work`` in a forked child, which must end well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
