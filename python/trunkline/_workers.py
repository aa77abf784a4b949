"""Threads that do the jobs that native code asks of the program."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _native


class Workers:
    """Threads that do jobs, made when there is one to do and nobody is free."""

    def __init__(self, name: str, limit: int, do: Callable[[_native.Job], None]) -> None:
        self._name = name
        self._limit = limit
        self._do = do
        self._jobs: queue.SimpleQueue[_native.Job | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def waiting(self) -> int:
        """How many jobs nobody does yet."""
        return self._jobs.qsize()

    def submit(self, job: _native.Job) -> None:
        """For the dispatcher alone."""
        if len(self.threads) < self._limit and not self._free.acquire(blocking=False):
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
                self.threads.append(thread)
            except RuntimeError:
                if not self.threads:
                    return  # No thread can be made: a job that is thrown away has failed.
        self._jobs.put(job)

    def stop(self) -> None:
        """Ends them after the jobs that are there."""
        for _ in self.threads:
            self._jobs.put(None)

    def join(self, limit: float) -> None:
        """Waits for their end, at most ``limit`` seconds."""
        deadline = time.monotonic() + limit
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)
            # Not kept until the next.
            del job
            self._free.release()
