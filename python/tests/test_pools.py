"""Keyed pools for threads and for asyncio."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from support import Thread, eventually

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
