"""Checkout pools for asyncio."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from supply import ALWAYS, SOON, AsyncSupply, Connection
from support import Thread, eventually

import trunkline
from trunkline import AsyncPool, BreakerConfig, PoolCloseReason, _native


@pytest.fixture
def supply() -> AsyncSupply:
    return AsyncSupply()


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    await until(lambda: len(asyncio.all_tasks()) == 1)


def pool_of(supply: AsyncSupply, **figures: Any) -> AsyncPool[Connection]:
    return AsyncPool(supply.aconnect, close=supply.aclose, **figures)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def waiting(pool: AsyncPool[Any], count: int) -> Awaitable[None]:
    return until(lambda: pool.stats().waiting == count)


async def test_a_block_borrows_a_connection_and_gives_it_back(supply: AsyncSupply) -> None:
    async with pool_of(supply, name="db") as pool:
        async with pool.connection() as first:
            assert isinstance(first, Connection)
            assert pool.stats().used == 1
        async with pool.connection() as second:
            assert second is first
        assert (pool.stats().hits, pool.stats().idle) == (1, 1)
        assert repr(pool) == "<AsyncPool 'db' open>"
    assert supply.each_was_closed_once()
    assert repr(pool) == "<AsyncPool 'db' closed>"
    assert supply.threads == {threading.current_thread().name}


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(supply: AsyncSupply) -> None:
    order: list[int] = []

    async def borrow(number: int) -> None:
        async with pool.connection():
            order.append(number)
            await asyncio.sleep(0)

    async with pool_of(supply, max_size=1) as pool:
        await asyncio.gather(*(borrow(number) for number in range(50)))
        assert order == list(range(50))
        assert pool.stats().handed_over == 50
    assert len(supply.made) == 1


async def test_a_timeout_says_the_numbers_and_who_holds_what(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1, name="db") as pool, pool.connection():
        with pytest.raises(trunkline.PoolTimeout) as caught:
            async with pool.connection(timeout=0.02):
                pass
    assert 'pool "db": 1 of 1 in use, 0 idle, 0 connecting' in str(caught.value)
    assert f"by {__file__}:" in str(caught.value)
    assert pool.stats().timeouts == 1


async def test_the_holder_is_the_one_who_asked_also_for_a_task(supply: AsyncSupply) -> None:
    async with pool_of(supply) as pool:
        leases = [await pool.acquire(), await asyncio.create_task(pool.acquire())]
        conn = await asyncio.wait_for(pool.getconn(), 20)
        assert all(held.holder.startswith(f"{__file__}:") for held in pool.leases())
        assert {lease.number for lease in leases} <= {held.lease for held in pool.leases()}
        await pool.putconn(conn)
        for lease in leases:
            await pool.putconn(lease)
        assert pool.stats().idle == 3


async def test_what_connect_raised_is_the_cause_of_what_the_waiter_gets(supply: AsyncSupply) -> None:
    supply.error = OSError(113, "no route to the database")
    async with pool_of(supply, backoff=SOON, breaker=ALWAYS, min_idle=1) as pool:
        with pytest.raises(trunkline.PoolTimeout, match="last connect failed") as caught:
            await pool.acquire(timeout=0.1)
        assert caught.value.__cause__ is supply.error
        with pytest.raises(trunkline.PoolTimeout, match="0 of 1 idle") as again:
            await pool.wait(timeout=0.05)
        assert again.value.__cause__ is supply.error
        supply.error = None
        await pool.wait()


async def test_a_circuit_that_is_open_refuses_at_once(supply: AsyncSupply) -> None:
    supply.error = ConnectionRefusedError("nobody is there")
    breaker = BreakerConfig(consecutive_failures=1, open=timedelta(seconds=60))
    async with pool_of(supply, breaker=breaker) as pool:
        with pytest.raises(trunkline.CircuitOpen) as caught:
            await pool.acquire()
        assert caught.value.__cause__ is supply.error


async def test_one_waiter_too_many_is_refused_at_once(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1, max_waiters=1) as pool:
        async with pool.connection():
            waiter = asyncio.create_task(pool.acquire())
            await waiting(pool, 1)
            with pytest.raises(trunkline.TooManyWaiters):
                await pool.acquire()
        (await waiter).release()


async def test_a_closed_pool_refuses_everybody_who_waits(supply: AsyncSupply) -> None:
    pool = pool_of(supply, max_size=1)
    lease = await pool.acquire()
    waiter = asyncio.create_task(pool.acquire())
    await waiting(pool, 1)
    assert await pool.aclose(timeout=0.01) == 1
    with pytest.raises(trunkline.PoolClosed):
        await waiter
    for use in (pool.acquire, pool.getconn, pool.open, pool.connection().__aenter__):
        with pytest.raises(trunkline.PoolClosed):
            await use()
    lease.release()
    assert await pool.aclose() == 0
    assert supply.each_was_closed_once()


async def test_a_pool_may_be_opened_later(supply: AsyncSupply) -> None:
    pool = pool_of(supply, open=False, min_idle=2)
    with pytest.raises(trunkline.PoolClosed, match="not open yet"):
        await pool.acquire()
    await pool.open(wait=True)
    assert pool.stats().idle == 2
    await pool.aclose()


def test_a_pool_is_opened_in_a_loop(supply: AsyncSupply) -> None:
    with pytest.raises(trunkline.ConfigError, match="no running loop"):
        pool_of(supply)


async def test_a_lease_ends_once(supply: AsyncSupply) -> None:
    async with pool_of(supply) as pool:
        lease = await pool.acquire()
        lease.release()
        for use in (lease.release, lease.discard, lease.detach):
            with pytest.raises(trunkline.ClosedError, match="the lease is over"):
                use()
        with pytest.raises(trunkline.ClosedError):
            await pool.putconn(lease)
        with await pool.acquire() as connection:
            assert connection.number == 1
        own = (await pool.acquire()).detach()
    assert own.closes == 0
    assert pool.stats().closed_by_reason == {PoolCloseReason.DETACHED: 1}


async def test_a_cancelled_block_costs_its_connection_and_an_exception_does_not(supply: AsyncSupply) -> None:
    entered = asyncio.Event()

    async def stay() -> None:
        async with pool.connection():
            entered.set()
            await asyncio.sleep(60)

    async with pool_of(supply) as pool:
        task = asyncio.create_task(stay())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: supply.made[0].closes == 1)
        with pytest.raises(KeyError):
            async with pool.connection() as kept:
                raise KeyError
        assert pool.stats().idle == 1
        with pytest.raises(KeyError):
            async with pool.connection(discard_on_error=True):
                raise KeyError
        await until(lambda: kept.closes == 1)


async def test_a_waiter_that_is_cancelled_leaves_the_line(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1) as pool:
        async with pool.connection():
            waiters = [asyncio.create_task(pool.acquire()) for _ in range(100)]
            await waiting(pool, 100)
            for waiter in waiters[:-1]:
                waiter.cancel()
            await asyncio.wait(waiters[:-1])
            await waiting(pool, 1)
        (await waiters[-1]).release()
        assert pool.stats().cancelled == 99
        await until(lambda: _native.debug_counts()["operations"] == 0)


async def test_a_cancel_in_the_moment_of_the_handover_loses_nothing(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1) as pool:
        for others in (0, 1, 2):
            lease = await pool.acquire()
            waiters = [asyncio.create_task(pool.acquire()) for _ in range(1 + others)]
            await waiting(pool, 1 + others)
            # It has the connection when the cancel comes, and has not run yet.
            lease.release()
            waiters[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiters[0]
            for waiter in waiters[1:]:
                (await waiter).release()
            assert pool.stats().used == 0


async def test_nothing_is_lost_in_a_storm_of_cancels(supply: AsyncSupply) -> None:
    held: set[int] = set()

    async def work(seed: int) -> None:
        for turn in range(20):
            async with pool.connection() as connection:
                assert connection.number not in held
                held.add(connection.number)
                try:
                    if (seed + turn) % 3:
                        await asyncio.sleep(0)
                finally:
                    held.discard(connection.number)

    async def storm(task: asyncio.Task[None], seed: int) -> None:
        for _ in range(seed % 17):
            await asyncio.sleep(0)
        if seed % 2:
            task.cancel()

    async with pool_of(supply, max_size=4) as pool:
        tasks = [asyncio.create_task(work(seed)) for seed in range(60)]
        storms = [storm(task, seed) for seed, task in enumerate(tasks)]
        await asyncio.gather(*storms)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(answer is None or isinstance(answer, asyncio.CancelledError) for answer in done)
        await until(lambda: pool.stats().used == pool.stats().waiting == 0)
    assert supply.each_was_closed_once()


async def test_a_forgotten_lease_goes_back_with_a_warning(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1) as pool:
        lease = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await waiting(pool, 1)
        with pytest.warns(ResourceWarning, match="unreleased <Lease of <Connection 1>>"):
            del lease
            gc.collect()
        (await waiter).release()


async def test_a_forgotten_pool_is_closed_with_a_warning(supply: AsyncSupply) -> None:
    pool = pool_of(supply, min_idle=2)
    await pool.wait()
    with pytest.warns(ResourceWarning, match="unclosed <AsyncPool 'default' open>"):
        del pool
        gc.collect()
    await until(lambda: len(supply.made) == 2 and supply.each_was_closed_once())


async def test_checks_and_resets_run_on_the_loop(supply: AsyncSupply) -> None:
    hooks: dict[str, Any] = {"check": supply.acheck, "reset": supply.areset, "close": supply.aclose}
    async with AsyncPool(supply.aconnect, check_after=0, **hooks) as pool:
        async with pool.connection() as first:
            pass
        async with pool.connection() as same:
            assert same is first
            assert first.resets == 1
        await until(lambda: pool.stats().idle == 1)
        async with pool.connection():
            assert first.checks == 1
        await until(lambda: pool.stats().idle == 1)
        first.is_sound = False
        async with pool.connection() as other:
            assert other is not first
            other.is_sound = False
        await until(lambda: first.closes == other.closes == 1)


async def test_hooks_may_be_plain_functions(supply: AsyncSupply) -> None:
    plain: Any = supply.connect
    async with AsyncPool(plain, reset=supply.reset, close=supply.close) as pool:
        async with pool.connection() as connection:
            pass
    assert (connection.resets, connection.closes) == (1, 1)


async def test_a_connect_that_takes_too_long_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def connect() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with AsyncPool(connect, connect_timeout=0.02) as pool:
        with pytest.raises(trunkline.PoolTimeout):
            await pool.acquire(timeout=0.1)
        await cancelled.wait()


async def test_a_pool_is_resized_cleared_and_drained(supply: AsyncSupply) -> None:
    pool = pool_of(supply, max_size=1)
    async with pool.connection():
        waiter = asyncio.create_task(pool.acquire())
        await waiting(pool, 1)
        pool.resize(max_size=2)
        second = await waiter
        pool.clear()
    second.release()
    await until(supply.each_was_closed_once)
    lease = await pool.acquire()
    draining = asyncio.create_task(pool.drain())
    await until(lambda: pool._is_closed)
    await asyncio.sleep(0)
    with pytest.raises(trunkline.PoolClosed):
        await pool.acquire()
    lease.release()
    assert await draining == 0
    await pool.aclose()


async def test_a_cancelled_close_closes_all_the_same(supply: AsyncSupply) -> None:
    pool = pool_of(supply)
    lease = await pool.acquire()
    closing = asyncio.create_task(pool.aclose(timeout=None))
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    lease.release()
    await until(supply.each_was_closed_once)


async def test_another_thread_may_put_back_what_a_task_waits_for(supply: AsyncSupply) -> None:
    async with pool_of(supply, max_size=1) as pool:
        lease = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await waiting(pool, 1)
        await asyncio.to_thread(lease.release)
        (await waiter).release()


async def test_a_pool_is_of_one_loop(supply: AsyncSupply) -> None:
    async def foreign() -> None:
        for use in (pool.acquire, pool.getconn, pool.wait, pool.aclose, pool.connection().__aenter__):
            with pytest.raises(trunkline.ConfigError, match="another event loop"):
                await use()

    async with pool_of(supply) as pool:
        await asyncio.to_thread(asyncio.run, foreign())
        async with pool.connection():
            pass


def test_loops_of_two_threads_have_pools_of_their_own() -> None:
    async def work() -> int:
        supply = AsyncSupply()
        async with pool_of(supply, max_size=2) as pool:

            async def borrow() -> None:
                async with pool.connection():
                    await asyncio.sleep(0)

            await asyncio.gather(*(borrow() for _ in range(100)))
        assert supply.each_was_closed_once()
        return len(supply.made)

    threads = [Thread(asyncio.run, work()) for _ in range(2)]
    assert [thread.result() for thread in threads] == [2, 2]
    assert asyncio.run(work()) == 2


def test_a_loop_may_be_closed_before_its_pool(supply: AsyncSupply) -> None:
    async def open_and_leave() -> AsyncPool[Connection]:
        pool = pool_of(supply, min_idle=1)
        await pool.wait()
        return pool

    pool = asyncio.run(open_and_leave())
    with pytest.warns(ResourceWarning, match="unclosed"):
        del pool
        gc.collect()
    eventually(lambda: _native.debug_counts()["pools"] == 0)


async def test_the_runtime_may_end_before_the_pool(supply: AsyncSupply) -> None:
    pool = pool_of(supply, min_idle=3)
    await pool.wait()
    trunkline.runtime.shutdown()
    with pytest.raises(trunkline.PoolClosed):
        await pool.acquire()
    await pool.aclose()
    assert len(supply.made) == 3
    assert supply.each_was_closed_once()


async def test_streams_are_lent_by_address(address_of: Callable[[str], str]) -> None:
    listener = await trunkline.async_listen(address_of("tcp"))
    async with listener, AsyncPool(listener.getsockname(), max_size=1) as pool:
        async with pool.connection() as near:
            far = await listener.accept()
            await near.send(b"hello")
            assert await far.receive() == b"hello"
        for use in (near.receive, near.send_eof):
            with pytest.raises(trunkline.ClosedError):
                await use()
        async with pool.connection() as again:
            await again.send(b"the same")
        assert await far.receive() == b"the same"
        lease = await pool.acquire()
        async with lease.detach() as own, far:
            await own.send(b"for good")
            assert await far.receive() == b"for good"
