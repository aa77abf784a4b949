"""The checkout pool of threads: who waits, and who does the jobs.

```
 native queue ──▶ dispatcher ──┬─▶ waiting threads, by tag
                               └─▶ workers: connects; checks, resets and closes
```

The dispatcher and the workers are daemon threads of Python. The dispatcher runs no code of the user's; the
workers do nothing else. A release serves the next in line itself, past the queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from . import _errors, _native
from ._checkout import CHECK, CLOSE, CONNECT, Core, Hooks, Targets, Timeout, deadline_of
from ._stream import Stream
from ._wait import NO_DEADLINE
from ._workers import Workers

if TYPE_CHECKING:
    from ._checkout_config import Figures
    from ._types import Event

C = TypeVar("C")

# The longest time between two looks for signals: one that another thread takes wakes nobody.
_SLICE: Final = 0.1
# Threads for checks, resets and closes.
_MENDERS: Final = 2
# How long the last who needs the dispatcher waits for its end, seconds.
_STOP_LIMIT: Final = 1.0


class _LentStream(Stream):
    """A stream that is its pool's: forgetting it closes nothing."""

    __slots__ = ()

    def __del__(self) -> None:
        pass


_LentStream.__qualname__ = _LentStream.__name__ = "Stream"


class _Wait:
    """One thread's wait for one event."""

    __slots__ = ("_arrived", "_event")

    def __init__(self) -> None:
        self._arrived = threading.Lock()
        self._arrived.acquire()
        self._event: Event | None = None

    def deliver(self, event: Event) -> None:
        self._event = event
        self._arrived.release()

    def result(self) -> Event:
        """Waits for the event; what a signal handler raises is raised here."""
        if threading.current_thread() is threading.main_thread():
            while not self._arrived.acquire(timeout=_SLICE):
                pass
        else:
            self._arrived.acquire()
        event, self._event = self._event, None
        assert event is not None
        return event


class ThreadCore(Core[C], Generic[C]):
    """The core of a :class:`trunkline.Pool`."""

    lent_stream: Callable[[_native.Stream], Any] = _LentStream
    own_stream = Stream

    def __init__(self, figures: Figures, supply: Hooks | Targets) -> None:
        super().__init__(figures, supply)
        self._waits: dict[int, _Wait] = {}
        # Held while a wait begins, and while the dispatcher looks whether there is one.
        self._beginning = threading.Lock()
        self._is_dispatched = True
        self._final = 0
        name = f"trunkline-pool-{figures.name}"
        self._connecters = Workers(name, figures.max_connecting, self._do)
        self._menders = Workers(name, _MENDERS, self._do)
        self._dispatcher = threading.Thread(target=self._dispatch, name=name, daemon=True)
        self._dispatcher.start()

    def wait(self, timeout: Timeout, holder: str) -> _native.Lease:
        """A connection, once it is this caller's turn."""
        started = time.monotonic()
        deadline = deadline_of(timeout)
        tag, wait = self._begin()
        try:
            got = self.native.acquire(deadline, holder, tag)
            if isinstance(got, _native.Lease):
                return got
            event = self._result(wait, got)
        except _errors.Error as error:
            raise self.explained(error, started) from error.__cause__
        finally:
            # An event that comes now is thrown away, and what it lends goes back with it.
            self._waits.pop(tag, None)
        return self.lease_of(event, started)

    def result(self, start: Callable[[int], _native.Operation]) -> Event:
        """Starts what ends with an event, and waits for that."""
        tag, wait = self._begin()
        try:
            return self._result(wait, start(tag))
        finally:
            self._waits.pop(tag, None)

    def _begin(self) -> tuple[int, _Wait]:
        tag, wait = self.next_tag(), _Wait()
        with self._beginning:
            if not self._is_dispatched:
                raise _errors.closed("pool", "acquire")
            self._waits[tag] = wait
        return tag, wait

    def _result(self, wait: _Wait, operation: _native.Operation) -> Event:
        try:
            return wait.result()
        except BaseException:
            operation.cancel()
            raise

    def hand(self, event: Event) -> None:
        wait = self._waits.pop(event[0], None)
        if wait is not None:
            wait.deliver(event)
        elif event[0] == self._final:
            self.end()

    def is_own_thread(self) -> bool:
        """Whether a hook asks, or the dispatcher."""
        threads = [self._dispatcher, *self._connecters.threads, *self._menders.threads]
        return threading.current_thread() in threads

    def abandon(self) -> None:
        """Closes without waiting; the threads end with the last connection."""
        if self._final or self.is_over:
            return
        self._final = self.next_tag()
        try:
            self.native.close(NO_DEADLINE, self._final)
        except _errors.Error:
            # The runtime has ended, and the pool with it.
            self.end()

    def end(self) -> None:
        """Ends the threads: there is nothing more to close."""
        self.is_over = True
        self.queue.wake()
        if not self.is_own_thread():
            self._dispatcher.join(_STOP_LIMIT)

    def _dispatch(self) -> None:
        while self._goes_on():
            self._take(self.queue.wait(NO_DEADLINE, False))
        # A runtime that ends asks for its connections to be closed, and that may be here still.
        self._take(self.queue.drain())
        # Only here, where jobs are submitted, is it certain that none comes after the last word.
        self._connecters.stop()
        self._menders.stop()
        # Whoever closes the pool waits for this thread, and so for the closes.
        self._menders.join(_STOP_LIMIT)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            job = event[4]
            if isinstance(job, _native.Job):
                (self._connecters if job.what == CONNECT else self._menders).submit(job)
            else:
                self.hand(event)

    def _goes_on(self) -> bool:
        with self._beginning:
            # Whoever closes an empty pool waits for its event all the same.
            self._is_dispatched = not self.is_over or bool(self._waits)
            return self._is_dispatched

    def _do(self, job: _native.Job) -> None:
        hooks, what = self.hooks, job.what
        assert hooks is not None, "a pool of streams has no jobs"
        if what == CONNECT:
            self._connect(hooks, job)
        elif what == CLOSE:
            self._close(hooks, self.connections.pop(job.about))
            job.done(0)
        else:
            self._mend(hooks.check if what == CHECK else hooks.reset, job)

    def _connect(self, hooks: Hooks, job: _native.Job) -> None:
        try:
            connection = hooks.connect()
        except BaseException as error:
            self.fail(job, error)
        else:
            if not self.add(job, connection):
                self._close(hooks, connection)

    def _mend(self, hook: Callable[[C], object] | None, job: _native.Job) -> None:
        assert hook is not None, "nobody is asked for what it cannot do"
        connection = self.connections.get(job.about)
        if connection is None:
            return  # The job was given up, and the connection is closed by now.
        try:
            if hook(connection) is False:
                raise ConnectionError("the hook said False")
        except BaseException as error:
            self.fail(job, error)
        else:
            job.done(0)

    def _close(self, hooks: Hooks, connection: C) -> None:
        try:
            self.close_connection(hooks, connection)
        except BaseException as error:
            self.log_close(error)
