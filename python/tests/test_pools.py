"""Keyed pools for threads and for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import threading
import weakref
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from support import Thread, eventually, threads_wait

import trunkline
from trunkline import NEVER, AsyncKeyedPool, KeyedPool, PoolCloseReason, _pool

Given = tuple[Any, Any, PoolCloseReason]


class Hook:
    """Remembers what was given up, and where."""

    def __init__(self) -> None:
        self.seen: list[Given] = []
        self.threads: set[str] = set()

    def __call__(self, key: object, value: object, reason: PoolCloseReason) -> None:
        self.threads.add(threading.current_thread().name)
        self.seen.append((key, value, reason))


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture(autouse=True)
def _no_dispatcher_is_left() -> Iterator[None]:
    yield
    eventually(lambda: _pool._dispatcher is None, "the end of the dispatcher")


def test_a_value_is_found_under_any_equal_key(hook: Hook) -> None:
    with KeyedPool[object, str](on_close=hook) as pool:
        for key in ("text", b"bytes", 7, ("a", 1), frozenset({1}), None, 1.5):
            pool.insert(key, f"value of {key!r}")
            assert pool.get(key) == f"value of {key!r}"
        assert pool.get(7.0) == "value of 7"
        assert pool.get("other") is None
        stats = pool.stats()
        assert (stats.entries, stats.hits, stats.misses, stats.inserted) == (7, 8, 1, 7)
        assert stats.max_entries == 1024
        assert stats.utilization == 7 / 1024
        assert stats.expiration_ratio == 0
        assert stats.average_age >= timedelta(0)
    assert len(hook.seen) == 7
    assert {reason for _, _, reason in hook.seen} == {PoolCloseReason.POOL_CLOSED}


def test_a_value_that_is_removed_is_the_callers_again(hook: Hook) -> None:
    with KeyedPool[str, str](on_close=hook) as pool:
        pool.insert("a", "first")
        assert pool.remove("a") == "first"
        assert pool.remove("a") is None
        assert pool.get("a") is None
        pool.insert("a", "second")
        assert pool.get("a") == "second"
        assert pool.stats().taken == 1
    assert hook.seen == [("a", "second", PoolCloseReason.POOL_CLOSED)]


def test_each_way_out_has_its_reason(hook: Hook) -> None:
    with KeyedPool[str, int](max_size=2, when_full="evict_oldest", on_close=hook) as pool:
        pool.insert("a", 1)
        pool.insert("a", 2)
        pool.insert("b", 3)
        pool.insert("c", 4)
        pool.clear()
    assert hook.seen[:2] == [
        ("a", 1, PoolCloseReason.REPLACED),
        ("a", 2, PoolCloseReason.EVICTED),
    ]
    assert sorted(hook.seen[2:]) == [
        ("b", 3, PoolCloseReason.CLEARED),
        ("c", 4, PoolCloseReason.CLEARED),
    ]
    assert hook.threads == {"trunkline-pools"}


def test_a_full_pool_rejects_and_the_value_stays_the_callers(hook: Hook) -> None:
    with KeyedPool[str, int](max_size=1, on_close=hook) as pool:
        pool.insert("a", 1)
        with pytest.raises(trunkline.LimitExceeded) as caught:
            pool.insert("b", 2)
        assert caught.value.retryable
        assert pool.get("b") is None
        assert pool.get("a") == 1
    assert hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)]


def test_zero_unset_and_never_are_three_values(hook: Hook) -> None:
    with KeyedPool[str, int](idle_timeout=timedelta(0), on_close=hook) as pool:
        pool.insert("a", 1)
        assert pool.get("a") is None
        pool.prune_expired()
        eventually(lambda: hook.seen == [("a", 1, PoolCloseReason.IDLE_TIMEOUT)])
        assert pool.stats().expired == 1
        assert pool.stats().expiration_ratio == 1
    with KeyedPool[str, int](max_lifetime=timedelta(0)) as pool:
        pool.insert("a", 1)
        assert pool.get("a") is None
    for unset_or_never in (None, NEVER):
        with KeyedPool[str, int](
            idle_timeout=unset_or_never, max_lifetime=unset_or_never, lifetime_jitter=0.5
        ) as pool:
            pool.insert("a", 1)
            assert pool.get("a") == 1
            assert pool.prune_expired() == 0


def test_a_bad_figure_is_named() -> None:
    with pytest.raises(trunkline.ConfigError, match="max_size"):
        KeyedPool(max_size=0)
    with pytest.raises(trunkline.ConfigError, match="lifetime_jitter"):
        KeyedPool(lifetime_jitter=2)
    with pytest.raises(trunkline.ConfigError, match="idle_timeout"):
        KeyedPool(idle_timeout=timedelta(days=400))
    with pytest.raises(trunkline.ConfigError, match="when_full"):
        KeyedPool(when_full="shrug")  # type: ignore[arg-type]


def test_a_closed_pool_says_so(hook: Hook) -> None:
    pool = KeyedPool[str, int](on_close=hook)
    pool.insert("a", 1)
    pool.close()
    pool.close()
    assert hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)]
    for use in (
        lambda: pool.insert("a", 1),
        lambda: pool.get("a"),
        lambda: pool.remove("a"),
        pool.clear,
        pool.prune_expired,
        pool.stats,
    ):
        with pytest.raises(trunkline.PoolClosed):
            use()


def test_the_hook_runs_once_for_each_value_however_threads_race(hook: Hook) -> None:
    pool = KeyedPool[int, int](max_size=8, when_full="evict_lru", on_close=hook)
    removed: list[int] = []

    def work(thread: int) -> None:
        for number in range(300):
            pool.insert(number % 16, thread * 1000 + number)
            pool.get((number * 7) % 16)
            if number % 3 == 0 and (value := pool.remove(number % 16)) is not None:
                removed.append(value)

    threads = [Thread(work, thread) for thread in range(4)]
    for thread in threads:
        thread.result()
    assert pool.stats().entries <= 8
    pool.close()
    inserted = [thread * 1000 + number for thread in range(4) for number in range(300)]
    given_up = [value for _, value, _ in hook.seen]
    assert sorted(given_up + removed) == inserted


def test_a_hook_that_fails_is_logged_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(key: str, value: int, reason: PoolCloseReason) -> None:
        raise ValueError(key)

    with caplog.at_level(logging.ERROR, "trunkline"), KeyedPool[str, int](on_close=fail) as pool:
        pool.insert("a", 1)
        pool.insert("b", 2)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "the close hook of a pool failed for key 'a'",
        "the close hook of a pool failed for key 'b'",
    ]


def test_a_hook_may_use_and_close_its_pool() -> None:
    done = threading.Event()

    def hook(key: str, value: int, reason: PoolCloseReason) -> None:
        if value < 3:
            pool.insert(key, value + 1)
            pool.remove(key)
            pool.insert(key, value + 2)
            pool.clear()
        else:
            pool.close()
            done.set()

    pool = KeyedPool[str, int](on_close=hook)
    pool.insert("a", 1)
    pool.clear()
    assert done.wait(20)
    pool.close()


def test_values_are_let_go_with_the_pool() -> None:
    class Value:
        pass

    value = Value()
    reference = weakref.ref(value)
    with KeyedPool[str, Value]() as pool:
        pool.insert("a", value)
        del value
        assert reference() is not None
        pool.clear()
        eventually(lambda: reference() is None, "the end of the value")


def test_a_forgotten_pool_is_closed_with_a_warning(hook: Hook) -> None:
    pool = KeyedPool[str, int](on_close=hook)
    pool.insert("a", 1)
    with pytest.warns(ResourceWarning, match="unclosed <KeyedPool open>"):
        del pool
        gc.collect()
    eventually(lambda: hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)])


def test_close_does_not_wait_longer_than_it_may() -> None:
    goes_on = threading.Event()
    pool = KeyedPool[str, int](on_close=lambda *_: goes_on.wait(20))
    pool.insert("a", 1)
    with pytest.raises(trunkline.PoolTimeout):
        pool.close(timeout=0.01)
    goes_on.set()
    pool.close()


async def test_the_hook_of_a_loop_runs_on_the_loop(hook: Hook) -> None:
    async with AsyncKeyedPool[str, int](max_size=1, when_full="evict_lru", on_close=hook) as pool:
        pool.insert("a", 1)
        pool.insert("b", 2)
        assert pool.get("b") == 2
        while not hook.seen:
            await asyncio.sleep(0)
    assert hook.seen == [
        ("a", 1, PoolCloseReason.EVICTED),
        ("b", 2, PoolCloseReason.POOL_CLOSED),
    ]
    assert hook.threads == {threading.current_thread().name}
    await pool.aclose()
    with pytest.raises(trunkline.PoolClosed):
        pool.get("b")


async def test_the_hook_of_a_loop_may_wait() -> None:
    closed: list[str] = []

    async def hook(key: str, stream: trunkline.AsyncStream, reason: PoolCloseReason) -> None:
        await asyncio.sleep(0)
        await stream.aclose()
        closed.append(key)

    near, far = trunkline.async_pipe()
    async with AsyncKeyedPool[str, trunkline.AsyncStream](on_close=hook) as pool:
        pool.insert("near", near)
        pool.insert("far", far)
    assert sorted(closed) == ["far", "near"]


async def test_a_hook_of_a_loop_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(key: str, value: int, reason: PoolCloseReason) -> None:
        raise ValueError(key)

    with caplog.at_level(logging.ERROR, "trunkline"):
        async with AsyncKeyedPool[str, int](on_close=fail) as pool:
            pool.insert("a", 1)
    assert "close hook" in caplog.text


async def test_a_forgotten_pool_of_a_loop_is_closed_with_a_warning(hook: Hook) -> None:
    pool = AsyncKeyedPool[str, int](on_close=hook)
    pool.insert("a", 1)
    with pytest.warns(ResourceWarning, match="unclosed <AsyncKeyedPool open>"):
        del pool
        gc.collect()
    while not hook.seen:
        await asyncio.sleep(0)
    assert hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)]


def test_a_value_that_is_not_there_is_made_once(hook: Hook) -> None:
    made: list[str] = []
    goes_on = threading.Event()

    def make(key: str) -> str:
        made.append(key)
        assert goes_on.wait(20)
        return f"value of {key}"

    with KeyedPool[str, str](on_close=hook) as pool:
        threads = [Thread(pool.get_or_create, "a", make) for _ in range(5)]
        threads_wait(4)
        goes_on.set()
        assert {thread.result() for thread in threads} == {"value of a"}
        assert pool.get_or_create("a", make) == "value of a"
        assert pool.get_or_create("b", make, timeout=0) == "value of b"
        assert made == ["a", "b"]
        assert (pool.size(), pool.max_size(), pool.expiration_ratio()) == (2, 1024, 0)
        assert pool.utilization() == 2 / 1024
    assert len(hook.seen) == 2


def test_what_a_maker_raises_is_its_callers_and_the_next_one_makes() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def fail(key: str) -> int:
        begun.set()
        assert goes_on.wait(20)
        raise OSError(111, key)

    with KeyedPool[str, int]() as pool:
        failing = Thread(pool.get_or_create, "a", fail)
        assert begun.wait(20)
        following = Thread(pool.get_or_create, "a", len)
        threads_wait()
        goes_on.set()
        with pytest.raises(OSError, match="a"):
            failing.result()
        assert following.result() == 1

        def interrupted(key: str) -> int:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pool.get_or_create("b", interrupted)
        assert pool.get_or_create("b", len) == 1


def test_a_value_inserted_meanwhile_stays(hook: Hook) -> None:
    with KeyedPool[str, str](on_close=hook) as pool:

        def make(key: str) -> str:
            pool.insert(key, "inserted")
            return "made"

        assert pool.get_or_create("a", make) == "inserted"
        eventually(lambda: hook.seen == [("a", "made", PoolCloseReason.DUPLICATE)])


def test_a_maker_that_takes_too_long_holds_nobody_up(hook: Hook) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(key: str) -> str:
        begun.set()
        assert goes_on.wait(20)
        return "slow"

    with KeyedPool[str, str](on_close=hook) as pool:
        slow_one = Thread(lambda: pool.get_or_create("a", slow, timeout=0.05))
        assert begun.wait(20)
        with pytest.raises(trunkline.PoolTimeout):
            pool.get_or_create("a", str.upper, timeout=0)
        assert pool.get_or_create("a", str.upper) == "A"
        goes_on.set()
        with pytest.raises(trunkline.PoolTimeout) as caught:
            slow_one.result()
        assert caught.value.elapsed is not None
        eventually(lambda: hook.seen == [("a", "slow", PoolCloseReason.UNWANTED)])
        assert pool.get("a") == "A"


def test_a_close_waits_for_values_that_are_being_made_and_gives_them_up(hook: Hook) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def make(key: str) -> int:
        begun.set()
        assert goes_on.wait(20)
        return 1

    pool = KeyedPool[str, int](on_close=hook)
    making = Thread(pool.get_or_create, "a", make)
    assert begun.wait(20)
    waiting = Thread(pool.get_or_create, "a", make)
    threads_wait()
    with pytest.raises(trunkline.PoolTimeout):
        pool.close(timeout=0.01)
    with pytest.raises(trunkline.PoolClosed):
        waiting.result()
    goes_on.set()
    with pytest.raises(trunkline.PoolClosed):
        making.result()
    pool.close()
    assert hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)]


def test_a_maker_may_close_its_pool(hook: Hook) -> None:
    pool = KeyedPool[str, int](on_close=hook)

    def make(key: str) -> int:
        pool.close()
        return 1

    with pytest.raises(trunkline.PoolClosed):
        pool.get_or_create("a", make)
    pool.close()
    assert hook.seen == [("a", 1, PoolCloseReason.POOL_CLOSED)]


def test_threads_that_make_and_fail_never_make_two_for_a_key(hook: Hook) -> None:
    at_work: set[int] = set()
    made: list[int] = []
    pool = KeyedPool[int, int](max_size=3, when_full="evict_lru", on_close=hook)

    def make(key: int) -> int:
        assert key not in at_work
        at_work.add(key)
        number = len(made)
        made.append(number)
        at_work.remove(key)
        if number % 3 == 0:
            raise ValueError(number)
        return number

    def work() -> None:
        for number in range(200):
            with contextlib.suppress(ValueError, trunkline.LimitExceeded):
                pool.get_or_create(number % 4, make)

    for thread in [Thread(work) for _ in range(4)]:
        thread.result()
    assert pool.size() <= 3
    inserted = pool.stats().inserted
    pool.close()
    assert len(hook.seen) == inserted == len({value for _, value, _ in hook.seen})


def test_a_full_pool_lets_its_callers_wait(hook: Hook) -> None:
    with KeyedPool[str, int](max_size=1, when_full="wait", on_close=hook) as pool:
        pool.insert_wait("a", 1)
        with pytest.raises(trunkline.LimitExceeded) as caught:
            pool.insert("b", 2)
        assert caught.value.retryable
        with pytest.raises(trunkline.PoolTimeout):
            pool.insert_wait("b", 2, timeout=0.01)
        second = Thread(pool.insert_wait, "b", 3)
        threads_wait()
        assert pool.remove("a") == 1
        second.result()
        making = Thread(pool.get_or_create, "c", len)
        threads_wait()
        assert pool.remove("b") == 3
        assert making.result() == 1
        waiting = Thread(pool.insert_wait, "d", 4)
        threads_wait()
    with pytest.raises(trunkline.PoolClosed):
        waiting.result()
    assert hook.seen == [("c", 1, PoolCloseReason.POOL_CLOSED)]


def test_a_value_may_have_a_lifetime_of_its_own(hook: Hook) -> None:
    with KeyedPool[str, int](on_close=hook) as pool:
        pool.insert("a", 1, lifetime=timedelta(0))
        pool.insert_wait("b", 2, lifetime=NEVER)
        pool.insert_wait("c", 3, lifetime=timedelta(hours=1))
        assert (pool.get("a"), pool.get("b"), pool.get("c")) == (None, 2, 3)
        with pytest.raises(trunkline.ConfigError, match="lifetime"):
            pool.insert("a", 1, lifetime=timedelta(seconds=-1))
        eventually(lambda: hook.seen == [("a", 1, PoolCloseReason.LIFETIME)])


async def test_tasks_share_what_one_of_them_makes(hook: Hook) -> None:
    made: list[str] = []
    goes_on = asyncio.Event()

    async def make(key: str) -> str:
        made.append(key)
        await goes_on.wait()
        return f"value of {key}"

    async with AsyncKeyedPool[str, str](on_close=hook) as pool:
        tasks = [asyncio.create_task(pool.get_or_create("a", make)) for _ in range(10)]
        await asyncio.sleep(0)
        goes_on.set()
        assert set(await asyncio.gather(*tasks)) == {"value of a"}
        assert made == ["a"]
    assert hook.seen == [("a", "value of a", PoolCloseReason.POOL_CLOSED)]


async def test_a_task_that_is_cancelled_in_its_maker_hands_its_turn_on(hook: Hook) -> None:
    cancelled: list[str] = []

    async def hangs(key: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(key)
            raise
        return "never"

    async def make(key: str) -> str:
        return "made"

    def fails(key: str) -> Awaitable[str]:
        raise ValueError(key)

    async with AsyncKeyedPool[str, str](on_close=hook) as pool:
        first = asyncio.create_task(pool.get_or_create("a", hangs))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(pool.get_or_create("a", make)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()
        done = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(answer) for answer in done[:2]] == [asyncio.CancelledError] * 2
        assert done[2:] == ["made", "made"]
        assert cancelled == ["a"]
        with pytest.raises(ValueError, match="b"):
            await pool.get_or_create("b", fails)
        with pytest.raises(trunkline.PoolTimeout):
            await pool.get_or_create("b", hangs, timeout=0.01)
        assert cancelled == ["a", "b"]
        assert await pool.get_or_create("b", make) == "made"


async def test_a_timeout_of_the_makers_own_is_not_the_pools() -> None:
    async def make(key: str) -> str:
        raise TimeoutError("its own")

    async with AsyncKeyedPool[str, str]() as pool:
        with pytest.raises(TimeoutError, match="its own") as caught:
            await pool.get_or_create("a", make)
        assert not isinstance(caught.value, trunkline.PoolTimeout)


async def test_a_close_on_a_loop_waits_for_makers_too(hook: Hook) -> None:
    goes_on = asyncio.Event()

    async def make(key: str) -> str:
        await goes_on.wait()
        return "made"

    async def closes(key: str) -> str:
        await pool.aclose()
        return "made"

    pool = AsyncKeyedPool[str, str](on_close=hook)
    making = asyncio.create_task(pool.get_or_create("a", make))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(pool.get_or_create("a", make))
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.aclose())
    with pytest.raises(trunkline.PoolClosed):
        await waiting
    assert not closing.done()
    goes_on.set()
    with pytest.raises(trunkline.PoolClosed):
        await making
    await closing
    assert hook.seen == [("a", "made", PoolCloseReason.POOL_CLOSED)]
    pool = AsyncKeyedPool[str, str](on_close=hook)
    with pytest.raises(trunkline.PoolClosed):
        await pool.get_or_create("a", closes)
    await pool.aclose()
    assert len(hook.seen) == 2


async def test_a_full_pool_of_a_loop_lets_its_callers_wait(hook: Hook) -> None:
    async with AsyncKeyedPool[str, int](max_size=1, when_full="wait", on_close=hook) as pool:
        await pool.insert_wait("a", 1)
        with pytest.raises(trunkline.PoolTimeout):
            await pool.insert_wait("b", 2, timeout=0.01)
        cancelled = asyncio.create_task(pool.insert_wait("b", 3))
        second = asyncio.create_task(pool.insert_wait("c", 4))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert pool.remove("a") == 1
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        while not second.done():
            # It may have gone in before it heard of the cancel.
            assert pool.remove("b") in (None, 3)
            await asyncio.sleep(0.001)
        assert pool.get("c") == 4
    assert hook.seen == [("c", 4, PoolCloseReason.POOL_CLOSED)]


async def test_a_storm_of_cancelled_tasks_strands_nobody(hook: Hook) -> None:
    made = itertools.count()

    async def make(key: int) -> int:
        await asyncio.sleep(0)
        return next(made)

    async with AsyncKeyedPool[int, int](max_size=4, when_full="wait", on_close=hook) as pool:

        async def use(number: int) -> None:
            key = number % 6
            await pool.get_or_create(key, make)
            if number % 2:
                pool.remove(key)

        tasks = [asyncio.create_task(use(number)) for number in range(200)]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                task.cancel()
            await asyncio.sleep(0)
        while any(not task.done() for task in tasks):
            pool.clear()
            await asyncio.sleep(0.001)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), asyncio.CancelledError}
        assert pool.size() <= 4
