"""Keyed pools: values under keys, shared by all who ask, bounded and expiring.

The native pool decides what stays; it holds numbers. What they stand for stays here, in a ledger, and
what is given up comes back as events: to one thread for all pools of threads, to its loop for a pool of
asyncio.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import selectors
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeAlias, TypeVar

from . import _errors, _hub, _native, _process
from ._duration import limit_text
from ._ledger import Found, Ledger, PoolCloseReason, elapsed
from ._types import Never
from ._wait import NO_DEADLINE, deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from ._types import Event

    _WhenFull: TypeAlias = Literal["reject", "evict_lru", "evict_oldest", "wait"]

__all__ = ["AsyncKeyedPool", "KeyedPool", "PoolCloseReason", "PoolStats"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_log = logging.getLogger("trunkline")

# How long an exit waits for a hook that is running, seconds.
_STOP_LIMIT: Final = 1.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The counts of a pool: ``inserted == entries + taken + closed``.

    ``entries`` include those that have expired and were not pruned. ``taken`` were removed by the program,
    ``closed`` given up for any reason, ``expired`` and ``evicted`` among them.
    """

    entries: int
    max_entries: int
    hits: int
    misses: int
    inserted: int
    taken: int
    expired: int
    evicted: int
    closed: int
    average_age: timedelta

    @property
    def utilization(self) -> float:
        """Entries by the most there can be."""
        return self.entries / self.max_entries

    @property
    def expiration_ratio(self) -> float:
        """Expired by inserted; 0 if nothing was inserted."""
        return self.expired / self.inserted if self.inserted else 0.0


