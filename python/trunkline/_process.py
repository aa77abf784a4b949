"""What is the process's: forks, the end of the interpreter, and every queue that somebody may wait on."""

from __future__ import annotations

import atexit
import gc
import os
import time
import weakref
from collections.abc import Callable

from . import _native

# An exit waits no longer than this for threads of ours, seconds.
_EXIT_LIMIT = 1.0

_queues: weakref.WeakSet[_native.Queue] = weakref.WeakSet()
_exiting = False
_in_child: list[Callable[[], None]] = []
_at_exit: list[Callable[[], None]] = []


def new_queue(max_pending: int = 0) -> _native.Queue:
    """A queue whose waiters are woken when the runtime ends."""
    queue = _native.Queue(max_pending)
    _queues.add(queue)
    return queue


def wake_all() -> None:
    """Makes whoever waits look around."""
    for queue in list(_queues):
        queue.wake()


def is_exiting() -> bool:
    """Whether the interpreter has begun to end."""
    return _exiting


def after_fork(forget: Callable[[], None]) -> None:
    """Has ``forget`` called in every forked child, to leave the parent's objects alone."""
    _in_child.append(forget)


def before_exit(stop: Callable[[], None]) -> None:
    """Has ``stop`` called when the interpreter begins to end."""
    _at_exit.append(stop)


def _forget() -> None:
    global _queues
    _queues = weakref.WeakSet()
    for forget in _in_child:
        forget()


def _exit() -> None:
    global _exiting
    deadline = time.monotonic() + _EXIT_LIMIT
    for stop in _at_exit:
        stop()
    # A thread that has given the interpreter up would ask for it back when it is gone, and be torn down
    # in the middle of native code. Those that have are called back, and none does so any more; nor may
    # a collection, which can start in native code, run destructors of Python there.
    gc.disable()
    _exiting = True
    _native.begin_exit()
    while _native.threads_detached() and time.monotonic() < deadline:
        wake_all()
        time.sleep(0.001)
    if _native.is_running():
        try:
            _native.shutdown(int(deadline * 1e9))
        except TimeoutError:
            pass  # Its threads end with the process.


os.register_at_fork(after_in_child=_forget)
atexit.register(_exit)
