"""Keyed pools: values under keys, shared by all who ask, bounded and expiring.

The native pool decides what stays; it holds numbers. What they stand for stays here, in a ledger, and
what is given up comes back as events: to one thread for all pools of threads, to its loop for a pool of
asyncio.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import os
import selectors
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypeVar

from . import _errors, _native, _process
from ._duration import limit_text
from ._types import Never

if TYPE_CHECKING:
    from typing import Self

    from ._types import Event

__all__ = ["AsyncKeyedPool", "KeyedPool", "PoolCloseReason", "PoolStats"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_log = logging.getLogger("trunkline")

# How long an exit waits for a hook that is running, seconds.
_STOP_LIMIT: Final = 1.0


class PoolCloseReason(IntEnum):
    """Why a pool gave a value up."""

    IDLE_TIMEOUT = 1
    LIFETIME = 2
    EVICTED = 3
    REPLACED = 4
    DUPLICATE = 5
    DISCARDED = 6
    CLEARED = 7
    POOL_CLOSED = 8


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


class _Name:
    """What a key is called in the native pool, as long as a value under it is known."""

    __slots__ = ("live", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.live = 0


class _Ledger(Generic[K, V]):
    """The values of a pool by number, and its native half. Any thread may use it.

    Its lock is held over native calls, which never wait, so that a number that is read is still known.
    """

    def __init__(self, queue: _native.Queue, document: dict[str, object]) -> None:
        self.queue = queue
        self.native = _native.KeyedPool(json.dumps(document), queue, 0)
        self.is_closed = False
        self._is_over = False
        self._process = os.getpid()
        # A key's own methods run under it, and a destructor may.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._values: dict[int, tuple[K, V]] = {}
        self._names: dict[K, _Name] = {}
        self._over = threading.Condition(self._lock)

    def insert(self, key: K, value: V) -> None:
        with self._lock:
            self._check_open()
            number = next(self._numbers)
            name = self._names.get(key)
            if name is None:
                name = self._names[key] = _Name(number.to_bytes(8, "little"))
            name.live += 1
            self._values[number] = (key, value)
            try:
                self.native.insert(name.raw, number)
            except BaseException:
                self._forget(number)
                raise

    def get(self, key: K) -> V | None:
        with self._lock:
            self._check_open()
            number = self.native.get(self._raw(key))
            return None if number is None else self._values[number][1]

    def remove(self, key: K) -> V | None:
        with self._lock:
            self._check_open()
            number = self.native.remove(self._raw(key))
            return None if number is None else self._forget(number)[1]

    def take(self, event: Event) -> tuple[K, V, PoolCloseReason]:
        """What an event gives up."""
        with self._lock:
            key, value = self._forget(event[1])
            return key, value, PoolCloseReason(event[2])

    def close(self) -> bool:
        """Gives up all; false if that was done, or is the parent's affair."""
        with self._lock:
            if self.is_closed:
                return False
            self.is_closed = True
            if self._process != os.getpid():
                return False
            self.native.close()
            return True

    def is_inherited(self) -> bool:
        return self._process != os.getpid()

    def is_empty(self) -> bool:
        """Whether it is closed and every value was taken."""
        with self._lock:
            return self.is_closed and not self._values

    def tell_over(self) -> None:
        """The hook has seen all."""
        with self._lock:
            self._is_over = True
            self._over.notify_all()

    def wait_over(self, limit: float | None) -> bool:
        """Waits until the hook has seen all."""
        with self._lock:
            return self._over.wait_for(lambda: self._is_over, limit)

    def check_open(self) -> None:
        with self._lock:
            self._check_open()

    def _check_open(self) -> None:
        if self.is_closed:
            raise _errors.closed("pool", "acquire")

    def _raw(self, key: K) -> bytes:
        name = self._names.get(key)
        # No key is called so: the native pool counts a miss.
        return b"" if name is None else name.raw

    def _forget(self, number: int) -> tuple[K, V]:
        entry = self._values.pop(number)
        name = self._names[entry[0]]
        name.live -= 1
        if name.live == 0:
            del self._names[entry[0]]
        return entry


