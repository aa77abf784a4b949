"""The checkout pool for asyncio: connections, each lent to one task at a time, in order."""

from __future__ import annotations

import time
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from sys import _getframe
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from . import _errors, _native
from ._async_stream import AsyncStream
from ._checkout import Timeout, end_of, give_back, place
from ._checkout_base import PoolBase, left_by
from ._checkout_config import PoolFigures
from ._checkout_loop import LoopCore
from ._lease import Lease, is_torn

if TYPE_CHECKING:
    from typing import Self, Unpack

    from ._tls import Tls

__all__ = ["AsyncPool"]

C = TypeVar("C")


class AsyncPool(PoolBase[C]):
    """The twin of :class:`Pool` for asyncio: opened in a loop, and used in it alone.

    ``connect``, ``check``, ``reset`` and ``close`` run as tasks on the loop and may be coroutine functions;
    ``connect_timeout``, ``check_timeout`` and ``close_timeout`` cancel them. To addresses, what is lent is an
    :class:`AsyncStream`.

    A loop that is closed before the pool takes its hooks with it: no connection is closed by them then.
    Cancelling a task that waits loses no connection: one that came in that moment goes to the next in line.
    """

    _awaits = True
    _core: LoopCore[C] | None = None

    @overload
    def __init__(
        self: AsyncPool[AsyncStream],
        connect: str | Sequence[str],
        *,
        tls: Tls | None = None,
        open: bool = True,
        **figures: Unpack[PoolFigures],
    ) -> None: ...
    @overload
    def __init__(
        self,
        connect: Callable[[], Awaitable[C]],
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
            if _get_running_loop() is None:
                raise _errors.invalid("open: there is no running loop; pass open=False, and open it in one")
            self._open()

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Opens the pool in the running loop, if it is not open; with ``wait``, then waits as :meth:`wait`.

        Raises:
            PoolClosed: it was closed; make a new one.
        """
        self._open()
        if wait:
            await self.wait(timeout)

    async def wait(self, timeout: Timeout = 30.0) -> None:
        """Waits until ``min_idle`` connections stand ready.

        Raises:
            PoolTimeout: they do not; what the last ``connect`` raised is its cause. The pool goes on to try.
        """
        core, started = self._opened(), time.monotonic()
        core.check_loop()
        try:
            event = await core.result(lambda tag: core.native.wait_ready(end_of(timeout), tag))
            left_by(event)
        except _errors.Error as error:
            failure = core.not_ready(error, started)
            raise failure from failure.__cause__

    def connection(
        self, timeout: Timeout = None, *, discard_on_error: bool | None = None
    ) -> AbstractAsyncContextManager[C]:
        """Lends a connection for an ``async with`` block; all else is as in :meth:`Pool.connection`."""
        core = self._core
        if core is None:
            core = self._opened()
        return _AsyncCheckout(core, timeout, discard_on_error, place(_getframe(1)))

    def acquire(self, timeout: Timeout = None) -> Coroutine[Any, Any, Lease[C]]:
        """Lends a connection as a :class:`Lease`, to be released by hand, or used with ``with``.

        Raises:
            PoolTimeout, TooManyWaiters, CircuitOpen, PoolClosed, ForkedError: as :meth:`connection`.
        """
        return self._acquire(timeout, place(_getframe(1)))

    def getconn(self, timeout: Timeout = None) -> Coroutine[Any, Any, C]:
        """Lends a connection, to be given to :meth:`putconn`; prefer :meth:`connection`.

        Raises:
            PoolTimeout, TooManyWaiters, CircuitOpen, PoolClosed, ForkedError: as :meth:`connection`.
        """
        return self._getconn(timeout, place(_getframe(1)))

    async def putconn(self, connection: C | Lease[C], *, discard: bool = False) -> None:
        """Puts back what :meth:`getconn` or :meth:`acquire` lent, or has it closed.

        Raises:
            ClosedError: it was put back before, or is not of this pool.
        """
        self._put(connection, discard)

    async def drain(self, timeout: Timeout = None) -> int:
        """Lends to nobody who is not in line yet, waits for all that is lent, and closes the pool.

        psycopg_pool means something else by that word: see :meth:`clear`. Cancelled, it goes on to drain.

        Returns:
            How many connections were left at the timeout; they are closed when they come back.
        """
        core = self._opened()
        return await self._finish(core, lambda tag: core.native.drain(end_of(timeout), tag))

    async def aclose(self, timeout: Timeout = 5.0) -> int:
        """Refuses all who wait, closes what is idle, and waits until every connection is closed. Idempotent.

        Cancelled, it is closed all the same. A hook that calls it waits for itself until the timeout. In a
        forked child it leaves the parent's connections alone.

        Returns:
            How many connections were left at the timeout; they are closed when they come back.
        """
        core = self._core
        if core is None or core.is_inherited() or core.is_over:
            self._is_closed = core is not None
            return 0
        return await self._finish(core, lambda tag: core.native.close(end_of(timeout), tag))

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _open(self) -> None:
        if self._is_closed:
            raise _errors.closed("pool", "acquire")
        if self._core is None:
            self._core = LoopCore(self._figures, self._supply)

    def _opened(self) -> LoopCore[C]:
        if self._core is None:
            raise self._not_open()
        return self._core

    async def _acquire(self, timeout: Timeout, holder: str) -> Lease[C]:
        core = self._opened()
        return Lease(core, await self._take(core, timeout, holder))

    async def _getconn(self, timeout: Timeout, holder: str) -> C:
        core = self._opened()
        return self._lent(core, await self._take(core, timeout, holder))

    async def _take(self, core: LoopCore[C], timeout: Timeout, holder: str) -> _native.Lease:
        core.check_loop()
        return core.try_acquire(holder) or await core.wait(timeout, holder)

    async def _finish(self, core: LoopCore[C], start: Callable[[int], _native.Operation]) -> int:
        core.check_loop()
        self._is_closed = True
        left = 1
        try:
            left = left_by(await core.result(start))
        except _errors.ClosedError:
            left = 0  # The runtime has ended, and the pool with it.
            core.end()
            await core.jobs_done()
        finally:
            if left == 0:
                core.end()
            else:
                core.abandon()
        return left


class _AsyncCheckout(Generic[C]):
    """Lends at the beginning of a block, and puts back at its end."""

    __slots__ = ("_connection", "_core", "_discard_on_error", "_holder", "_lease", "_timeout")

    _connection: C
    _lease: _native.Lease

    def __init__(
        self, core: LoopCore[C], timeout: Timeout, discard_on_error: bool | None, holder: str
    ) -> None:
        self._core = core
        self._timeout = timeout
        self._discard_on_error = discard_on_error
        self._holder = holder

    async def __aenter__(self) -> C:
        core = self._core
        if _get_running_loop() is not core.loop:
            core.check_loop()
        lease = core.try_acquire(self._holder)
        if lease is None:
            lease = await core.wait(self._timeout, self._holder)
        self._lease = lease
        connection = core.connections[lease.connection] if core.hooks else core.connection_of(lease)
        self._connection = connection
        return connection

    async def __aexit__(
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
