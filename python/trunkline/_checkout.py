"""What checkout pools for threads and for asyncio share: nothing here waits.

```
 Pool, AsyncPool ──▶ core ──▶ native pool: who is served, with which number
   lease ◀───────────┘  └──▶ connections by number, and the jobs that make, check, reset and close them
```

The native pool knows numbers. What they stand for stays here, with the jobs that it asks for. A native lease
goes back by itself when it is forgotten, so that no exception between two lines can lose a connection.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import os
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from . import _errors, _native, _process
from ._tls import native_of
from ._types import Never
from ._wait import NO_DEADLINE, deadline_after

if TYPE_CHECKING:
    from ._checkout_config import Figures
    from ._tls import Tls
    from ._types import Event

C = TypeVar("C")

# A wait of a call: seconds, without end, or as long as the pool says.
Timeout: TypeAlias = float | Never | None

CONNECT: Final = 1
CHECK: Final = 2
CLOSE: Final = 4

# Failures of hooks that are remembered, to be the causes of what waiters are told.
_REMEMBERED: Final = 8
# Places in the program that are remembered with their text.
_PLACES: Final = 4096

_log = logging.getLogger("trunkline")

_places: dict[tuple[int, int], tuple[CodeType, str]] = {}


def place(frame: FrameType) -> str:
    """Where a frame is in the program, such as ``"app.py:12"``."""
    code = frame.f_code
    key = (id(code), frame.f_lasti)
    # The entry keeps its code, so that no other gets the same id.
    known = _places.get(key)
    if known is not None:
        return known[1]
    if len(_places) >= _PLACES:
        _places.clear()
    text = f"{code.co_filename}:{frame.f_lineno}"
    _places[key] = (code, text)
    return text


def deadline_of(timeout: Timeout) -> int | None:
    """As the native pool takes it: ``None`` is its own time limit."""
    if timeout is None:
        return None
    if isinstance(timeout, Never):
        return NO_DEADLINE
    if not timeout >= 0:
        raise _errors.invalid("timeout: must not be negative")
    return deadline_after(timeout)


def end_of(timeout: Timeout) -> int:
    """A deadline, where ``None`` has no end."""
    return NO_DEADLINE if timeout is None else deadline_of(timeout) or NO_DEADLINE


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who makes a pool's connections, and looks after them."""

    connect: Callable[[], Any]
    check: Callable[[Any], Any] | None
    reset: Callable[[Any], Any] | None
    close: Callable[[Any], Any] | None

    def abilities(self) -> int:
        checks = _native.POOL_CHECKS if self.check is not None else 0
        resets = _native.POOL_RESETS if self.reset is not None else 0
        return checks | resets


@dataclass(frozen=True, slots=True)
class Targets:
    """Addresses that Trunkline connects to, and what secures them."""

    addresses: list[str]
    tls: _native.Tls | None


def addresses_of(addresses: str | Sequence[str]) -> list[str]:
    """One address or several as a list."""
    listed = [addresses] if isinstance(addresses, str) else addresses
    if not isinstance(listed, Sequence) or not all(isinstance(address, str) for address in listed):
        raise TypeError("an address or a list of addresses is expected")
    return list(listed)


def supply(
    connect: Any,
    check: Callable[[Any], Any] | None,
    reset: Callable[[Any], Any] | None,
    close: Callable[[Any], Any] | None,
    tls: Tls | None,
) -> Hooks | Targets:
    """Who makes the connections: hooks, or Trunkline, to addresses."""
    if callable(connect):
        if tls is not None:
            raise _errors.invalid("tls: is for addresses; a function secures its connections by itself")
        return Hooks(connect, check, reset, close)
    try:
        addresses = addresses_of(connect)
    except TypeError:
        raise _errors.invalid("connect: must be callable, an address or a list of addresses") from None
    if check is not None or reset is not None or close is not None:
        raise _errors.invalid("check, reset and close are for connections that connect() makes")
    return Targets(addresses, native_of(tls))


