"""Measures a pool of Python objects, Trunkline's or a peer's, for the table of ``make bench-pool``.

    pool.py trunkline|psycopg_pool|sqlalchemy ours|peer|peer_again

Prints one JSON object per line: acquires per second by one thread and by one task that find an idle connection each
time, and by many tasks on few connections. Every pool lends without a check and resets nothing: what is measured is
the pool. psycopg_pool gets a connection class that talks to no server, and its connections are always between
transactions.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
)
from typing import Any, Protocol

CONNECTIONS = 10
CROWD = 64
CYCLES = 30_000
WARM_UP = CYCLES // 10


class Resource:
    """Stands for a connection."""

    def close(self) -> None:
        pass


class Sync(Protocol):
    """A pool as threads use it."""

    def lend(self) -> AbstractContextManager[object]: ...
    def close(self) -> object: ...


class Async(Protocol):
    """A pool as tasks use it."""

    def lend(self) -> AbstractAsyncContextManager[object]: ...
    async def close(self) -> object: ...


class TrunklineSync:
    def __init__(self) -> None:
        import trunkline

        self._pool = trunkline.Pool(
            Resource, min_idle=CONNECTIONS, max_size=CONNECTIONS
        )
        self._pool.wait()
        self.lend, self.close = self._pool.connection, self._pool.close


class TrunklineAsync:
    def __init__(self) -> None:
        import trunkline

        async def connect() -> Resource:
            return Resource()

        self._pool = trunkline.AsyncPool(connect, max_size=CONNECTIONS)
        self.lend, self.close = self._pool.connection, self._pool.aclose


def between_transactions(connection_class: type[Any]) -> type[Any]:
    """A connection class for psycopg_pool whose connections are never used."""
    from psycopg.pq import TransactionStatus

    class Status:
        transaction_status = TransactionStatus.IDLE

    class Idle(connection_class):  # type: ignore[misc]
        closed = False
        broken = False
        pgconn = Status()

        def __init__(self) -> None:
            self._pool = None

        def __del__(self) -> None:
            pass

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    return Idle


class PsycopgSync:
    def __init__(self) -> None:
        import psycopg
        import psycopg_pool

        class Connection(between_transactions(psycopg.Connection)):  # type: ignore[misc]
            @classmethod
            def connect(cls, *_: object, **__: object) -> Connection:
                return cls()

            def close(self) -> None:
                pass

        self._pool = psycopg_pool.ConnectionPool(
            connection_class=Connection,
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            open=True,
        )
        self._pool.wait()
        self.lend, self.close = self._pool.connection, self._pool.close


class PsycopgAsync:
    def __init__(self) -> None:
        import psycopg
        import psycopg_pool

        class Connection(between_transactions(psycopg.AsyncConnection)):  # type: ignore[misc]
            @classmethod
            async def connect(cls, *_: object, **__: object) -> Connection:
                return cls()

            async def close(self) -> None:
                pass

        self._pool = psycopg_pool.AsyncConnectionPool(
            connection_class=Connection,
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            open=False,
        )
        self.close = self._pool.close

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[object]:
        # Its pools are opened in the loop, which cannot be done where they are made.
        await self._pool.open(wait=True)
        self.lend = self._pool.connection  # type: ignore[method-assign]
        async with self.lend() as connection:
            yield connection


class AlchemySync:
    def __init__(self) -> None:
        from sqlalchemy.pool import QueuePool

        pool = QueuePool(
            Resource, pool_size=CONNECTIONS, max_overflow=0, reset_on_return=None
        )  # type: ignore[arg-type]
        self.lend, self.close = lambda: closing(pool.connect()), pool.dispose


class AlchemyAsync:
    """SQLAlchemy's engines lend to tasks by a greenlet for each call, and so does this."""

    def __init__(self) -> None:
        from sqlalchemy.pool import AsyncAdaptedQueuePool
        from sqlalchemy.util.concurrency import greenlet_spawn

        self._pool = AsyncAdaptedQueuePool(
            Resource,  # type: ignore[arg-type]
            pool_size=CONNECTIONS,
            max_overflow=0,
            reset_on_return=None,
        )
        self._spawn = greenlet_spawn

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[object]:
        connection = await self._spawn(self._pool.connect)
        try:
            yield connection
        finally:
            await self._spawn(connection.close)

    async def close(self) -> None:
        await self._spawn(self._pool.dispose)


SIDES: dict[str, tuple[Callable[[], Sync], Callable[[], Async]]] = {
    "trunkline": (TrunklineSync, TrunklineAsync),
    "psycopg_pool": (PsycopgSync, PsycopgAsync),
    "sqlalchemy": (AlchemySync, AlchemyAsync),
}


def in_thread(make: Callable[[], Sync]) -> float:
    """Acquires per second by one thread."""
    pool = make()

    def cycle(turns: int) -> None:
        for _ in range(turns):
            with pool.lend():
                pass

    cycle(WARM_UP)
    begun = time.perf_counter()
    cycle(CYCLES)
    rate = CYCLES / (time.perf_counter() - begun)
    pool.close()
    return rate


async def in_tasks(make: Callable[[], Async], tasks: int) -> float:
    """Acquires per second by so many tasks; where there are several, others run while one holds a connection."""
    pool = make()

    async def cycle(turns: int) -> None:
        for _ in range(turns):
            async with pool.lend():
                if tasks > 1:
                    await asyncio.sleep(0)

    await cycle(1)  # One alone, so that the pool opens once.
    await asyncio.gather(*(cycle(WARM_UP // tasks) for _ in range(tasks)))
    turns = CYCLES // tasks
    begun = time.perf_counter()
    await asyncio.gather(*(cycle(turns) for _ in range(tasks)))
    rate = turns * tasks / (time.perf_counter() - begun)
    await pool.close()
    return rate


def main() -> None:
    try:
        name, side = sys.argv[1:]
        sync, async_ = SIDES[name]
    except (ValueError, KeyError):
        sys.exit(
            "usage: pool.py trunkline|psycopg_pool|sqlalchemy ours|peer|peer_again"
        )
    values = {
        "python: acquire and release, in a thread": in_thread(sync),
        "python: acquire and release, in a task": asyncio.run(in_tasks(async_, 1)),
        f"python: {CROWD} tasks on {CONNECTIONS}": asyncio.run(in_tasks(async_, CROWD)),
    }
    for measure, value in values.items():
        print(json.dumps({"measure": measure, "side": side, "value": value}))


if __name__ == "__main__":
    main()
