"""What the library says, in the standard library's ``logging``.

Records wait in a bounded ring, and a thread of Python takes them to their loggers: a handler that is slow, or
a lock of ``logging`` that somebody holds, delays no connection.
"""

from __future__ import annotations

import logging
import select
import threading
from typing import Final

from . import _errors, _native, _process

__all__ = ["start_logging", "stop_logging"]

_TO_PYTHON: Final = {
    1: logging.ERROR,
    2: logging.WARNING,
    3: logging.INFO,
    4: logging.DEBUG,
    5: logging.DEBUG - 5,
}

# How long an exit, or a stop, waits for handlers, seconds.
_STOP_LIMIT: Final = 1.0


class _Forwarder:
    """Takes records to their loggers, in a thread of its own."""

    def __init__(self, level: int, capacity: int) -> None:
        self._queue = _process.new_queue(1)
        self._ring = _native.LogRing(_to_native(level), capacity, self._queue)
        self._stops = False
        self._thread = threading.Thread(target=self._run, name="trunkline-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stops = True
        self._queue.wake()
        if self._thread is not threading.current_thread():
            self._thread.join(_STOP_LIMIT)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._queue.fileno(), select.POLLIN)
        while not self._stops:
            poll.poll()
            self._queue.drain()
            self._forward()
        self._forward()

    def _forward(self) -> None:
        records, dropped = self._ring.take()
        for level, unix_ns, target, message, file, line, fields in records:
            # Where in the library it was said: `trunkline_core::pool` is `trunkline.pool` here.
            name = target.replace("::", ".").replace("trunkline_core", "trunkline", 1)
            logger = logging.getLogger(name)
            number = _TO_PYTHON.get(level, logging.DEBUG)
            if logger.isEnabledFor(number):
                text = f"{message} {fields}" if fields else message
                record = logger.makeRecord(logger.name, number, file, line, text, (), None)
                record.created, record.msecs = unix_ns / 1e9, unix_ns // 1_000_000 % 1000
                logger.handle(record)
        if dropped:
            logging.getLogger("trunkline").warning("%d log records did not fit", dropped)


_forwarder: _Forwarder | None = None


def start_logging(level: int = logging.INFO, *, capacity: int = 4096) -> None:
    """Sends what the library says to loggers below ``"trunkline"``; called again, by the new figures.

    Args:
        level: of ``logging``; what lies below it is not even made.
        capacity: records that wait at most, 1 to 1,000,000. Those that do not fit are counted, and the
            count is logged.

    Raises:
        ConfigError: ``capacity`` is out of its range.
    """
    global _forwarder
    if not 1 <= capacity <= 1_000_000:
        raise _errors.invalid("capacity: must be within 1 and 1000000")
    before, _forwarder = _forwarder, _Forwarder(level, capacity)
    if before is not None:
        before.stop()


def stop_logging() -> None:
    """Ends it, once the records so far are with their handlers."""
    global _forwarder
    if _forwarder is not None:
        _native.log_off()
        _forwarder.stop()
        _forwarder = None


def _to_native(level: int) -> int:
    """The most that can pass: errors alone where ``level`` lies above them."""
    return max((native for native, number in _TO_PYTHON.items() if number >= level), default=1)


def _forget() -> None:
    global _forwarder
    _forwarder = None


_process.before_exit(stop_logging)
_process.after_fork(_forget)
