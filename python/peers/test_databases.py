"""Pools of real redis and psycopg connections, while their server is killed under load and comes back."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
import redis.asyncio
from servers import Server

import trunkline

CALLERS = 8
CONNECTIONS = 4
BREAKER = trunkline.BreakerConfig(open=timedelta(milliseconds=200), max_open=timedelta(milliseconds=200))


@dataclass
class Made:
    """A connection, and the life of the server in which it was made."""

    handle: Any
    life: int


@dataclass
class Seen:
    """What the callers saw."""

    served: int = 0
    broken: int = 0
    refused: int = 0
    stale: int = 0
    unexpected: list[BaseException] = field(default_factory=list)


class Driver:
    """What the program knows of a database, for threads."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def connect(self) -> Made:
        life = self.server.life
        if self.server.name == "redis":
            client = redis.Redis(
                port=self.server.port, single_connection_client=True, socket_timeout=2, retry=None
            )
            client.ping()
            return Made(client, life)
        info = f"host=127.0.0.1 port={self.server.port} user=trunkline dbname=postgres connect_timeout=2"
        return Made(psycopg.connect(info, autocommit=True), life)

    def ask(self, made: Made) -> None:
        if self.server.name == "redis":
            made.handle.incr("asked")
        else:
            made.handle.execute("select 1").fetchone()

    def close(self, made: Made) -> None:
        made.handle.close()


class AsyncDriver:
    """The same for asyncio."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def connect(self) -> Made:
        life = self.server.life
        if self.server.name == "redis":
            client = redis.asyncio.Redis(
                port=self.server.port, single_connection_client=True, socket_timeout=2, retry=None
            )
            await client.ping()
            return Made(client, life)
        info = f"host=127.0.0.1 port={self.server.port} user=trunkline dbname=postgres connect_timeout=2"
        return Made(await psycopg.AsyncConnection.connect(info, autocommit=True), life)

    async def ask(self, made: Made) -> None:
        if self.server.name == "redis":
            await made.handle.incr("asked")
        else:
            await (await made.handle.execute("select 1")).fetchone()

    async def close(self, made: Made) -> None:
        if self.server.name == "redis":
            await made.handle.aclose()
        else:
            await made.handle.close()


ERRORS = (redis.RedisError, psycopg.Error, OSError)


def is_stale(made: Made, server: Server, life: int) -> bool:
    return made.life < life == server.life


def claims(seen: Seen, stats: Any) -> None:
    assert seen.unexpected == []
    assert seen.broken > 0, "the kills were noticed"
    assert seen.stale == 0, "no connection of a killed server is lent"
    assert (stats.used, stats.waiting) == (0, 0), "nobody is stranded"
    assert stats.idle <= CONNECTIONS


def test_threads_are_served_again_after_each_kill(server: Server) -> None:
    driver, seen, over = Driver(server), Seen(), threading.Event()
    pool = trunkline.Pool(
        driver.connect,
        check=driver.ask,
        close=driver.close,
        max_size=CONNECTIONS,
        check_after=0.0,
        breaker=BREAKER,
        name=server.name,
    )

    def caller() -> None:
        while not over.is_set():
            life = server.life
            try:
                with pool.connection(timeout=20.0, discard_on_error=True) as made:
                    stale = is_stale(made, server, life)
                    driver.ask(made)
                    seen.served += 1
                    seen.stale += stale
            except trunkline.CircuitOpen:
                seen.refused += 1
                time.sleep(0.005)
            except ERRORS:
                seen.broken += 1
            except BaseException as error:
                seen.unexpected.append(error)
                return

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    let_serve(seen, 300)
    for _ in range(2):
        server.kill()
        time.sleep(0.3)
        server.start()
        let_serve(seen, 200)
    over.set()
    for thread in threads:
        thread.join(30)
    claims(seen, pool.stats())
    assert pool.close() == 0


def let_serve(seen: Seen, more: int) -> None:
    target, end = seen.served + more, time.monotonic() + 60
    while seen.served < target:
        assert not seen.unexpected, seen
        assert time.monotonic() < end, seen
        time.sleep(0.005)


def test_tasks_are_served_again_after_each_kill(server: Server) -> None:
    asyncio.run(tasks(server))


async def tasks(server: Server) -> None:
    driver, seen, over = AsyncDriver(server), Seen(), asyncio.Event()
    pool = trunkline.AsyncPool(
        driver.connect,
        check=driver.ask,
        close=driver.close,
        max_size=CONNECTIONS,
        check_after=0.0,
        breaker=BREAKER,
        name=server.name,
    )

    async def caller() -> None:
        while not over.is_set():
            life = server.life
            try:
                async with pool.connection(timeout=20.0, discard_on_error=True) as made:
                    stale = is_stale(made, server, life)
                    await driver.ask(made)
                    seen.served += 1
                    seen.stale += stale
            except trunkline.CircuitOpen:
                seen.refused += 1
                await asyncio.sleep(0.005)
            except ERRORS:
                seen.broken += 1

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.to_thread(let_serve, seen, 300)
    for _ in range(2):
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(let_serve, seen, 200)
    over.set()
    await asyncio.gather(*callers)
    claims(seen, pool.stats())
    assert await pool.aclose() == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_makes_a_pool_of_its_own_and_leaves_the_parents_alone(server: Server, method: str) -> None:
    driver = Driver(server)
    with trunkline.Pool(driver.connect, check=driver.ask, close=driver.close, max_size=2) as pool:
        with pool.connection() as held:
            context = multiprocessing.get_context(method)
            child = context.Process(target=in_a_child, args=(server, pool if method == "fork" else None))
            child.start()
            child.join(60)
            assert child.exitcode == 0
            driver.ask(held)
        with pool.connection() as again:
            assert again is held, "the child closed nothing"
            driver.ask(again)


def in_a_child(server: Server, inherited: trunkline.Pool[Made] | None) -> None:
    if inherited is not None:
        with pytest.raises(trunkline.ForkedError):
            inherited.getconn(timeout=1.0)
    driver = Driver(server)
    with trunkline.Pool(driver.connect, check=driver.ask, close=driver.close, max_size=2) as pool:
        with pool.connection() as made:
            driver.ask(made)
