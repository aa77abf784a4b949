"""A connection that is lent, in the hands of its holder."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from . import _errors, _native, _process

if TYPE_CHECKING:
    from ._checkout import Core

__all__ = ["Lease"]

C = TypeVar("C")


def is_torn(discard_on_error: bool | None, kind: type[BaseException] | None) -> bool:
    """Whether a connection is closed because of how the block that used it has ended."""
    if kind is None:
        return False
    if discard_on_error is None:
        return not issubclass(kind, Exception)
    return discard_on_error


class Lease(Generic[C]):
    """A connection that is lent: to be put back once, by :meth:`release` or at the end of a ``with`` block.

    One that is forgotten goes back when it is collected, with a ``ResourceWarning``. Releasing never waits,
    so a lease of an :class:`AsyncPool` is used with ``with``, too.
    """

    __slots__ = ("__weakref__", "_connection", "_core", "_lease")

    _core: Core[C]
    _lease: _native.Lease | None
    _connection: C

    def __init__(self, core: Core[C], lease: _native.Lease, /) -> None:
        self._core = core
        self._lease = lease
        self._connection = core.connection_of(lease)

    @property
    def connection(self) -> C:
        """What is lent.

        Raises:
            ClosedError: the lease is over.
        """
        if self._lease is None:
            raise over()
        return self._connection

    @property
    def number(self) -> int:
        """Its number in :meth:`Pool.leases`."""
        if self._lease is None:
            raise over()
        return self._lease.number

    def release(self, *, discard: bool = False) -> None:
        """Puts the connection back, or has it closed.

        Raises:
            ClosedError: it was put back before.
            ForkedError: it is the parent process's.
        """
        self._core.release(*self._end(), discard)

    def discard(self) -> None:
        """Has the connection closed instead of lent again."""
        self.release(discard=True)

    def detach(self) -> C:
        """Takes the connection out of the pool for good, which may open another in its place."""
        return self._core.detach(*self._end())

    def __enter__(self) -> C:
        return self.connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            self.release(discard=is_torn(None, kind))

    def _end(self) -> tuple[_native.Lease, C]:
        lease, self._lease = self._lease, None
        if lease is None:
            raise over()
        connection = self._connection
        # What is over keeps nothing alive.
        del self._connection
        return lease, connection

    def __repr__(self) -> str:
        state = "over" if self._lease is None else f"of {self._connection!r}"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_lease", None) is None or self._core.is_inherited():
            return
        warnings.warn(f"unreleased {self!r}", ResourceWarning, stacklevel=2, source=self)
        if not _process.is_exiting():
            self.release()


def over() -> _errors.ClosedError:
    """The exception for a lease that is over."""
    return _errors.ClosedError(
        "the lease is over: its connection was put back, or is the caller's for good",
        kind="invalid_handle",
        code=2,
        nothing_sent=True,
    )