class _Dispatcher:
    """The thread that runs the hooks of pools of threads. There is one while there are such pools."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake = _process.new_queue(1)
        self._selector.register(self._wake.fileno(), selectors.EVENT_READ)
        self._pools: dict[Ledger[Any, Any], Callable[[Event], object]] = {}
        self._stops = False
        self.thread = threading.Thread(target=self._run, name="trunkline-pools", daemon=True)

    def add(self, ledger: Ledger[Any, Any], give_up: Callable[[Event], object]) -> None:
        self._pools[ledger] = give_up
        self._selector.register(ledger.queue.fileno(), selectors.EVENT_READ, ledger)
        if not self.thread.ident:
            self.thread.start()

    def look(self) -> None:
        """Makes it see what has changed without an event."""
        self._wake.wake()

    def stop(self) -> None:
        self._stops = True
        self.look()
        self.thread.join(_STOP_LIMIT)

    def _run(self) -> None:
        while not self._stops:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._wake.drain()
                else:
                    self._serve(key.data)
            if self._is_over():
                return

    def _serve(self, ledger: Ledger[Any, Any]) -> None:
        give_up = self._pools[ledger]
        for event in ledger.queue.drain():
            give_up(event)

    def _is_over(self) -> bool:
        global _dispatcher
        with _dispatcher_lock:
            for ledger in [ledger for ledger in self._pools if ledger.is_empty()]:
                self._selector.unregister(ledger.queue.fileno())
                del self._pools[ledger]
                ledger.tell_over()
            if self._pools:
                return False
            self._selector.close()
            if _dispatcher is self:
                _dispatcher = None
            return True


_dispatcher: _Dispatcher | None = None
_dispatcher_lock = threading.Lock()


def _dispatch(ledger: Ledger[Any, Any], give_up: Callable[[Event], object]) -> None:
    global _dispatcher
    with _dispatcher_lock:
        if _dispatcher is None:
            _dispatcher = _Dispatcher()
        _dispatcher.add(ledger, give_up)


def _look() -> None:
    with _dispatcher_lock:
        if _dispatcher is not None:
            _dispatcher.look()


def _stop() -> None:
    dispatcher = _dispatcher
    if dispatcher is not None and dispatcher.thread is not threading.current_thread():
        dispatcher.stop()


def _forget_parent() -> None:
    global _dispatcher, _dispatcher_lock
    _dispatcher, _dispatcher_lock = None, threading.Lock()


_process.before_exit(_stop)
_process.after_fork(_forget_parent)


class _PoolBase(Generic[K, V]):
    """What pools for threads and for asyncio share: nothing here waits."""

    _ledger: Ledger[K, V]

    def insert(self, key: K, value: V, *, lifetime: timedelta | Never | None = None) -> None:
        """Puts ``value`` under ``key``; a value that was there is given up. It never waits.

        Args:
            key: any hashable object.
            value: anything.
            lifetime: that of this value, instead of the pool's.

        Raises:
            LimitExceeded: the pool is full and nothing may make room; the value stays the caller's.
            PoolClosed: the pool was closed.
        """
        if not self._ledger.insert(key, value, _lifetime_ns(lifetime)):
            raise _errors.full(self.max_size())

    def get(self, key: K) -> V | None:
        """The value under ``key``, which stays in the pool; ``None`` if there is none that has not expired.

        It may be given up at any time, also while the caller uses it.
        """
        return self._ledger.get(key)

    def remove(self, key: K) -> V | None:
        """Takes the value under ``key`` out: it is the caller's again, and the hook does not see it."""
        return self._ledger.remove(key)

    def clear(self) -> None:
        """Gives up every value."""
        self._ledger.check_open()
        self._ledger.native.clear()

    def prune_expired(self) -> int:
        """Gives up values that have expired, looking at 256 at most, and says how many.

        The pool also does it by itself, now and then.
        """
        self._ledger.check_open()
        return self._ledger.native.prune_expired()

    def size(self) -> int:
        """How many entries there are, those included that have expired and were not pruned."""
        return self.stats().entries

    def max_size(self) -> int:
        """The most entries there can be."""
        return self.stats().max_entries

    def utilization(self) -> float:
        """Entries by the most there can be."""
        return self.stats().utilization

    def expiration_ratio(self) -> float:
        """The part of all values that ended because they expired; 0 if there were none."""
        return self.stats().expiration_ratio

    def stats(self) -> PoolStats:
        """The counts of this moment."""
        self._ledger.check_open()
        (entries, most), (hits, misses), ways, age_ns = self._ledger.native.stats()
        inserted, taken, expired, evicted, closed = ways
        return PoolStats(
            entries=entries,
            max_entries=most,
            hits=hits,
            misses=misses,
            inserted=inserted,
            taken=taken,
            expired=expired,
            evicted=evicted,
            closed=closed,
            average_age=timedelta(microseconds=age_ns / 1000),
        )

    def __repr__(self) -> str:
        state = "closed" if self._ledger.is_closed else "open"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pool belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        ledger = getattr(self, "_ledger", None)
        if ledger is not None and not ledger.is_closed and not ledger.is_inherited():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._abandon()

    def _abandon(self) -> None:
        raise NotImplementedError


