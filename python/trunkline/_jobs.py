"""Who takes the questions that native code asks of the program: a thread, several, or an event loop.

```
 native queue ──▶ dispatcher ──▶ workers     for threads; some are answered by the dispatcher itself
              └─▶ hub of the loop ──▶ tasks  for asyncio
```

The dispatcher and the workers are daemon threads of Python; no native thread ever calls the program.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from . import _hub, _native, _process
from ._wait import NO_DEADLINE
from ._workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._types import Event

# Threads that answer for a manager.
_WORKERS: Final = 16
# Questions that wait for one of them, or for their tasks to end: more are turned away.
WAITING: Final = 1024
# How long a close waits for the dispatcher's end, seconds.
_STOP_LIMIT: Final = 1.0


class ThreadJobs:
    """Takes questions in a thread of its own."""

    tag: Final = 0

    def __init__(self, name: str) -> None:
        self.queue = _process.new_queue()
        self._is_over = False
        self._dispatcher = threading.Thread(target=self._dispatch, name=name, daemon=True)
        self._dispatcher.start()

    def stop(self) -> None:
        """No more questions; those that are there are thrown away, and so have failed."""
        self.abandon()
        if threading.current_thread() not in (self._dispatcher, *self._others()):
            self._dispatcher.join(_STOP_LIMIT)

    def abandon(self) -> None:
        """Does the same without waiting."""
        self._is_over = True
        self.queue.wake()

    def _dispatch(self) -> None:
        while not self._is_over:
            for event in self.queue.wait(NO_DEADLINE, False):
                job = event[4]
                if isinstance(job, _native.Job):
                    self._take(job)
        self.queue.drain()
        self._end()

    def _others(self) -> Collection[threading.Thread]:
        """Threads that answer, too."""
        return ()

    def _take(self, job: _native.Job) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        """In the dispatcher, behind the last question."""


class WorkerJobs(ThreadJobs):
    """Has questions answered by workers, so many at a time."""

    def __init__(self, name: str) -> None:
        self._workers = Workers(name, _WORKERS, self._do_in_time)
        super().__init__(name)

    def _others(self) -> list[threading.Thread]:
        return self._workers.threads

    def _take(self, job: _native.Job) -> None:
        if self._workers.waiting() < WAITING:
            self._workers.submit(job)
        else:
            self._turn_away(job)

    def _end(self) -> None:
        self._workers.stop()

    def _do_in_time(self, job: _native.Job) -> None:
        if not self._is_over:
            self._do(job)

    def _do(self, job: _native.Job) -> None:
        raise NotImplementedError

    def _turn_away(self, job: _native.Job) -> None:
        """For one too many: thrown away, it has failed."""


class LoopJobs:
    """Takes questions in tasks of the loop that it was made on, so many at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._hub = _hub.current()
        self._tasks: set[asyncio.Task[None]] = set()
        self.queue = self._hub.queue
        self.tag = self._hub.next_tag()
        self._hub.handle(self.tag, self._take)

    def stop(self) -> None:
        """No more questions; what is under way is cancelled, and so has failed."""
        self._hub.unhandle(self.tag)
        for task in self._tasks:
            task.cancel()

    def abandon(self) -> None:
        """Does the same soon, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop)

    def _take(self, event: Event) -> None:
        job = event[4]
        if not isinstance(job, _native.Job):
            return
        if len(self._tasks) >= self._limit:
            self._turn_away(job)
            return
        task = self._loop.create_task(self._do(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, job: _native.Job) -> None:
        raise NotImplementedError

    def _turn_away(self, job: _native.Job) -> None:
        """For one too many: thrown away, it has failed."""
