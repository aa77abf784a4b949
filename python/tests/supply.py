"""Connections for checkout pools, which remember what was done to them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from datetime import timedelta

from trunkline import BackoffConfig, BreakerConfig

# Attempts that follow each other, however often they fail: by neither of its rules does the circuit open.
SOON = BackoffConfig(base_delay=timedelta(milliseconds=1), max_delay=timedelta(milliseconds=5))
ALWAYS = BreakerConfig(consecutive_failures=1_000_000, min_calls=1_000_000)


class Connection:
    """A connection to nobody."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_sound = True
        self.closes = 0
        self.checks = 0
        self.resets = 0

    def __repr__(self) -> str:
        return f"<Connection {self.number}>"


class Supply:
    """Makes connections, and is the hooks of a pool of threads."""

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None
        self._numbers = itertools.count(1)

    def connect(self) -> Connection:
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        connection = Connection(next(self._numbers))
        self.made.append(connection)
        return connection

    def check(self, connection: Connection) -> None:
        connection.checks += 1
        if not connection.is_sound:
            raise ConnectionError("it is not sound")

    def reset(self, connection: Connection) -> bool:
        connection.resets += 1
        return connection.is_sound

    def close(self, connection: Connection) -> None:
        self.threads.add(threading.current_thread().name)
        connection.closes += 1

    def open(self) -> list[int]:
        """The numbers of those that were not closed."""
        return [connection.number for connection in self.made if not connection.closes]

    def each_was_closed_once(self) -> bool:
        return all(connection.closes == 1 for connection in self.made)


class AsyncSupply(Supply):
    """The hooks of a pool of a loop, each of which takes a turn of it."""

    async def aconnect(self) -> Connection:
        await asyncio.sleep(0)
        return self.connect()

    async def acheck(self, connection: Connection) -> None:
        await asyncio.sleep(0)
        self.check(connection)

    async def areset(self, connection: Connection) -> bool:
        await asyncio.sleep(0)
        return self.reset(connection)

    async def aclose(self, connection: Connection) -> None:
        await asyncio.sleep(0)
        self.close(connection)
