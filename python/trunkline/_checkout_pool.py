"""The checkout pool for threads: connections, each lent to one caller at a time, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from sys import _getframe
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from . import _errors, _native, _process
from ._checkout import Timeout, end_of, give_back, place
from ._checkout_base import PoolBase, left_by
from ._checkout_config import PoolFigures
from ._checkout_threads import ThreadCore
from ._lease import Lease, is_torn
from ._stream import Stream

if TYPE_CHECKING:
    from typing import Self, Unpack

    from ._tls import Tls

__all__ = ["Pool"]

C = TypeVar("C")


class Pool(PoolBase[C]):
    """Lends connections, each to one thread at a time, to those who wait in the order in which they came.

    ``connect`` makes a connection: a function without arguments, or an address or a list of addresses, to
    which Trunkline then connects by itself; what is lent is then a :class:`Stream` that stays the pool's,
    and one on which the peer has ended, or sent what nobody asked for, is not lent.

    ``check(connection)`` raises, or returns ``False``, if a connection is of no more use; it is asked about
    one that stood idle before it is lent, and now and then in the background. ``reset(connection)`` takes
    back what the last holder did, and raises if it cannot; it runs when a connection comes back.
    ``close(connection)`` closes it; unset, its own ``close()`` does, if it has one. They run in a few daemon
    threads of the pool: at most ``max_connecting`` for ``connect``, two for the others. An exception of
    ``connect`` is the cause of what those in line are told if they get nothing in time.

    Times are seconds or ``timedelta``; ``None`` is unset, ``NEVER`` has no end where that is allowed.

    Args:
        connect: who makes the connections.
        check: sees whether one works.
        reset: makes one ready for its next user.
        close: closes one.
        tls: secures ``tls://`` addresses.
        open: whether to open the pool at once; if not, :meth:`open` or a ``with`` block does.
        min_idle: connections that stand ready besides those that are lent. Unset 0.
        max_size: connections at one time, in any state; never exceeded. Unset 10.
        max_waiters: callers in line; one more is refused at once. Unset: no limit but ``timeout``.
        timeout: time of one acquire: waiting, connecting and checking together. Unset 30 s; zero, only what
            stands ready, to 365 days, or ``NEVER``.
        connect_timeout: time of one attempt; what comes later serves the next. Unset 5 s. A function
            is not stopped by it.
        max_connecting: attempts at one time, to each address. Unset 2.
        idle_timeout: time without use after which a connection is closed. Unset 10 min, or ``NEVER``.
        max_lifetime: age from which one is not lent any more. Unset 30 min, or ``NEVER``.
        lifetime_jitter: part of that by which chance shortens it for each. Unset 0.1.
        check_after: time without use after which one is checked before it is lent. Unset 500 ms, or
            ``NEVER``.
        check_timeout: time of one check or reset; what takes longer has failed. Unset 5 s.
        keepalive: time without use after which one is checked in the background. Unset 2 min, or ``NEVER``.
        close_timeout: time of one close; after it the connection no longer counts. Unset 5 s.
        idle_order: which idle one is lent first: ``"lifo"``, the one used last (unset), or ``"fifo"``.
        leak_after: time for which one may be held before a warning is logged. Unset ``NEVER``.
        backoff: how long to wait before the next attempt after one that failed. Unset 100 ms, growing by 1.6
            up to 30 s.
        breaker: when to stop trying for a while. Unset: after 7 failures in a row, for 5 s at first.
        tuner: when to advise another ``max_size``, and whether to follow; see :meth:`advice`. Unset: to
            advise, and change nothing.
        name: what errors, logs and metrics call the pool. Unset ``"default"``.

    Raises:
        ConfigError: an argument is out of its range; figures are looked at when the pool is opened.
    """

    _core: ThreadCore[C] | None = None

    @overload
    def __init__(
        self: Pool[Stream],
        connect: str | Sequence[str],
        *,
        tls: Tls | None = None,
        open: bool = True,
        **figures: Unpack[PoolFigures],
    ) -> None: ...
    @overload
    def __init__(
        self,
        connect: Callable[[], C],
        *,
        check: Callable[[C], object] | None = None,
        reset: Callable[[C], object] | None = None,
        close: Callable[[C], object] | None = None,
        open: bool = True,
        **figures: Unpack[PoolFigures],
    ) -> None: ...
    def __init__(
        self,
        connect: Any,
        *,
        check: Any = None,
        reset: Any = None,
        close: Any = None,
        tls: Tls | None = None,
        open: bool = True,
        **figures: Any,
    ) -> None:
        self._prepare(connect, (check, reset, close), tls, figures)
        if open:
            self._open()

    def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Opens the pool, if it is not open; with ``wait``, then does what :meth:`wait` does.

        Raises:
            PoolClosed: it was closed; make a new one.
        """
        self._open()
        if wait:
            self.wait(timeout)

    def wait(self, timeout: Timeout = 30.0) -> None:
        """Waits until ``min_idle`` connections stand ready.

        Raises:
            PoolTimeout: they do not; what the last ``connect`` raised is its cause. The pool goes on to try.
        """
        core, started = self._opened(), time.monotonic()
        try:
            event = core.result(lambda tag: core.native.wait_ready(end_of(timeout), tag))
            left_by(event)
        except _errors.Error as error:
            failure = core.not_ready(error, started)
            raise failure from failure.__cause__

    def connection(
        self, timeout: Timeout = None, *, discard_on_error: bool | None = None
    ) -> AbstractContextManager[C]:
        """Lends a connection for a ``with`` block, which gets the connection itself.

        It goes back at the end of the block. It is closed instead if the block was torn: left by something
        that is no ``Exception``, such as Ctrl-C, a cancelled task or a generator that was given up, since
        then an answer may still be under way on it. Other exceptions change nothing, as in psycopg_pool.

        Args:
            timeout: seconds, or ``NEVER``; ``None`` is the pool's own.
            discard_on_error: ``True`` closes it after any exception, ``False`` after none.

        Raises:
            PoolTimeout: none came in time; the message says how many are in use and by whom.
            TooManyWaiters: ``max_waiters`` wait already.
            CircuitOpen: there is none, and every attempt to connect fails.
            PoolClosed: the pool is closed, or not open yet.
            ForkedError: the pool is the parent process's.
        """
        core = self._core
        if core is None:
            core = self._opened()
        return _Checkout(core, timeout, discard_on_error, place(_getframe(1)))

    def acquire(self, timeout: Timeout = None) -> Lease[C]:
        """Lends a connection as a :class:`Lease`, to be released by hand, or used with ``with``.

        Raises:
            PoolTimeout, TooManyWaiters, CircuitOpen, PoolClosed, ForkedError: as :meth:`connection`.
        """
        core = self._opened()
        return Lease(core, self._take(core, timeout, place(_getframe(1))))

    def getconn(self, timeout: Timeout = None) -> C:
        """Lends a connection, to be given to :meth:`putconn`; prefer :meth:`connection`.

        Nothing puts it back if it is forgotten; ``leak_after`` then says where it was taken.

        Raises:
            PoolTimeout, TooManyWaiters, CircuitOpen, PoolClosed, ForkedError: as :meth:`connection`.
        """
        core = self._opened()
        return self._lent(core, self._take(core, timeout, place(_getframe(1))))

    def putconn(self, connection: C | Lease[C], *, discard: bool = False) -> None:
        """Puts back what :meth:`getconn` or :meth:`acquire` lent, or has it closed.

        Raises:
            ClosedError: it was put back before, or is not of this pool.
        """
        self._put(connection, discard)

    def drain(self, timeout: Timeout = None) -> int:
        """Lends to nobody who is not in line yet, waits for all that is lent, and closes the pool.

        psycopg_pool means something else by that word: see :meth:`clear`.

        Returns:
            How many connections were left at the timeout; they are closed when they come back.
        """
        core = self._opened()
        return self._finish(core, lambda tag: core.native.drain(end_of(timeout), tag))

    def close(self, timeout: Timeout = 5.0) -> int:
        """Refuses all who wait, closes what is idle, and waits until every connection is closed. Idempotent.

        In a forked child it leaves the parent's connections alone. A hook may call it, and does not wait
        then; nor does an exit of the interpreter.

        Returns:
            How many connections were left at the timeout; they are closed when they come back.
        """
        core = self._core
        if core is None or core.is_inherited() or core.is_over:
            self._is_closed = core is not None
            return 0
        return self._finish(core, lambda tag: core.native.close(end_of(timeout), tag))

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        if self._is_closed:
            raise _errors.closed("pool", "acquire")
        if self._core is None:
            self._core = ThreadCore(self._figures, self._supply)

    def _opened(self) -> ThreadCore[C]:
        if self._core is None:
            raise self._not_open()
        return self._core

    def _take(self, core: ThreadCore[C], timeout: Timeout, holder: str) -> _native.Lease:
        return core.try_acquire(holder) or core.wait(timeout, holder)

    def _finish(self, core: ThreadCore[C], start: Callable[[int], _native.Operation]) -> int:
        self._is_closed = True
        if core.is_own_thread() or _process.is_exiting():
            core.abandon()
            return 0
        left = 1
        try:
            left = left_by(core.result(start))
        except _errors.ClosedError:
            left = 0  # The runtime has ended, and the pool with it.
        finally:
            if left == 0:
                core.end()
            else:
                core.abandon()
        return left


class _Checkout(Generic[C]):
    """Lends at the beginning of a block, and puts back at its end."""

    __slots__ = ("_connection", "_core", "_discard_on_error", "_holder", "_lease", "_timeout")

    _connection: C
    _lease: _native.Lease

    def __init__(
        self, core: ThreadCore[C], timeout: Timeout, discard_on_error: bool | None, holder: str
    ) -> None:
        self._core = core
        self._timeout = timeout
        self._discard_on_error = discard_on_error
        self._holder = holder

    def __enter__(self) -> C:
        core = self._core
        lease = core.try_acquire(self._holder)
        if lease is None:
            lease = core.wait(self._timeout, self._holder)
        self._lease = lease
        connection = core.connections[lease.connection] if core.hooks else core.connection_of(lease)
        self._connection = connection
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        core = self._core
        if core.hooks is None:
            give_back(self._connection)
        event = self._lease.release(kind is not None and is_torn(self._discard_on_error, kind))
        if event is not None:
            core.hand(event)
