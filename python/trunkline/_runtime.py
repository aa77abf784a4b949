"""The one runtime of a process."""

from __future__ import annotations

import time
from typing import Final, final

from . import _errors, _native, _process

__all__ = ["Runtime", "runtime"]


@final
class Runtime:
    """The threads that drive all connections of this process. ``trunkline.runtime`` is the only one.

    It starts with the first connection, listener or pipe, never with an import; a forked child gets its
    own in the same way. It ends with the interpreter, which waits for it at most 1 s.
    """

    __slots__ = ()

    _only: Runtime | None = None

    def __new__(cls) -> Runtime:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def start(self, workers: int | None = None) -> None:
        """Starts it now, with so many threads (1 to 1024; ``None`` means 2, or 1 on one core).

        Raises:
            ConfigError: it runs already, or the number is out of its range.
        """
        if workers is not None and not 1 <= workers <= 1024:
            raise _errors.invalid("workers: must be within 1 and 1024")
        _native.configure(workers or 0)
        _native.Queue()

    def shutdown(self, timeout: float | None = 1.0) -> None:
        """Stops it: what is under way ends with :class:`ClosedError`. The next use starts another.

        For servers that fork after they have used connections: stop it before, and make new ones after.

        Raises:
            WaitTimeout: some threads were still busy; they end by themselves.
        """
        deadline = (1 << 63) - 1 if timeout is None else time.monotonic_ns() + int(timeout * 1e9)
        try:
            _native.shutdown(deadline)
        finally:
            _process.wake_all()

    @property
    def is_running(self) -> bool:
        """Whether it was started in this process, and not stopped since."""
        return _native.is_running()


runtime: Final = Runtime()
