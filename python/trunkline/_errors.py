"""The exceptions of Trunkline, and the one table that says which failure is which.

Every exception is an :class:`Error`, and also the builtin that a caller would catch for the same
failure of the standard library: a timeout is a ``TimeoutError``, a reset a ``ConnectionResetError``.
Decide by class, ``kind`` or ``code``; the message may change in any release.
"""

from __future__ import annotations

import errno as _errno
import re
from collections.abc import Sequence
from typing import Any, Final

from . import _native

__all__ = [
    "BindError",
    "ChannelError",
    "CircuitOpen",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "Error",
    "ForkedError",
    "LimitExceeded",
    "NativeError",
    "NoMemoryError",
    "NotFoundError",
    "PoolClosed",
    "PoolError",
    "PoolTimeout",
    "ProtocolError",
    "ReadTimeout",
    "ResetError",
    "TlsError",
    "TooManyWaiters",
    "UdpError",
    "UnsupportedError",
    "WaitTimeout",
    "WouldBlock",
    "WriteTimeout",
]

_FIELDS: Final = (
    "kind",
    "code",
    "step",
    "address",
    "local_address",
    "retryable",
    "nothing_sent",
    "errno",
    "elapsed",
)


# Causes that a text has, at most: a program may chain exceptions to a ring.
_MOST_CAUSES: Final = 8


class Error(Exception):
    """Why an operation failed.

    ``kind`` is the failure's stable name in lower case, such as ``"timeout"``, and ``code`` its number, the
    same as in C. ``step`` says what was being done, ``address`` to whom, ``local_address`` from where, each
    ``None`` where it is not known. ``retryable`` says whether the same operation may be tried again without
    risk of being applied twice, ``nothing_sent`` whether it is certain that no byte of it left this process.
    ``errno`` is the system's number, and ``elapsed`` the seconds that were waited, if any.
    """

    kind: str
    code: int
    step: str | None
    address: str | None
    local_address: str | None
    retryable: bool
    nothing_sent: bool
    errno: int | None
    elapsed: float | None

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "",
        code: int = 0,
        step: str | None = None,
        address: str | None = None,
        local_address: str | None = None,
        retryable: bool = False,
        nothing_sent: bool = False,
        errno: int | None = None,
        elapsed: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.step = step
        self.address = address
        self.local_address = local_address
        self.retryable = retryable
        self.nothing_sent = nothing_sent
        self.errno = errno
        self.elapsed = elapsed

    def __str__(self) -> str:
        """The failure with its causes, for people, each said once."""
        text = str(self.args[0]) if self.args else ""
        cause, left = self.__cause__, _MOST_CAUSES
        while cause is not None and left > 0:
            words = _words(cause)
            if words not in text:
                text += f": {words}"
            cause, left = cause.__cause__, left - 1
        return text

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self._fields())


def _words(cause: BaseException) -> str:
    """What a cause alone says; a system's number is for ``errno`` to tell."""
    if isinstance(cause, Error):
        return str(cause.args[0]) if cause.args else cause.kind
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return re.sub(r" \(os error \d+\)$", "", text)


def _rebuild(cls: type[Error], message: str, fields: dict[str, Any]) -> Error:
    return cls(message, **fields)


class ConfigError(Error, ValueError):
    """A configuration or an argument is out of its range; the message names it."""


class ClosedError(Error, ConnectionError):
    """The object, or the runtime below it, was closed by this process."""


class LimitExceeded(Error, RuntimeError):
    """A limit is reached: connections, entries, handles, open files. Later may work."""


class ConnectError(Error, ConnectionError):
    """The destination refused, or could not be reached."""


class ConnectTimeout(ConnectError, TimeoutError):
    """The destination was not reached in time."""


class BindError(Error, OSError):
    """The local address could not be bound."""


class ReadTimeout(Error, TimeoutError):
    """Nothing came in time."""


class WriteTimeout(Error, TimeoutError):
    """Not everything could be sent in time."""


class WaitTimeout(Error, TimeoutError):
    """Something else did not happen in time: an accept, a drain."""


class WouldBlock(Error, BlockingIOError):
    """The stream or listener has timeout 0, and nothing can be done right now."""


class ResetError(Error, ConnectionResetError):
    """The connection was reset, aborted or lost."""


class TlsError(Error, ConnectionError):
    """TLS or identity failed.

    ``fault`` says whose fault it is: ``"peer_certificate"`` (the peer's is missing, expired or not trusted),
    ``"name_mismatch"`` (the peer's is good, and for another name), ``"own_certificate"`` (ours is expired,
    not that of its key, or refused by the peer) or ``"protocol"`` (nothing in common, or the peer does not
    speak TLS); ``None`` where it is not known.
    """

    fault: str | None

    def __init__(self, message: str = "", *, fault: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.fault = fault

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"fault": self.fault}


class ProtocolError(Error, ConnectionError):
    """The peer broke the protocol."""


class UdpError(Error, OSError):
    """A failure that only datagrams know; the message says which."""