class _Dispatcher:
    """The thread that runs the hooks of pools of threads. There is one while there are such pools."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake = _process.new_queue(1)
        self._selector.register(self._wake.fileno(), selectors.EVENT_READ)
        self._pools: dict[_Ledger[Any, Any], Callable[[Event], object]] = {}
        self._stops = False
        self.thread = threading.Thread(target=self._run, name="trunkline-pools", daemon=True)

    def add(self, ledger: _Ledger[Any, Any], give_up: Callable[[Event], object]) -> None:
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

    def _serve(self, ledger: _Ledger[Any, Any]) -> None:
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


def _dispatch(ledger: _Ledger[Any, Any], give_up: Callable[[Event], object]) -> None:
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

    _ledger: _Ledger[K, V]

    def insert(self, key: K, value: V) -> None:
        """Puts ``value`` under ``key``; a value that was there is given up.

        Raises:
            LimitExceeded: the pool is full and made so that it then rejects; the value stays the caller's.
            PoolClosed: the pool was closed.
        """
        self._ledger.insert(key, value)

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
        max_lifetime: time since the insert after which a value is given up. Unset: 30 min.
        lifetime_jitter: part of ``max_lifetime`` by which chance shortens it, 0 to 1. Unset: 0.1.
        when_full: what an insert into a full pool does: fail, or make room.
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
        when_full: Literal["reject", "evict_lru", "evict_oldest"] = "reject",
        on_close: Callable[[K, V, PoolCloseReason], object] | None = None,
    ) -> None:
        document = _document(max_size, idle_timeout, max_lifetime, lifetime_jitter, when_full)
        ledger: _Ledger[K, V] = _Ledger(_process.new_queue(_places(max_size)), document)
        self._ledger = ledger
        _dispatch(ledger, lambda event: _run_hook(ledger, event, on_close))

    def close(self, timeout: float | None = None) -> None:
        """Gives up every value, and returns when the hook has seen them all. Idempotent.

        A hook may call it, and does not wait then; nor does an exit of the interpreter. In a forked child
        it leaves the parent's pool alone.

        Raises:
            PoolTimeout: the hook took longer than ``timeout`` seconds; it goes on.
        """
        started = time.monotonic()
        closes = self._ledger.close()
        if closes:
            _look()
        if self._ledger.is_inherited() or _is_dispatcher() or _process.is_exiting():
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


def _is_dispatcher() -> bool:
    dispatcher = _dispatcher
    return dispatcher is not None and dispatcher.thread is threading.current_thread()


def _run_hook(
    ledger: _Ledger[K, V],
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
        when_full: Literal["reject", "evict_lru", "evict_oldest"] = "reject",
        on_close: Callable[[K, V, PoolCloseReason], Awaitable[object] | object] | None = None,
    ) -> None:
        document = _document(max_size, idle_timeout, max_lifetime, lifetime_jitter, when_full)
        loop = asyncio.get_running_loop()
        ledger: _Ledger[K, V] = _Ledger(_process.new_queue(_places(max_size)), document)
        self._ledger = ledger
        self._giver = _Giver(loop, ledger, on_close)

    async def aclose(self) -> None:
        """Gives up every value, and returns when the hook has seen them all. Idempotent.

        Cancelling it cancels no hook.
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
        ledger: _Ledger[K, V],
        hook: Callable[[K, V, PoolCloseReason], Awaitable[object] | object] | None,
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._hook = hook
        self._hooks: set[asyncio.Task[None]] = set()
        self._fd: int | None = ledger.queue.fileno()
        loop.add_reader(self._fd, self._drain)

    async def finish(self) -> None:
        while not self._ledger.is_empty():
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
