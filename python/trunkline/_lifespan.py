"""Tells an ASGI application when serving begins and ends, if it wants to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

__all__ = ["VERSIONS", "AsgiApp", "Lifespan", "Message"]

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

VERSIONS = {"version": "3.0", "spec_version": "2.4"}

_log = logging.getLogger("trunkline")


class Lifespan:
    """Startup on entering, shutdown on leaving. The value is the state that requests get a copy of."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._told: asyncio.Queue[Message] = asyncio.Queue(1)
        self._said: asyncio.Queue[Message] = asyncio.Queue(1)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> dict[str, Any]:
        self._task = asyncio.ensure_future(self._run())
        try:
            said = await self._tell("startup")
            if said is not None and said["type"] == "lifespan.startup.failed":
                raise RuntimeError(f"the application does not start: {said.get('message', '')}")
        except BaseException:
            await self._end()
            raise
        return self._state

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            said = await self._tell("shutdown")
            if said is not None and said["type"] == "lifespan.shutdown.failed":
                _log.error("the application does not end well: %s", said.get("message", ""))
        finally:
            await self._end()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": VERSIONS, "state": self._state}
        try:
            await self._app(scope, self._told.get, self._said.put)
        except Exception as error:
            # Not all applications know of it; the specification takes this for an answer.
            _log.debug("no lifespan: %s", error)

    async def _tell(self, what: str) -> Message | None:
        """What the application answers; ``None`` where it does not take part."""
        if self._task is None or self._task.done():
            return None
        await self._told.put({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._said.get())
        try:
            await asyncio.wait([self._task, answer], return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            answer.cancel()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