class KeyedPool(_PoolBase[K, V]):
    """Keeps values under keys, at most ``max_size``, none longer than they are good for.

    Every value that is given up, for whatever reason, is passed to ``on_close(key, value, reason)`` exactly
    once, in a thread that all pools share; what the hook raises is logged. A value that is
    :meth:`removed <remove>` is not. Any thread may use a pool at any time.

    Args:
        max_size: values at one time, 1 to 10,000,000.
        idle_timeout: time without a use after which a value is given up. Unset (``None``): 300 s.
            ``timedelta(0)``: nothing is used twice. ``NEVER``: no limit.
        max_lifetime: time since the insert after which a value is given up. Unset: 30 min. lifetime_jitter:
        part of ``max_lifetime`` by which chance shortens it, 0 to 1. Unset: 0.1. when_full: what a value
        for a full pool does: fail, make room, or with ``"wait"`` and where the call can
            wait, stand in line for a place.
        on_close: the hook.

    Raises:
        ConfigError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        max_size: int = 1024,
        idle_timeout: timedelta | Never | None = None,
        max_lifetime: timedelta | Never | None = None,
        lifetime_jitter: float | None = None,
        when_full: _WhenFull = "reject",
        on_close: Callable[[K, V, PoolCloseReason], object] | None = None,
    ) -> None:
        document = _document(max_size, idle_timeout, max_lifetime, lifetime_jitter, when_full)
        ledger: Ledger[K, V] = Ledger(_process.new_queue(_places(max_size)), document)
        ledger.on_left = _look
        self._ledger = ledger
        _dispatch(ledger, lambda event: _run_hook(ledger, event, on_close))

    def insert_wait(
        self,
        key: K,
        value: V,
        *,
        lifetime: timedelta | Never | None = None,
        timeout: float | None = 30.0,
    ) -> None:
        """As :meth:`insert`; a full pool made with ``when_full="wait"`` has it wait for a place, in order.

        Raises:
            PoolTimeout: there was none within ``timeout`` seconds; the value stays the caller's.
            LimitExceeded: the pool is full and does not let anybody wait.
            PoolClosed: the pool was closed, before or during the wait.
        """
        lifetime_ns, deadline = _lifetime_ns(lifetime), deadline_after(timeout)
        if not self._ledger.insert(key, value, lifetime_ns):
            inserting = self._ledger.inserting(key, value, lifetime_ns, deadline)
            inserting.finish(until_done(inserting.start, inserting.settle))

    def get_or_create(self, key: K, make: Callable[[K], V], *, timeout: float | None = 30.0) -> V:
        """The value under ``key``; ``make(key)`` makes it if there is none, in the thread of this call.

        For each key one ``make`` runs at a time, of whatever thread. Those who ask for the key meanwhile
        wait, in order, and get its value. What it raises is raised here, and the next of them makes one. A
        place in the pool is taken before it is called. It must not ask for the same key.

        Args:
            key: any hashable object.
            make: makes the value. If one is inserted under the key meanwhile, that one stays and is what this
                returns; the new one is given up.
            timeout: seconds for the wait and the making together; ``None`` is no limit, 0 waits for nobody.
                What is made later is given up, and the next caller makes another.

        Raises:
            PoolTimeout: it took longer than ``timeout``.
            LimitExceeded: the pool is full and nothing may make room.
            PoolClosed: the pool was closed, before or during the wait or the making.
        """
        ledger = self._ledger
        deadline, started = deadline_after(timeout), time.monotonic()
        make_deadline = 0 if timeout == 0 else deadline
        raw = ledger.begin(key)
        try:
            found = ledger.ask(raw, make_deadline)
            while found is None:
                start = _asking(ledger, raw, deadline, make_deadline)
                found = _asked(ledger, until_done(start), started)
            if isinstance(found, tuple):
                return found[0]
            return self._make(found, key, make, started)
        finally:
            ledger.end(key)

    def _make(self, job: _native.Job, key: K, make: Callable[[K], V], started: float) -> V:
        _making.depth += 1
        try:
            value = make(key)
        except BaseException:
            job.give_up()
            raise
        finally:
            _making.depth -= 1
        try:
            return self._ledger.fill(job, key, value)
        except _errors.Error as error:
            raise elapsed(error, started) from None

    def close(self, timeout: float | None = None) -> None:
        """Gives up every value, and returns when the hook has seen them all. Idempotent.

        Those that are just being made are waited for, and given up too. A hook may call it, and so may the
        maker of a value, and does not wait then; nor does an exit of the interpreter. In a forked child it
        leaves the parent's pool alone.

        Raises:
            PoolTimeout: the hook or a maker took longer than ``timeout`` seconds; it goes on.
        """
        started = time.monotonic()
        closes = self._ledger.close()
        if closes:
            _look()
        if self._ledger.is_inherited() or _is_dispatcher() or _process.is_exiting():
            return
        if _making.depth > 0:
            return
        if not self._ledger.wait_over(timeout):
            raise _errors.timed_out("acquire", None, time.monotonic() - started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _abandon(self) -> None:
        if self._ledger.close():
            _look()


class _Making(threading.local):
    """How many values the thread is making: a close from there must not wait for them."""

    depth = 0


_making = _Making()


def _asking(
    ledger: Ledger[Any, Any], raw: bytes, deadline: int, make_deadline: int
) -> Callable[[_native.Queue, int], _native.Operation]:
    start = ledger.native.start_get_or_create
    return lambda queue, tag: start(raw, deadline, make_deadline, queue, tag)


def _asked(ledger: Ledger[K, V], event: Event, started: float) -> Found[V]:
    try:
        return ledger.asked(event)
    except _errors.Error as error:
        raise elapsed(error, started) from None


def _is_dispatcher() -> bool:
    dispatcher = _dispatcher
    return dispatcher is not None and dispatcher.thread is threading.current_thread()


def _run_hook(
    ledger: Ledger[K, V],
    event: Event,
    hook: Callable[[K, V, PoolCloseReason], object] | None,
) -> object:
    """Takes what an event gives up and passes it on; what the hook returns, if it did."""
    key, value, reason = ledger.take(event)
    if hook is None:
        return None
    try:
        return hook(key, value, reason)
    except Exception:
        _log.exception("the close hook of a pool failed for key %r", key)
        return None


class AsyncKeyedPool(_PoolBase[K, V]):
    """The twin of :class:`KeyedPool` for asyncio: made in a loop, and used in it alone.

    The hook runs on the loop, and may be a coroutine function. Nothing but :meth:`aclose` ever waits. A loop
    that is closed before the pool takes its hooks with it.
    """

    def __init__(
        self,
        *,
        max_size: int = 1024,
        idle_timeout: timedelta | Never | None = None,
        max_lifetime: timedelta | Never | None = None,
        lifetime_jitter: float | None = None,
        when_full: _WhenFull = "reject",
        on_close: Callable[[K, V, PoolCloseReason], Awaitable[object] | object] | None = None,
    ) -> None:
        document = _document(max_size, idle_timeout, max_lifetime, lifetime_jitter, when_full)
        loop = asyncio.get_running_loop()
        ledger: Ledger[K, V] = Ledger(_process.new_queue(_places(max_size)), document)
        self._ledger = ledger
        self._giver = _Giver(loop, ledger, on_close)
        ledger.on_left = self._giver.look

    async def insert_wait(
        self,
        key: K,
        value: V,
        *,
        lifetime: timedelta | Never | None = None,
        timeout: float | None = 30.0,
    ) -> None:
        """The twin of :meth:`KeyedPool.insert_wait`.

        Cancelling it leaves the value the caller's, unless it had just gone in: then :meth:`get` finds it.
        """
        lifetime_ns, deadline = _lifetime_ns(lifetime), deadline_after(timeout)
        if not self._ledger.insert(key, value, lifetime_ns):
            inserting = self._ledger.inserting(key, value, lifetime_ns, deadline)
            inserting.finish(await _hub.current().result(inserting.start, inserting.settle))

    async def get_or_create(
        self, key: K, make: Callable[[K], Awaitable[V]], *, timeout: float | None = 30.0
    ) -> V:
        """The twin of :meth:`KeyedPool.get_or_create`: ``await make(key)`` makes the value, in this task.

        At the end of ``timeout`` the making is cancelled. Cancelling this call cancels it too, and the next
        caller for the key makes one.
        """
        ledger = self._ledger
        deadline, started = deadline_after(timeout), time.monotonic()
        make_deadline = 0 if timeout == 0 else deadline
        raw = ledger.begin(key)
        try:
            found = ledger.ask(raw, make_deadline)
            while found is None:
                start = _asking(ledger, raw, deadline, make_deadline)
                found = _asked(ledger, await _hub.current().result(start), started)
            if isinstance(found, tuple):
                return found[0]
            limit = started + timeout if timeout else None
            value = await self._giver.make(found, lambda: make(key), started, limit)
            try:
                return ledger.fill(found, key, value)
            except _errors.Error as error:
                raise elapsed(error, started) from None
        finally:
            ledger.end(key)

    async def aclose(self) -> None:
        """Gives up every value, and returns when the hook has seen them all. Idempotent.

        Those that are just being made are waited for, and given up too; the maker of a value may call it, and
        does not wait then. Cancelling it cancels no hook.
        """
        self._ledger.close()
        if not self._ledger.is_inherited():
            await self._giver.finish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _abandon(self) -> None:
        self._ledger.close()


class _Giver(Generic[K, V]):
    """Runs the hook of one pool on its loop, which keeps it while the pool's queue is watched."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger[K, V],
        hook: Callable[[K, V, PoolCloseReason], Awaitable[object] | object] | None,
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._hook = hook
        self._hooks: set[asyncio.Task[None]] = set()
        self._makers: set[asyncio.Task[Any] | None] = set()
        self._left = asyncio.Event()
        self._fd: int | None = ledger.queue.fileno()
        loop.add_reader(self._fd, self._drain)

    async def make(
        self, job: _native.Job, make: Callable[[], Awaitable[V]], started: float, limit: float | None
    ) -> V:
        """What a maker brings in its time; the job is given up if it fails."""
        task = asyncio.current_task()
        self._makers.add(task)
        try:
            async with asyncio.timeout(None) as timer:
                if limit is not None:
                    timer.reschedule(self._loop.time() + limit - time.monotonic())
                return await make()
        except BaseException as error:
            job.give_up()
            if isinstance(error, TimeoutError) and timer.expired():
                raise _errors.timed_out("acquire", None, time.monotonic() - started) from None
            raise
        finally:
            self._makers.discard(task)

    def look(self) -> None:
        """Sees that a caller has left who might have brought a value."""
        if self._fd is not None:
            self._drain()
        self._left.set()

    async def finish(self) -> None:
        self._drain()
        if asyncio.current_task() in self._makers:
            return
        while not self._ledger.is_empty():
            self._left.clear()
            await self._left.wait()
            self._drain()
        self._unwatch()
        if self._hooks:
            await asyncio.wait(self._hooks)

    def _drain(self) -> None:
        for event in self._ledger.queue.drain():
            answer = _run_hook(self._ledger, event, self._hook)
            if inspect.isawaitable(answer):
                task = self._loop.create_task(_await_hook(answer))
                self._hooks.add(task)
                task.add_done_callback(self._hooks.discard)
        if self._ledger.is_empty() or _process.is_exiting():
            self._unwatch()

    def _unwatch(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None


async def _await_hook(answer: Awaitable[object]) -> None:
    try:
        await answer
    except Exception:
        _log.exception("the close hook of a pool failed")


def _lifetime_ns(lifetime: timedelta | Never | None) -> int:
    """As the native module takes it, where 0 means that of the pool."""
    if lifetime is None:
        return 0
    if isinstance(lifetime, Never):
        return NO_DEADLINE
    ns = lifetime // timedelta(microseconds=1) * 1000
    if ns < 0:
        raise _errors.invalid("lifetime: must not be negative")
    return min(max(ns, 1), NO_DEADLINE - 1)


def _document(
    max_size: int,
    idle_timeout: timedelta | Never | None,
    max_lifetime: timedelta | Never | None,
    lifetime_jitter: float | None,
    when_full: str,
) -> dict[str, object]:
    document: dict[str, object] = {"max_size": max_size, "when_full": when_full}
    if idle_timeout is not None:
        document["idle_timeout"] = limit_text(idle_timeout)
    if max_lifetime is not None:
        document["max_lifetime"] = limit_text(max_lifetime)
    if lifetime_jitter is not None:
        document["lifetime_jitter"] = lifetime_jitter
    return document


def _places(max_size: int) -> int:
    """Values in the pool and, at most as many again, values given up that the hook has not seen."""
    return min(max(2 * max_size, 0) + 1024, (1 << 32) - 1)
