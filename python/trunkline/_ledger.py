"""The values of a keyed pool: the native pool holds numbers, and what they stand for stays here."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from . import _errors, _native

if TYPE_CHECKING:
    from ._types import Event

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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
    UNWANTED = 9
    BROKEN = 10
    INVALID = 11
    SHRUNK = 12
    DETACHED = 13
    ENDPOINT_REMOVED = 14


class _Name:
    """What a key is called in the native pool, while a value under it is known or asked for."""

    __slots__ = ("live", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.live = 0


# What a try finds: a value, alone in a tuple; the job to make one; or nothing, if it would have to wait.
Found: TypeAlias = tuple[V] | _native.Job | None


class Ledger(Generic[K, V]):
    """The values of a pool by number, and its native half. Any thread may use it.

    Its lock is held over native calls, which never wait, so that a number that is read is still known.
    """

    def __init__(self, queue: _native.Queue, document: dict[str, object]) -> None:
        self.queue = queue
        self.native = _native.KeyedPool(json.dumps(document), queue, 0)
        # Is called when somebody leaves a closed pool who might have brought a value: a close waits for that.
        self.on_left: Callable[[], object] = lambda: None
        self.is_closed = False
        self._is_over = False
        # Callers that may still bring a value.
        self._asking = 0
        self._process = os.getpid()
        # A key's own methods run under it, and a destructor may.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._values: dict[int, tuple[K, V]] = {}
        self._names: dict[K, _Name] = {}
        self._over = threading.Condition(self._lock)

    def insert(self, key: K, value: V, lifetime_ns: int) -> bool:
        """False if it would have to wait for a place."""
        with self._lock:
            self._check_open()
            number = self._number(key, value)
            done = False
            try:
                done = self.native.insert(self._names[key].raw, number, lifetime_ns)
            finally:
                if not done:
                    self._forget(number)
            return done

    def inserting(self, key: K, value: V, lifetime_ns: int, deadline: int) -> Inserting[K, V]:
        """An insert that waits."""
        with self._lock:
            self._check_open()
            number = self._number(key, value)
            return Inserting(self, number, (self._names[key].raw, number, lifetime_ns, deadline))

    def not_inserted(self, number: int) -> None:
        """The value stays the caller's."""
        with self._lock:
            self._forget(number)
        self._tell_left()

    def begin(self, key: K) -> bytes:
        """What a key is called for a caller who may bring a value, until :meth:`end`."""
        with self._lock:
            self._check_open()
            name = self._name(key)
            name.live += 1
            self._asking += 1
            return name.raw

    def end(self, key: K) -> None:
        """Ends :meth:`begin`."""
        with self._lock:
            self._asking -= 1
            self._leave(key)
        self._tell_left()

    def _tell_left(self) -> None:
        if self.is_closed:
            self.on_left()

    def ask(self, raw: bytes, make_deadline: int) -> Found[V]:
        with self._lock:
            self._check_open()
            found = self.native.get_or_create(raw, make_deadline)
            return (self._values[found][1],) if isinstance(found, int) else found

    def asked(self, event: Event) -> Found[V]:
        """What an operation found; nothing, if the value was given up meanwhile."""
        _, _, number, error, job = event
        if error is not None:
            raise error
        if isinstance(job, _native.Job):
            return job
        with self._lock:
            entry = self._values.get(number)
            return None if entry is None else (entry[1],)

    def fill(self, job: _native.Job, key: K, value: V) -> V:
        """Answers a job; the value that is under the key then. One that comes too late goes to the hook."""
        with self._lock:
            number = self._number(key, value)
            try:
                return self._values[job.fill(number)][1]
            except _errors.Error as error:
                if isinstance(error, _errors.ForkedError):
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
            return self.is_closed and not self._values and not self._asking

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
        self._leave(entry[0])
        return entry

    def _number(self, key: K, value: V) -> int:
        number = next(self._numbers)
        self._name(key).live += 1
        self._values[number] = (key, value)
        return number

    def _name(self, key: K) -> _Name:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = _Name(next(self._numbers).to_bytes(8, "little"))
        return name

    def _leave(self, key: K) -> None:
        name = self._names[key]
        name.live -= 1
        if name.live == 0:
            del self._names[key]


class Inserting(Generic[K, V]):
    """An insert that waits: how it begins, and what its event means."""

    def __init__(self, ledger: Ledger[K, V], number: int, arguments: tuple[bytes, int, int, int]) -> None:
        self._ledger = ledger
        self._number = number
        self._arguments = arguments
        self._started = time.monotonic()

    def start(self, queue: _native.Queue, tag: int) -> _native.Operation:
        try:
            return self._ledger.native.start_insert(*self._arguments, queue, tag)
        except BaseException:
            self._ledger.not_inserted(self._number)
            raise

    def settle(self, event: Event) -> None:
        """The event of an insert that nobody waits for any more: it may have gone in just before."""
        if event[3] is not None:
            self._ledger.not_inserted(self._number)

    def finish(self, event: Event) -> None:
        self.settle(event)
        if event[3] is not None:
            raise elapsed(event[3], self._started)


def elapsed(error: Exception, started: float) -> Exception:
    """Says on an exception of ours how long was waited."""
    if isinstance(error, _errors.Error):
        error.elapsed = time.monotonic() - started
    return error
