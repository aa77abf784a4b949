"""Many awaits at once: few threads, and nothing left after a storm of cancellations."""

from __future__ import annotations

import asyncio
import gc
import os
import random

import pytest
from support import PATIENCE

import trunkline
from trunkline import _hub, _native


def os_threads() -> int:
    return len(os.listdir("/proc/self/task"))


async def test_five_thousand_awaits_need_no_thread_of_their_own() -> None:
    pairs = [trunkline.async_pipe() for _ in range(2500)]
    before = os_threads()
    tasks = [asyncio.create_task(end.receive()) for pair in pairs for end in pair]
    while len(_hub.current()._places) < 5000:
        await asyncio.sleep(0)
    assert os_threads() <= before + 1
    for near, far in pairs:
        await near.send(b"to far")
        await far.send(b"to near")
    assert set(await asyncio.gather(*tasks)) == {b"to far", b"to near"}
    assert os_threads() <= before + 1
    for near, far in pairs:
        await near.aclose()
        await far.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_of_cancellations_leaves_nothing(seed: int, tmp_path: os.PathLike[str]) -> None:
    chance = random.Random(seed)
    before = _native.debug_counts()
    addresses = ["tcp://127.0.0.1:0", f"unix:{tmp_path}/storm.sock", f"mem:storm-{seed}"]
    for address in addresses:
        async with await trunkline.async_listen(address) as listener:
            await storm(listener, chance)
    gc.collect()
    hub = _hub.current()
    assert not hub._results
    assert not hub._places
    # Connects that were done when they were cancelled are still to be told, and are closed then.
    async with asyncio.timeout(PATIENCE):
        while any(_native.debug_counts()[what] > before[what] for what in ("operations", "streams")):
            await asyncio.sleep(0)


async def storm(listener: trunkline.AsyncListener, chance: random.Random) -> None:
    async def accept_one() -> None:
        async with await listener.accept() as stream:
            async for data in stream:
                await stream.send(data)

    async def talk() -> None:
        async with await trunkline.async_connect(listener.getsockname()) as stream:
            while True:
                await stream.send(b"x" * chance.randrange(1, 100_000))
                await stream.receive()

    tasks = [asyncio.create_task(work()) for work in [accept_one, talk] * 100]
    chance.shuffle(tasks)
    for task in tasks:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        task.cancel()
    for answer in await asyncio.gather(*tasks, return_exceptions=True):
        assert answer is None or isinstance(answer, asyncio.CancelledError | trunkline.ResetError), answer


def test_a_thousand_pipes_leave_descriptors_and_threads_where_they_were() -> None:
    def open_and_close() -> None:
        near, far = trunkline.pipe()
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        near.close()
        far.close()
        with trunkline.listen("tcp://127.0.0.1:0") as listener:
            with trunkline.connect(listener.getsockname()), listener.accept():
                pass

    open_and_close()
    before = len(os.listdir("/proc/self/fd")), os_threads()
    for _ in range(1000):
        open_and_close()
    assert (len(os.listdir("/proc/self/fd")), os_threads()) == before