class Core(Generic[C]):
    """The native half of an open pool, and the connections that it knows by number."""

    # What a stream is, while it is lent and for good.
    lent_stream: Callable[[_native.Stream], Any]
    own_stream: Callable[[_native.Stream], Any]

    def __init__(self, figures: Figures, supply: Hooks | Targets) -> None:
        self.figures = figures
        self.hooks = supply if isinstance(supply, Hooks) else None
        # A connection that holds a close job and another has two places; a caller in line has one.
        self.queue = _process.new_queue((1 << 32) - 1)
        if isinstance(supply, Hooks):
            self.native = _native.Pool(figures.document, self.queue, 0, supply.abilities())
        else:
            self.native = _native.Pool.of_streams(figures.document, supply.addresses, self.queue, supply.tls)
        self.try_acquire = self.native.try_acquire
        self.is_over = False
        self.connections: dict[int, C] = {}
        # What `getconn` lent, by the identity of the connection, which is kept so that it stays unique.
        self.lent: dict[int, tuple[_native.Lease, C]] = {}
        self._numbers = itertools.count(1)
        self._tags = itertools.count(1)
        self._failures: dict[str, BaseException] = {}
        self._process = os.getpid()
        _cores.add(self)

    def is_inherited(self) -> bool:
        """Whether it is another process's."""
        return self._process != os.getpid()

    def next_tag(self) -> int:
        """A tag that no event has yet; jobs have 0."""
        return next(self._tags)

    def connection_of(self, lease: _native.Lease) -> C:
        """What is lent."""
        if self.hooks is not None:
            return self.connections[lease.connection]
        return self.lent_stream(lease.stream())  # type: ignore[no-any-return]

    def release(self, lease: _native.Lease, connection: C, discard: bool) -> None:
        """Puts back what is lent, and tells whoever gets it now."""
        if self.hooks is None:
            give_back(connection)
        event = lease.release(discard)
        if event is not None:
            self.hand(event)

    def detach(self, lease: _native.Lease, connection: C) -> C:
        """Takes what is lent out of the pool for good."""
        if self.hooks is not None:
            return self.connections.pop(lease.detach())
        give_back(connection)
        return self.own_stream(lease.detach_stream())  # type: ignore[no-any-return]

    def add(self, job: _native.Job, connection: C) -> bool:
        """Answers a job with a new connection; false if nobody wants it any more."""
        number = next(self._numbers)
        # It may be lent before the answer is back.
        self.connections[number] = connection
        if job.done(number):
            return True
        del self.connections[number]
        return False

    def fail(self, job: _native.Job, error: BaseException) -> None:
        """Answers a job with why it failed, and remembers that for those who wait."""
        text = f"{type(error).__name__}: {error}"[:1000]
        _let_go(error)
        if job.what == CONNECT:
            while len(self._failures) >= _REMEMBERED:
                self._failures.pop(next(iter(self._failures)), None)
            self._failures[text] = error
        if isinstance(error, _errors.Error) and error.code > 0:
            status = error.code
        else:
            status = 4 if isinstance(error, TimeoutError) else 0
        job.fail(status, text)

    def close_connection(self, hooks: Hooks, connection: C) -> object:
        """Has a connection closed; what that returns may be awaitable."""
        if hooks.close is not None:
            return hooks.close(connection)
        close = getattr(connection, "close", None)
        return None if close is None else close()

    def log_close(self, error: BaseException) -> None:
        """What closes a connection raised: that disturbs nobody, but it is told."""
        _log.error("pool %r: a connection could not be closed", self.figures.name, exc_info=error)

    def lease_of(self, event: Event, started: float) -> _native.Lease:
        """What a caller in line was given."""
        lease, error = event[4], event[3]
        if error is not None:
            raise self.explained(error, started)
        assert isinstance(lease, _native.Lease), "an acquire that succeeds brings a lease"
        return lease

    def explained(self, error: Exception, started: float) -> Exception:
        """The same, with the figures in its text and with what the hook raised as its cause."""
        if type(error) is _errors.LimitExceeded:
            error = _errors.TooManyWaiters(error.args[0], **error._fields())
        if isinstance(error, _errors.Error):
            error.elapsed = time.monotonic() - started
        numbers = error.__cause__
        if isinstance(error, _errors.PoolTimeout) and numbers is not None:
            error.args = (f"{error.args[0]}: {numbers}",)
            error.__cause__ = numbers.__cause__
        leaf: BaseException = error
        while leaf.__cause__ is not None:
            leaf = leaf.__cause__
        raised = self._failures.get(str(leaf))
        if raised is not None:
            error.__cause__ = raised
        return error

    def not_ready(self, error: Exception, started: float) -> Exception:
        """Why a pool does not stand ready."""
        waited = time.monotonic() - started
        if isinstance(error, _errors.ClosedError):
            return _errors.closed("pool", "acquire")
        if not isinstance(error, _errors.WaitTimeout):
            return error
        counts = self.native.stats()
        message = (
            f"pool {self.figures.name!r} was not ready after {waited:.3g} s: {counts['idle']} of "
            f"{counts['min_idle']} idle, {counts['connecting']} connecting, {counts['create_failed']} failed"
        )
        failure = _errors.PoolTimeout(message, kind="timeout", code=4, step="acquire", elapsed=waited)
        failure.__cause__ = next(reversed(self._failures.values()), None)
        return failure

    def hand(self, event: Event) -> None:
        """Tells whoever waits what a release has brought, from whatever thread."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Closes without waiting: the pool was forgotten."""
        raise NotImplementedError

    def end(self) -> None:
        """Ends what the core runs: every connection is closed."""
        raise NotImplementedError


# Cores of this process: a child leaves their connections alone.
_cores: weakref.WeakSet[Core[Any]] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for core in list(_cores):
        # No destructor of the parent's connections may run here: it would tell their peers goodbye.
        _native.leave_to_parent(core.connections)
        _native.leave_to_parent(core.lent)
    _cores.clear()


_process.after_fork(_leave_to_parent)


def give_back(connection: Any) -> None:
    """Makes a stream that was lent useless to those who still have it."""
    connection._native = _RETURNED


_RETURNED: Final = _native.Stream.returned()


def _let_go(error: BaseException | None) -> None:
    """Forgets the variables of the frames that an exception shows: sockets may be among them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def check_hooks(hooks: Hooks | Targets, *, for_loop: bool) -> None:
    """A coroutine function is of no use to a pool of threads."""
    if for_loop or isinstance(hooks, Targets):
        return
    for name in ("connect", "check", "reset", "close"):
        if inspect.iscoroutinefunction(getattr(hooks, name)):
            raise _errors.invalid(f"{name}: is a coroutine function; AsyncPool is for those")
