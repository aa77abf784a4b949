"""What pools for threads and for asyncio share: their figures, and all that never waits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from . import _errors, _native, _process
from ._checkout import Core, Hooks, Targets, addresses_of, check_hooks, supply
from ._checkout_config import PoolFigures, figures
from ._checkout_stats import (
    CheckoutPoolStats,
    HeldLease,
    PoolAdvice,
    advice_of,
    leases_of,
    psycopg_stats,
    stats_of,
)
from ._lease import Lease, over

if TYPE_CHECKING:
    from ._tls import Tls
    from ._types import Event

C = TypeVar("C")


class PoolBase(Generic[C]):
    """What pools for threads and for asyncio share: nothing here waits."""

    # Whether hooks may be coroutine functions.
    _awaits = False

    _core: Core[C] | None = None
    _is_closed = False

    def _prepare(
        self, connect: Any, hooks: tuple[Any, Any, Any], tls: Tls | None, given: dict[str, Any]
    ) -> None:
        unknown = given.keys() - PoolFigures.__optional_keys__
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"{type(self).__name__}() got unexpected keyword arguments: {names}")
        self._supply: Hooks | Targets = supply(connect, *hooks, tls)
        check_hooks(self._supply, for_loop=self._awaits)
        self._figures = figures(given)
        self._popped: dict[str, int] = {}

    @property
    def name(self) -> str:
        """What errors, logs and metrics call the pool."""
        return self._figures.name

    def resize(self, min_idle: int | None = None, max_size: int | None = None) -> None:
        """Changes how many connections stand ready, and how many there may be; ``None`` leaves it as it is.

        Smaller, idle ones are closed at once and the others when they come back; larger, as many callers are
        served as now fit.

        Raises:
            ConfigError: a figure is out of its range.
        """
        native = self._opened().native
        now = native.stats()
        largest = now["max_size"] if max_size is None else max_size
        native.resize(largest, now["min_idle"] if min_idle is None else min_idle)

    def set_endpoints(self, addresses: str | Sequence[str]) -> None:
        """Connects to this address, or these, and no others from now on, as when the peers are found anew.

        Idle connections to others are closed now, those that are lent when they come back, and none of them
        is lent after this. What is known of the addresses that stay is kept; one that is named twice counts
        once.

        Raises:
            ConfigError: no address is named, or one is malformed, or a function makes the pool's connections.
        """
        self._opened().native.set_endpoints(addresses_of(addresses))

    def clear(self) -> None:
        """Retires every connection made so far, as after a failover: none of them is lent again.

        Idle ones are closed now, the others when they come back. psycopg_pool calls that ``drain``;
        :meth:`drain` is something else here.
        """
        self._opened().native.clear()

    def check(self) -> None:
        """Checks every idle connection in the background, and closes those that fail."""
        self._opened().native.check()

    def stats(self) -> CheckoutPoolStats:
        """The counts of this moment, also once it is closed."""
        return stats_of(self._opened().native.stats())

    def get_stats(self) -> dict[str, int]:
        """The counts under the names of psycopg_pool.

        ``pool_min``, ``pool_max``, ``pool_size``, ``pool_available`` and ``requests_waiting`` are of this
        moment. The others grow: ``requests_num``, ``requests_queued``, ``requests_errors``,
        ``connections_num`` (attempts), ``connections_errors``, ``connections_lost`` (broken, or failed a
        check), ``returns_bad`` (discarded); ``requests_wait_ms`` and ``usage_ms`` are milliseconds.
        """
        return psycopg_stats(self._opened().native.stats(), self._popped)

    def pop_stats(self) -> dict[str, int]:
        """As :meth:`get_stats`; what grows counts from here on. Also starts ``peak_used`` anew."""
        counts = self._opened().native.take_stats()
        popped, self._popped = self._popped, counts
        return psycopg_stats(counts, popped)

    def leases(self) -> list[HeldLease]:
        """Every connection that is lent and where it was taken, longest held first."""
        return leases_of(self._opened().native.leases())

    def advice(self) -> list[PoolAdvice]:
        """What the tuner advised lately, oldest first: another ``max_size``, with its reason and figures."""
        return advice_of(self._opened().native.advice())

    def _opened(self) -> Core[C]:
        raise NotImplementedError

    def _not_open(self) -> _errors.PoolClosed:
        return _errors.PoolClosed(
            f"pool {self.name!r} is not open yet", kind="closed", code=3, step="acquire", nothing_sent=True
        )

    def _lent(self, core: Core[C], lease: _native.Lease) -> C:
        """A connection for ``putconn`` to find again."""
        connection = core.connection_of(lease)
        core.lent[id(connection)] = (lease, connection)
        return connection

    def _put(self, lent: C | Lease[C], discard: bool) -> None:
        core = self._opened()
        if isinstance(lent, Lease):
            lent.release(discard=discard)
            return
        lease, connection = core.lent.pop(id(lent), (None, None))
        if lease is None or connection is None:
            if core.is_inherited():
                core.native.stats()  # Says whose it is.
            raise over()
        core.release(lease, connection, discard)

    def __repr__(self) -> str:
        if self._core is None:
            state = "not open"
        elif self._core.is_inherited():
            state = "of another process"
        else:
            state = "closed" if self._is_closed else "open"
        return f"<{type(self).__qualname__} {self.name!r} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pool belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or self._is_closed or core.is_inherited():
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
        if _process.is_exiting():
            core.native.free()
        else:
            core.abandon()


def left_by(event: Event) -> int:
    """How many connections a close or a drain has left."""
    _, _, left, error, _ = event
    if error is not None:
        raise error
    return left
