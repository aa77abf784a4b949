"""The one runtime of a process: started late, stopped in time, and made anew."""

from __future__ import annotations

import asyncio

import pytest
from support import Thread, exchange, run_python, threads_wait

import trunkline
from trunkline import _hub, runtime


def test_there_is_one_runtime() -> None:
    assert trunkline.Runtime() is runtime
    exchange()
    assert runtime.is_running


def test_a_shutdown_ends_every_wait_and_the_next_use_starts_anew() -> None:
    near, far = trunkline.pipe()
    listener = trunkline.listen("tcp://127.0.0.1:0")
    waiting = [Thread(near.recv, 1), Thread(listener.accept), Thread(far.makefile("rb").read)]
    threads_wait(3)
    runtime.shutdown()
    assert not runtime.is_running
    for thread in waiting:
        with pytest.raises(trunkline.ClosedError):
            thread.result()
    for thing in (near, far, listener):
        thing.close()
    exchange()
    assert runtime.is_running


def test_a_shutdown_ends_an_operation_under_way(silent_address: str) -> None:
    connecting = Thread(trunkline.connect, silent_address)
    threads_wait()
    runtime.shutdown()
    with pytest.raises(trunkline.Error) as caught:
        connecting.result()
    assert isinstance(caught.value, trunkline.ClosedError)


async def test_a_shutdown_ends_every_await(silent_address: str) -> None:
    near, far = trunkline.async_pipe()
    listener = await trunkline.async_listen("tcp://127.0.0.1:0")
    tasks = [
        asyncio.create_task(work)
        for work in (near.receive(), listener.accept(), trunkline.async_connect(silent_address))
    ]
    await asyncio.sleep(0)
    assert len(_hub.current()._places) == 2
    runtime.shutdown()
    for task in tasks:
        with pytest.raises(trunkline.ClosedError):
            await task
    await near.aclose()
    await far.aclose()
    await listener.aclose()
    near, far = trunkline.async_pipe()
    async with near, far:
        await near.send(b"anew")
        assert await far.receive() == b"anew"


def test_a_shutdown_without_a_runtime_is_no_error() -> None:
    runtime.shutdown()
    runtime.shutdown(timeout=0)
    runtime.shutdown(timeout=None)
    exchange()


def test_the_number_of_threads_can_be_chosen_before_the_start() -> None:
    run_python(
        "import os, trunkline\n"
        "trunkline.runtime.start(workers=3)\n"
        "assert trunkline.runtime.is_running\n"
        "assert len(os.listdir('/proc/self/task')) == 4\n"
        "try:\n"
        "    trunkline.runtime.start(workers=4)\n"
        "except trunkline.ConfigError as error:\n"
        "    assert 'runs already' in str(error)\n"
        "else:\n"
        "    raise SystemExit('started twice')\n"
        "trunkline.runtime.shutdown()\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )
    with pytest.raises(trunkline.ConfigError, match="workers"):
        runtime.start(workers=0)
