"""How the tasks of an event loop make calls together.

What crosses the border once wakes the library once, and goes to the server together.

```
 call, alone ─────────────────────────────────▶ begins at once
 call, while others are under way ─▶ gathered ─▶ begins with all that this turn of the loop brings
```
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import _native

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._types import Event, Terms

# Calls that begin in one step, at most.
_MOST = 1024


class Calling:
    """One call of one message."""

    __slots__ = ("_is_over", "channel", "future", "method", "operation", "request", "tag", "terms")

    def __init__(self, channel: _native.Channel, method: str, request: Buffer, terms: Terms) -> None:
        self.channel = channel
        self.method = method
        # What is not bytes could change before it is sent.
        self.request = request if type(request) is bytes else bytes(memoryview(request))
        self.terms = terms
        self.tag = 0
        self.future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.operation: _native.Operation | None = None
        self._is_over = False

    def cancel(self) -> None:
        """Ends it, or keeps it from beginning."""
        self._is_over = True
        if self.operation is not None:
            self.operation.cancel()

    @property
    def is_wanted(self) -> bool:
        """Whether its task still waits for it."""
        return not self._is_over

    def begin(self, queue: _native.Queue) -> None:
        """Begins alone; what keeps it from that is the task's to hear."""
        try:
            self.operation = self.channel.call(self.method, self.request, self.terms, queue, self.tag)
        except Exception as error:
            if not self.future.done():
                self.future.set_exception(error)


class Together:
    """The calls that are about to begin on one queue."""

    __slots__ = ("_gathered", "_queue")

    def __init__(self, queue: _native.Queue) -> None:
        self._queue = queue
        self._gathered: list[Calling] = []

    def add(self, calling: Calling, alone: bool) -> None:
        """Begins a call: now if it is alone, else with those of every task of the loop that is ready."""
        if alone:
            calling.begin(self._queue)
            return
        self._gathered.append(calling)
        if len(self._gathered) == 1:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        gathered, self._gathered = self._gathered, []
        by_channel: dict[int, list[Calling]] = {}
        for calling in gathered:
            if calling.is_wanted:
                by_channel.setdefault(id(calling.channel), []).append(calling)
        for calls in by_channel.values():
            for start in range(0, len(calls), _MOST):
                self._begin_all(calls[start : start + _MOST])

    def _begin_all(self, calls: list[Calling]) -> None:
        if len(calls) > 1:
            rows = [(calling.method, calling.request, calling.terms, calling.tag) for calling in calls]
            try:
                operations = calls[0].channel.call_many(rows, self._queue)
            except Exception:
                # One of them is at fault: each is told for itself.
                pass
            else:
                for calling, operation in zip(calls, operations, strict=True):
                    calling.operation = operation
                return
        for calling in calls:
            calling.begin(self._queue)
