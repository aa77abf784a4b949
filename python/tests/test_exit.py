"""The interpreter ends in time and with its own exit code, whatever is under way."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import run_python

# Processes of each kind; a crash at exit shows in a few of a hundred.
PROCESSES = int(os.environ.get("TRUNKLINE_EXIT_PROCESSES", "12"))

AWAITS = """
import asyncio, sys, trunkline

async def main():
    streams = [end for _ in range(100) for end in trunkline.async_pipe()]
    listener = await trunkline.async_listen("tcp://127.0.0.1:0")
    streams += [await trunkline.async_connect(listener.getsockname()) for _ in range(20)]
    accepted = [await listener.accept() for _ in range(20)]
    tasks = [asyncio.ensure_future(stream.receive()) for stream in streams]
    tasks.append(asyncio.ensure_future(listener.accept()))
    while len(trunkline._hub.current()._places) < len(tasks):
        await asyncio.sleep(0)
    return streams, accepted, listener, tasks
"""

ENDINGS = {
    "with the loop closed": "kept = asyncio.run(main())",
    "with the loop left open": """
loop = asyncio.new_event_loop()
kept = loop.run_until_complete(main())
[task.cancel() for task in kept[3]]
loop.run_until_complete(asyncio.gather(*kept[3], return_exceptions=True))
loop.close()
""",
    "by an exit within the loop": """
async def exits():
    kept = await main()
    sys.exit(0)

asyncio.run(exits())
""",
    "with the loop in a daemon thread": """
import threading
ready = threading.Event()

async def stays():
    kept = await main()
    ready.set()
    await asyncio.gather(*kept[3])

threading.Thread(target=asyncio.run, args=(stays(),), daemon=True).start()
ready.wait()
""",
}

THREADS = """
import threading, time, trunkline

pairs = [trunkline.pipe() for _ in range(40)]

def read(stream):
    try:
        while stream.recv(100):
            pass
    except trunkline.ClosedError:
        pass
    stream.close()

threads = [threading.Thread(target=read, args=(far,), daemon={daemon}) for _, far in pairs]
[thread.start() for thread in threads]
while trunkline._native.threads_waiting() < len(threads):
    time.sleep(0.001)
"""

# Leaked on purpose: what an exit finds is not to be warned of here.
QUIET = "import warnings; warnings.simplefilter('ignore', ResourceWarning)\n"


def run_many(source: str) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(run_python, [QUIET + source] * PROCESSES):
            pass


@pytest.mark.parametrize("ending", ENDINGS)
def test_awaits_under_way_do_not_disturb_the_end(ending: str) -> None:
    run_many(AWAITS + ENDINGS[ending])


def test_daemon_threads_that_wait_do_not_disturb_the_end() -> None:
    run_many(THREADS.format(daemon=True))


def test_the_end_waits_for_other_threads_as_always() -> None:
    closer = """
def write():
    for near, _ in pairs:
        near.sendall(b"x" * 1000)
        near.close()

threading.Thread(target=write).start()
"""
    run_many(THREADS.format(daemon=False) + closer)


def test_a_pool_that_is_open_does_not_disturb_the_end() -> None:
    run_python(
        QUIET + "import time, trunkline\n"
        "pool = trunkline.KeyedPool(on_close=lambda *_: time.sleep(0.01))\n"
        "for number in range(100): pool.insert(number, number)\n"
        "pool.clear()\n"
        "pool.insert('a', 1)\n"
    )


POOLS = """
import asyncio, sys, threading, time, trunkline
"""

POOL_ENDINGS = {
    "with threads in line": """
pool = trunkline.Pool(object, max_size=1, min_idle=1)
lease = pool.acquire()
threads = [threading.Thread(target=pool.acquire, daemon=True) for _ in range(20)]
[thread.start() for thread in threads]
while pool.stats().waiting < 20: time.sleep(0.001)
""",
    "with a connect under way": """
pool = trunkline.Pool(lambda: time.sleep(60), max_size=4)
threads = [threading.Thread(target=pool.acquire, daemon=True) for _ in range(4)]
[thread.start() for thread in threads]
while pool.stats().connecting < 2: time.sleep(0.001)
""",
    "with threads that come and go": """
pool = trunkline.Pool(object, max_size=2)
def work():
    try:
        while True:
            with pool.connection():
                time.sleep(0)
    except trunkline.PoolClosed:
        pass
threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
[thread.start() for thread in threads]
while pool.stats().acquired < 200: time.sleep(0.001)
""",
    "with tasks in line": """
async def connect():
    await asyncio.sleep(0)
    return object()

async def main():
    pool = trunkline.AsyncPool(connect, max_size=1)
    lease = await pool.acquire()
    tasks = [asyncio.ensure_future(pool.acquire()) for _ in range(200)]
    while pool.stats().waiting < 200: await asyncio.sleep(0)
    return pool, lease, tasks

kept = asyncio.run(main())
""",
    "with a loop in a daemon thread": """
ready = threading.Event()

async def connect():
    return object()

async def stays():
    pool = trunkline.AsyncPool(connect, max_size=1)
    lease = await pool.acquire()
    tasks = [asyncio.ensure_future(pool.acquire()) for _ in range(20)]
    while pool.stats().waiting < 20: await asyncio.sleep(0)
    ready.set()
    await asyncio.gather(*tasks)

threading.Thread(target=asyncio.run, args=(stays(),), daemon=True).start()
ready.wait()
""",
}


@pytest.mark.parametrize("ending", POOL_ENDINGS)
def test_a_checkout_pool_that_is_open_does_not_disturb_the_end(ending: str) -> None:
    run_many(POOLS + POOL_ENDINGS[ending])


def test_an_exit_code_is_kept() -> None:
    done = run_python(QUIET + AWAITS + "asyncio.run(main()); sys.exit(7)", check=False)
    assert (done.returncode, done.stderr) == (7, "")


def test_importing_starts_no_thread() -> None:
    run_python(
        "import os, trunkline\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "assert not trunkline.runtime.is_running"
    )


def test_a_destructor_at_the_very_end_is_harmless() -> None:
    run_python(
        QUIET + "import sys, trunkline\n"
        "class Late:\n"
        "    def __init__(self): self.ends = trunkline.pipe()\n"
        "    def __del__(self):\n"
        "        try:\n"
        "            self.ends[0].recv(1)\n"
        "        except trunkline.Error:\n"
        "            pass\n"
        "sys.late = Late()"
    )
