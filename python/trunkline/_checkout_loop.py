"""The checkout pool of an event loop: who waits, and the tasks that do the jobs.

```
 native queue ──▶ descriptor readable ──▶ futures of those who wait, by tag
                                     └──▶ a task for each job
```

All of it happens on the loop in which the pool was opened. A release there serves the next in line at once,
past the queue and its descriptor.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _errors, _native, _process
from ._async_stream import AsyncStream
from ._checkout import CHECK, CLOSE, CONNECT, Core, Hooks, Targets, Timeout, deadline_of
from ._wait import NO_DEADLINE

if TYPE_CHECKING:
    from ._checkout_config import Figures
    from ._types import Event

C = TypeVar("C")


class _LentStream(AsyncStream):
    """A stream that is its pool's: forgetting it closes nothing."""

    __slots__ = ()

    def __del__(self) -> None:
        pass


_LentStream.__qualname__ = _LentStream.__name__ = "AsyncStream"


class LoopCore(Core[C], Generic[C]):
    """The core of a :class:`trunkline.AsyncPool`."""

    lent_stream: Callable[[_native.Stream], Any] = _LentStream
    own_stream = AsyncStream

    def __init__(self, figures: Figures, supply: Hooks | Targets) -> None:
        self.loop = asyncio.get_running_loop()
        super().__init__(figures, supply)
        self._waits: dict[int, asyncio.Future[Event]] = {}
        self._final = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._fd: int | None = self.queue.fileno()
        self.loop.add_reader(self._fd, self._drain)

    def check_loop(self) -> None:
        """A pool's connections are its loop's."""
        if asyncio.get_running_loop() is not self.loop:
            raise _errors.invalid(f"pool {self.figures.name!r} belongs to another event loop")

    async def wait(self, timeout: Timeout, holder: str) -> _native.Lease:
        """A connection, once it is this caller's turn."""
        started = time.monotonic()
        deadline = deadline_of(timeout)
        tag, future = self._await_event()
        try:
            got = self.native.acquire(deadline, holder, tag)
            if isinstance(got, _native.Lease):
                return got
            event = await self._result(future, got)
        except _errors.Error as error:
            raise self.explained(error, started) from error.__cause__
        finally:
            self._waits.pop(tag, None)
        return self.lease_of(event, started)

    async def result(self, start: Callable[[int], _native.Operation]) -> Event:
        """Starts what ends with an event, and waits for that."""
        tag, future = self._await_event()
        try:
            return await self._result(future, start(tag))
        finally:
            self._waits.pop(tag, None)

    def _await_event(self) -> tuple[int, asyncio.Future[Event]]:
        if self._fd is None:
            raise _errors.closed("pool", "acquire")
        tag, future = self.next_tag(), self.loop.create_future()
        self._waits[tag] = future
        return tag, future

    async def _result(self, future: asyncio.Future[Event], operation: _native.Operation) -> Event:
        try:
            return await future
        except BaseException:
            operation.cancel()
            if future.done() and not future.cancelled():
                # It came in the moment of the cancel.
                self._give_back(future.result())
            raise

    def hand(self, event: Event) -> None:
        if asyncio._get_running_loop() is self.loop:
            self._deliver(event)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._deliver, event)
        # Else nobody waits any more, and what the event lends goes back with it.

    def _deliver(self, event: Event) -> None:
        future = self._waits.pop(event[0], None)
        if future is not None and not future.done():
            future.set_result(event)
        elif event[0] == self._final:
            self.end()
        else:
            self._give_back(event)

    def _give_back(self, event: Event) -> None:
        lease = event[4]
        if isinstance(lease, _native.Lease):
            following = lease.release(False)
            if following is not None:
                self._deliver(following)

    def abandon(self) -> None:
        """Closes without waiting; the loop is watched no more after the last connection."""
        if self._final or self.is_over:
            return
        if self.loop.is_closed():
            # Nobody does its jobs any more.
            self.is_over = True
            self.native.free()
            return
        self._final = self.next_tag()
        try:
            self.native.close(NO_DEADLINE, self._final)
        except _errors.Error:
            # The runtime has ended, and the pool with it.
            self.end()

    def end(self) -> None:
        """Leaves the loop, as soon as nobody waits: there is nothing more to close."""
        self.is_over = True
        self._rest()

    async def jobs_done(self) -> None:
        """Waits for the jobs that are under way, but for one that asks."""
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    def _rest(self) -> None:
        # Whoever closes an empty pool waits for its event all the same.
        if self._fd is None or not self.is_over or self._waits:
            return
        fd, self._fd = self._fd, None
        if not self.loop.is_closed():
            self.loop.remove_reader(fd)
            # A runtime that ends asks for its connections to be closed, and that may be here still.
            self._take(self.queue.drain())

    def _drain(self) -> None:
        if _process.is_exiting():
            # Only a daemon thread still runs a loop now. It ends where it waits.
            self.loop.remove_reader(self.queue.fileno())
            return
        self._take(self.queue.drain())
        self._rest()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            job = event[4]
            if isinstance(job, _native.Job):
                task = self.loop.create_task(self._do(job))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._deliver(event)

    async def _do(self, job: _native.Job) -> None:
        hooks, what = self.hooks, job.what
        assert hooks is not None, "a pool of streams has no jobs"
        if what == CONNECT:
            await self._connect(hooks, job)
        elif what == CLOSE:
            await self._close(hooks, self.connections.pop(job.about))
            job.done(0)
        else:
            await self._mend(hooks.check if what == CHECK else hooks.reset, job)

    async def _connect(self, hooks: Hooks, job: _native.Job) -> None:
        try:
            async with asyncio.timeout(self.figures.connect_timeout):
                connection = await _finished(hooks.connect())
        except BaseException as error:
            self._fail(job, error)
        else:
            if not self.add(job, connection):
                await self._close(hooks, connection)

    async def _mend(self, hook: Callable[[C], object] | None, job: _native.Job) -> None:
        assert hook is not None, "nobody is asked for what it cannot do"
        connection = self.connections.get(job.about)
        if connection is None:
            return  # The job was given up, and the connection is closed by now.
        try:
            async with asyncio.timeout(self.figures.check_timeout):
                if await _finished(hook(connection)) is False:
                    raise ConnectionError("the hook said False")
        except BaseException as error:
            self._fail(job, error)
        else:
            job.done(0)

    async def _close(self, hooks: Hooks, connection: C) -> None:
        try:
            async with asyncio.timeout(self.figures.close_timeout):
                await _finished(self.close_connection(hooks, connection))
        except Exception as error:
            self.log_close(error)

    def _fail(self, job: _native.Job, error: BaseException) -> None:
        self.fail(job, error)
        if not isinstance(error, Exception):
            # The loop ends, or the program.
            raise error


async def _finished(answer: Any) -> Any:
    """What a hook returns, or what that awaitable does."""
    return await answer if inspect.isawaitable(answer) else answer