class ChannelError(Error):
    """A call ended with a gRPC status."""

    status: int
    details: str
    trailers: tuple[tuple[str, bytes], ...]

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 2,
        details: str = "",
        trailers: Sequence[tuple[str, bytes]] = (),
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.status = status
        self.details = details
        self.trailers = tuple(trailers)

    def _fields(self) -> dict[str, Any]:
        own = {"status": self.status, "details": self.details, "trailers": self.trailers}
        return super()._fields() | own


class CircuitOpen(LimitExceeded):
    """The destination failed too often of late; nothing is sent to it for a while."""


class PoolError(Error):
    """A pool could not give a connection."""


class PoolTimeout(PoolError, TimeoutError):
    """No connection of a pool became free in time."""


class PoolClosed(PoolError, ClosedError):
    """The pool was closed."""


class TooManyWaiters(PoolError, LimitExceeded):
    """As many callers wait for a connection as the pool lets wait."""


class ForkedError(Error, RuntimeError):
    """The object was made before a fork and is the parent's. Make new ones in the child."""


class NotFoundError(Error, LookupError):
    """There is no such entry."""


class UnsupportedError(Error, NotImplementedError):
    """This build or platform cannot do it."""


class NoMemoryError(Error, MemoryError):
    """Memory ran out."""

    # That of `MemoryError` refuses classes of more than one base.
    __new__ = Error.__new__  # type: ignore[assignment]


class NativeError(Error, RuntimeError):
    """A bug in Trunkline: a panic was caught, or it was called in a way that it should not be."""


# What each status of C is here.
_BY_STATUS: Final[dict[int, type[Error]]] = {
    1: ConfigError,
    2: ClosedError,
    3: ClosedError,
    4: WaitTimeout,
    5: ClosedError,  # By a shutdown: who cancels himself is told by his own exception.
    6: WouldBlock,
    7: NativeError,
    8: ForkedError,
    9: LimitExceeded,
    10: ConnectError,
    11: BindError,
    12: ResetError,
    13: TlsError,
    14: ProtocolError,
    15: ChannelError,
    16: NativeError,
    17: UnsupportedError,
    18: NativeError,
    19: NativeError,
    20: NoMemoryError,
    21: UdpError,
    22: NotFoundError,
}

# Where the step, here by its number in C, says more than the status alone.
_BY_STEP: Final[dict[tuple[int, int], type[Error]]] = {
    (3, 6): PoolClosed,
    (4, 2): ConnectTimeout,
    (4, 3): ConnectTimeout,
    (4, 6): PoolTimeout,
    (4, 7): ReadTimeout,
    (4, 8): WriteTimeout,
}
_STEPS: Final = range(13)
# In the place of a step: the limit is an open circuit.
_OPEN_CIRCUIT: Final = -1

_TIMEOUTS: Final[dict[str, type[Error]]] = {
    "accept": WaitTimeout,
    "read": ReadTimeout,
    "write": WriteTimeout,
    "acquire": PoolTimeout,
}


def classes() -> dict[tuple[int, int], type[Exception]]:
    """The class of every failure by status and step; (0, 0) is that of a status from a newer library."""
    table: dict[tuple[int, int], type[Exception]] = {(0, 0): NativeError, (9, _OPEN_CIRCUIT): CircuitOpen}
    for status, cls in _BY_STATUS.items():
        table |= {(status, step): _BY_STEP.get((status, step), cls) for step in _STEPS}
    return table


def timed_out(step: str, address: str | None, elapsed: float) -> Error:
    """The exception for a deadline that was kept here, not in the native module."""
    cls = _TIMEOUTS[step]
    where = f" to {address}" if address else ""
    return cls(
        f"{step}{where}: timed out after {elapsed:.3g} s",
        kind="timeout",
        code=4,
        step=step,
        address=address,
        elapsed=elapsed,
    )


def would_block(step: str) -> WouldBlock:
    """The exception for a try that cannot go on and may not wait."""
    return WouldBlock(
        f"{step}: would block",
        kind="would_block",
        code=6,
        step=step,
        retryable=True,
        nothing_sent=True,
        errno=_errno.EAGAIN,
    )


def closed(what: str, step: str | None = None) -> ClosedError:
    """The exception for an object that was closed here."""
    cls = PoolClosed if step == "acquire" else ClosedError
    return cls(f"the {what} is closed", kind="closed", code=3, step=step)


def full(limit: int) -> LimitExceeded:
    """The exception for a pool that has no place for another value."""
    return LimitExceeded(
        f"acquire: limit of {limit} pool entries reached",
        kind="limit_exceeded",
        code=9,
        step="acquire",
        retryable=True,
        nothing_sent=True,
    )


def invalid(message: str) -> ConfigError:
    """The exception for an argument that is out of its range; the message names it."""
    return ConfigError(message, kind="invalid_argument", code=1, step="configure", nothing_sent=True)


_native.use_exceptions(classes())
