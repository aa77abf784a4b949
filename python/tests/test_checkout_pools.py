"""Checkout pools for threads."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from supply import ALWAYS, SOON, Connection, Supply
from support import Thread, eventually

import trunkline
from trunkline import NEVER, BreakerConfig, Pool, PoolCloseReason


@pytest.fixture
def supply() -> Supply:
    return Supply()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    eventually(
        lambda: not any(thread.name.startswith("trunkline-pool") for thread in threading.enumerate()),
        "the end of the pools' threads",
    )


def pool_of(supply: Supply, **figures: Any) -> Pool[Connection]:
    return Pool(supply.connect, close=supply.close, **figures)


def waiting(pool: Pool[Any], count: int) -> None:
    eventually(lambda: pool.stats().waiting == count, f"{count} callers in line")


def test_a_block_borrows_a_connection_and_gives_it_back(supply: Supply) -> None:
    with pool_of(supply, name="db") as pool:
        with pool.connection() as first:
            assert isinstance(first, Connection)
            assert pool.stats().used == 1
        with pool.connection() as second:
            assert second is first
        stats = pool.stats()
        assert (stats.idle, stats.used, stats.acquired, stats.hits) == (1, 0, 2, 1)
        assert repr(pool) == "<Pool 'db' open>"
    assert supply.each_was_closed_once()
    assert repr(pool) == "<Pool 'db' closed>"
    assert all(name.startswith("trunkline-pool-db") for name in supply.threads)


def test_those_who_wait_are_served_in_the_order_in_which_they_came(supply: Supply) -> None:
    order: list[int] = []

    def borrow(number: int) -> None:
        with pool.connection():
            order.append(number)

    with pool_of(supply, max_size=1) as pool:
        with pool.connection():
            threads = []
            for number in range(8):
                threads.append(Thread(borrow, number))
                waiting(pool, number + 1)
        for thread in threads:
            thread.result()
        assert order == list(range(8))
        assert pool.stats().handed_over >= 8
    assert len(supply.made) == 1


def test_a_timeout_says_the_numbers_and_who_holds_what(supply: Supply) -> None:
    with pool_of(supply, max_size=1, name="db") as pool, pool.connection():
        with pytest.raises(trunkline.PoolTimeout) as caught, pool.connection(timeout=0.02):
            pass
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert 'pool "db": 1 of 1 in use, 0 idle, 0 connecting' in str(error)
    assert f"by {__file__}:" in str(error)
    assert error.elapsed is not None
    assert error.__cause__ is None
    assert pool.stats().timeouts == 1


def test_no_time_at_all_takes_only_what_is_there(supply: Supply) -> None:
    with pool_of(supply, max_size=1) as pool:
        with pytest.raises(trunkline.PoolTimeout, match="0 of 1 in use"):
            pool.acquire(timeout=0)
        with pool.connection():
            with pytest.raises(trunkline.PoolTimeout, match="1 of 1 in use"):
                pool.acquire(timeout=0)
        with pool.connection(timeout=0):
            pass
        with pytest.raises(trunkline.ConfigError, match="timeout"), pool.connection():
            pool.acquire(timeout=-1)


def test_what_connect_raised_is_the_cause_of_what_the_waiter_gets(supply: Supply) -> None:
    supply.error = OSError(113, "no route to the database")
    with pool_of(supply, backoff=SOON, breaker=ALWAYS) as pool:
        with pytest.raises(trunkline.PoolTimeout, match="last connect failed") as caught:
            pool.acquire(timeout=0.1)
        assert caught.value.__cause__ is supply.error
        with pytest.raises(trunkline.PoolTimeout) as again:
            pool.resize(min_idle=2)
            pool.wait(timeout=0.05)
        assert again.value.__cause__ is supply.error
        assert "0 of 2 idle" in str(again.value)
        supply.error = None
        pool.wait()
        with pool.connection():
            pass


def test_a_circuit_that_is_open_refuses_at_once(supply: Supply) -> None:
    supply.error = ConnectionRefusedError("nobody is there")
    breaker = BreakerConfig(consecutive_failures=1, open=timedelta(seconds=60))
    with pool_of(supply, breaker=breaker) as pool:
        with pytest.raises(trunkline.CircuitOpen) as caught:
            pool.acquire()
        assert caught.value.__cause__ is supply.error
        assert isinstance(caught.value, trunkline.LimitExceeded)


def test_one_waiter_too_many_is_refused_at_once(supply: Supply) -> None:
    with pool_of(supply, max_size=1, max_waiters=1) as pool:
        with pool.connection():
            waiter = Thread(lambda: pool.putconn(pool.getconn()))
            waiting(pool, 1)
            with pytest.raises(trunkline.TooManyWaiters):
                pool.acquire()
        waiter.result()
        assert pool.stats().refused == 1


def test_a_closed_pool_refuses_everybody_who_waits(supply: Supply) -> None:
    pool = pool_of(supply, max_size=1)
    lease = pool.acquire()
    waiter = Thread(pool.acquire)
    waiting(pool, 1)
    assert pool.close(timeout=0.01) == 1
    with pytest.raises(trunkline.PoolClosed):
        waiter.result()
    for use in (pool.acquire, pool.getconn, pool.open, pool.connection().__enter__):
        with pytest.raises(trunkline.PoolClosed):
            use()
    assert supply.open() == [1]
    lease.release()
    assert pool.close() == 0
    assert supply.each_was_closed_once()
    assert pool.stats().closed_by_reason == {PoolCloseReason.POOL_CLOSED: 1}


def test_a_pool_may_be_opened_later(supply: Supply) -> None:
    pool = pool_of(supply, open=False, min_idle=2)
    assert repr(pool) == "<Pool 'default' not open>"
    with pytest.raises(trunkline.PoolClosed, match="not open yet"):
        pool.acquire()
    pool.open(wait=True)
    pool.open()
    assert pool.stats().idle == 2
    pool.close()
    never = pool_of(supply, open=False)
    never.close()
    with never:
        pass


def test_a_lease_ends_once(supply: Supply) -> None:
    with pool_of(supply) as pool, pool_of(supply) as other:
        lease = pool.acquire()
        assert lease.connection in supply.made
        lease.release()
        conn = pool.getconn()
        uses: list[Callable[[], object]] = [
            lease.release,
            lease.discard,
            lease.detach,
            lambda: lease.connection,
            lambda: lease.number,
            lease.__enter__,
            lambda: pool.putconn(lease),
            lambda: other.putconn(conn),
        ]
        for use in uses:
            with pytest.raises(trunkline.ClosedError, match="the lease is over"):
                use()
        pool.putconn(conn)
        with pytest.raises(trunkline.ClosedError):
            pool.putconn(conn)
        assert "over" in repr(lease)
        assert pool.stats().used == 0


def test_what_is_discarded_is_closed_and_what_is_detached_is_not(supply: Supply) -> None:
    with pool_of(supply) as pool:
        with pool.acquire() as kept:
            pass
        pool.putconn(pool.getconn(), discard=True)
        eventually(lambda: kept.closes == 1)
        lease = pool.acquire()
        lease.discard()
        lease = pool.acquire()
        own = lease.detach()
        assert own.number == 3
        stats = pool.stats()
        assert stats.idle == stats.used == 0
    assert [connection.closes for connection in supply.made] == [1, 1, 0]
    assert pool.stats().closed_by_reason == {PoolCloseReason.DISCARDED: 2, PoolCloseReason.DETACHED: 1}


@pytest.mark.parametrize(
    ("raised", "policy", "closes"),
    [
        (ValueError, None, False),
        (KeyboardInterrupt, None, True),
        (GeneratorExit, None, True),
        (ValueError, True, True),
        (KeyboardInterrupt, False, False),
    ],
)
def test_a_block_that_is_torn_costs_its_connection(
    supply: Supply, raised: type[BaseException], policy: bool | None, closes: bool
) -> None:
    with pool_of(supply) as pool:
        with pytest.raises(raised), pool.connection(discard_on_error=policy):
            raise raised
        eventually(lambda: pool.stats().used == 0 and pool.stats().closing == 0)
        assert pool.stats().idle == (0 if closes else 1)
        if policy is None:
            with pytest.raises(raised), pool.acquire():
                raise raised


def test_a_forgotten_lease_goes_back_with_a_warning(supply: Supply) -> None:
    with pool_of(supply, max_size=1) as pool:
        lease = pool.acquire()
        with pytest.warns(ResourceWarning, match="unreleased <Lease of <Connection 1>>"):
            del lease
            gc.collect()
        with pool.connection(timeout=0) as connection:
            assert connection.number == 1
        block = pool.connection()
        block.__enter__()
        del block
        gc.collect()
        with pool.connection(timeout=0):
            pass


def test_a_forgotten_pool_is_closed_with_a_warning(supply: Supply) -> None:
    pool = pool_of(supply, min_idle=2)
    pool.wait()
    with pytest.warns(ResourceWarning, match="unclosed <Pool 'default' open>"):
        del pool
        gc.collect()
    eventually(lambda: len(supply.made) == 2 and supply.each_was_closed_once())


def test_a_check_finds_what_is_broken_before_it_is_lent(supply: Supply) -> None:
    with Pool(supply.connect, check=supply.check, close=supply.close, check_after=0) as pool:
        with pool.connection() as first:
            pass
        with pool.connection() as same:
            assert same is first
            assert first.checks == 1
            first.is_sound = False
        with pool.connection() as other:
            assert other is not first
        # The close is counted once its hook has returned.
        eventually(lambda: pool.stats().closed_by_reason.get(PoolCloseReason.INVALID) == 1)
        assert first.closes == 1
        other.is_sound = False
        pool.check()
        eventually(lambda: other.closes == 1)


def test_a_reset_runs_after_each_use(supply: Supply) -> None:
    with Pool(supply.connect, reset=supply.reset, close=supply.close) as pool:
        with pool.connection() as first:
            pass
        with pool.connection():
            assert first.resets == 1
            first.is_sound = False
        eventually(lambda: first.closes == 1)
        assert first.resets == 2


def test_a_pool_is_cleared_after_a_failover(supply: Supply) -> None:
    with pool_of(supply, min_idle=2) as pool:
        pool.wait()
        with pool.connection() as used:
            pool.clear()
            assert not used.closes
        eventually(lambda: used.closes == 1)
        pool.wait()
        with pool.connection() as fresh:
            assert fresh.number > 2
        assert pool.stats().epoch == 1


def test_a_pool_is_resized(supply: Supply) -> None:
    with pool_of(supply, max_size=1) as pool:
        with pool.connection():
            waiter = Thread(lambda: pool.putconn(pool.getconn()))
            waiting(pool, 1)
            pool.resize(max_size=2)
            waiter.result()
        pool.resize(2, 3)
        pool.wait()
        assert (pool.stats().min_idle, pool.stats().max_size) == (2, 3)
        with pytest.raises(trunkline.ConfigError, match="max_size"):
            pool.resize(max_size=0)
        pool.resize(0, 1)
        eventually(lambda: len(supply.open()) == 1)


def test_a_drain_lets_holders_finish_and_nobody_in(supply: Supply) -> None:
    pool = pool_of(supply, max_size=2)
    lease = pool.acquire()
    assert pool.drain(timeout=0.01) == 1
    with pytest.raises(trunkline.PoolClosed):
        pool.acquire()
    lease.release()
    assert pool.close() == 0
    other = pool_of(supply)
    with other.connection():
        draining = Thread(other.drain)
        eventually(lambda: other._is_closed)
    assert draining.result() == 0
    assert supply.each_was_closed_once()


def test_the_counts_add_up(supply: Supply) -> None:
    with pool_of(supply, max_size=3, name="db") as pool:
        for _ in range(3):
            with pool.connection(), pool.connection():
                stats = pool.stats()
                assert (
                    stats.created - stats.closed == stats.idle + stats.used + stats.validating + stats.closing
                )
                assert stats.utilization == 2 / 3
        first, second = pool.get_stats(), pool.pop_stats()
        assert first == second
        assert (first["requests_num"], first["pool_max"], first["connections_num"]) == (6, 3, 2)
        assert pool.get_stats()["requests_num"] == 0
        assert pool.get_stats()["pool_available"] == 2
        assert pool.stats().acquired == 6
        assert pool.stats().peak_used == 0


def test_leases_say_who_holds_what_for_how_long(supply: Supply) -> None:
    with pool_of(supply) as pool, pool.acquire() as _, pool.connection():
        longest, other = pool.leases()
        assert longest.held >= other.held > timedelta(0)
        assert longest.holder == other.holder
        assert longest.holder.startswith(f"{__file__}:")
        lease = pool.acquire()
        assert lease.number in {held.lease for held in pool.leases()}
        lease.release()


def test_connects_run_side_by_side_as_far_as_they_may() -> None:
    running, most = 0, 0
    lock, goes_on = threading.Lock(), threading.Event()

    def connect() -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        goes_on.wait(20)
        with lock:
            running -= 1
        return object()

    with Pool(connect, max_size=6, max_connecting=3) as pool:
        threads = [Thread(lambda: pool.putconn(pool.getconn())) for _ in range(6)]
        eventually(lambda: running == 3)
        goes_on.set()
        for thread in threads:
            thread.result()
    assert most == 3


def test_a_connection_that_comes_late_is_not_lost(supply: Supply) -> None:
    goes_on = threading.Event()

    def connect() -> Connection:
        goes_on.wait(20)
        return supply.connect()

    with Pool(connect, close=supply.close, connect_timeout=0.01, max_size=1, backoff=SOON) as pool:
        with pytest.raises(trunkline.PoolTimeout):
            pool.acquire(timeout=0.05)
        goes_on.set()
        with pool.connection():
            pass
    eventually(supply.each_was_closed_once)


def test_a_hook_may_use_its_pool_and_close_it(supply: Supply) -> None:
    def close(connection: Connection) -> None:
        supply.close(connection)
        if connection.number == 1:
            with pool.connection():
                pass
            pool.close()

    pool: Pool[Connection] = Pool(supply.connect, close=close)
    pool.acquire().discard()
    eventually(lambda: len(supply.made) == 2 and supply.each_was_closed_once())
    pool.close()


def test_a_close_that_fails_is_logged_and_disturbs_nobody(
    supply: Supply, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(connection: Connection) -> None:
        raise ValueError(connection)

    with caplog.at_level(logging.ERROR, "trunkline"):
        with Pool(supply.connect, close=fail, name="db") as pool, pool.connection():
            pass
    (record,) = caplog.records
    assert record.getMessage() == "pool 'db': a connection could not be closed"
    caplog.clear()


def test_without_a_hook_a_connection_is_closed_by_its_own_method() -> None:
    closed: list[object] = []

    class Own:
        def close(self) -> None:
            closed.append(self)

    with Pool(Own) as pool:
        with pool.connection() as connection:
            pass
    assert closed == [connection]
    with Pool(object) as bare, bare.connection():
        pass


def test_times_are_seconds_or_timedeltas_and_never_is_neither_zero_nor_unset(supply: Supply) -> None:
    limits: list[Any] = [None, 0, 5, 2.5, timedelta(minutes=1), NEVER]
    for limit in limits:
        with pool_of(
            supply, timeout=limit, idle_timeout=limit, max_lifetime=limit, keepalive=limit or None
        ) as pool:
            if limit != 0:
                with pool.connection():
                    pass
    with pool_of(supply, max_lifetime=0, max_size=1) as pool:
        with pool.connection() as first:
            pass
        eventually(lambda: first.closes == 1)


def test_a_bad_argument_is_named(supply: Supply) -> None:
    async def connect() -> None: ...

    bad: list[tuple[dict[str, Any], str]] = [
        ({"max_size": 0}, "max_size"),
        ({"min_idle": 11}, "min_idle"),
        ({"idle_timeout": timedelta(days=400)}, "idle_timeout"),
        ({"idle_timeout": float("inf")}, "idle_timeout"),
        ({"connect_timeout": "5s"}, "connect_timeout"),
        ({"idle_order": "random"}, "idle_order"),
        ({"breaker": BreakerConfig(probes=0)}, "breaker.probes"),
        ({"name": ""}, "name"),
    ]
    for figures, name in bad:
        with pytest.raises(trunkline.ConfigError, match=name):
            pool_of(supply, **figures)
    with pytest.raises(TypeError, match="unexpected keyword arguments: size"):
        pool_of(supply, size=3)
    with pytest.raises(trunkline.ConfigError, match="AsyncPool"):
        Pool(connect)
    nothing: Any = 5
    with pytest.raises(trunkline.ConfigError, match="connect"):
        Pool(nothing)
    with pytest.raises(trunkline.ConfigError, match="addresses"):
        Pool([])
    wrong: Any = Pool
    with pytest.raises(trunkline.ConfigError, match="check, reset and close"):
        wrong("mem:x", check=supply.check)


def test_streams_are_lent_by_address(address_of: Callable[[str], str]) -> None:
    with trunkline.listen(address_of("tcp")) as one, trunkline.listen(address_of("mem")) as two:
        with Pool([one.getsockname(), two.getsockname()], max_size=2) as pool:
            with pool.connection() as near, one.accept() as far:
                near.sendall(b"to the first")
                assert far.recv(100) == b"to the first"
                with pool.connection() as other, two.accept() as far_other:
                    other.sendall(b"to the second")
                    assert far_other.recv(100) == b"to the second"
                # Neither forgetting it nor a file of it closes what is the pool's.
                with near.makefile("rb"):
                    pass
            for use in (
                lambda: near.recv(1),
                lambda: near.sendall(b"x"),
                lambda: near.recv_into(bytearray(1)),
            ):
                with pytest.raises(trunkline.ClosedError):
                    use()


def test_a_stream_on_which_the_peer_has_ended_is_not_lent(address_of: Callable[[str], str]) -> None:
    with trunkline.listen(address_of("tcp")) as listener, Pool(listener.getsockname(), max_size=1) as pool:
        with pool.connection():
            listener.accept().close()
        eventually(lambda: try_stream(pool, listener))
        assert set(pool.stats().closed_by_reason) == {PoolCloseReason.BROKEN}


def test_no_stream_to_an_endpoint_that_was_taken_out_is_lent(address_of: Callable[[str], str]) -> None:
    with trunkline.listen(address_of("tcp")) as one, trunkline.listen(address_of("mem")) as two:
        with Pool(one.getsockname(), max_size=2) as pool:
            lease = pool.acquire()
            with one.accept() as still_there:
                pool.set_endpoints([two.getsockname()])
                with pool.connection() as near, two.accept() as far:
                    near.sendall(b"to the new one")
                    assert far.recv(100) == b"to the new one"
                lease.release()
                assert still_there.recv(1) == b""
            eventually(lambda: pool.stats().closed_by_reason.get(PoolCloseReason.ENDPOINT_REMOVED) == 1)
            for wrong in ([], ["nowhere"]):
                with pytest.raises(trunkline.ConfigError):
                    pool.set_endpoints(wrong)
            with pytest.raises(TypeError):
                pool.set_endpoints([1])  # type: ignore[list-item]


def test_a_pool_of_a_function_has_no_endpoints(supply: Supply) -> None:
    with Pool(supply.connect) as pool, pytest.raises(trunkline.ConfigError, match="endpoints"):
        pool.set_endpoints("mem:x")


def try_stream(pool: Pool[trunkline.Stream], listener: trunkline.Listener) -> bool:
    with pool.connection() as near:
        if pool.stats().created == 1:
            return False  # The end has not arrived.
        near.sendall(b"fresh")
        with listener.accept() as far:
            return far.recv(100) == b"fresh"


def test_a_stream_may_be_detached(address_of: Callable[[str], str]) -> None:
    with trunkline.listen(address_of("tcp")) as listener:
        with Pool(listener.getsockname()) as pool:
            lease = pool.acquire()
            lent = lease.connection
            own = lease.detach()
        with own, listener.accept() as far:
            own.sendall(b"still here")
            assert far.recv(100) == b"still here"
            with pytest.raises(trunkline.ClosedError):
                lent.sendall(b"x")


def test_nothing_is_lost_however_threads_race(supply: Supply) -> None:
    held: set[int] = set()
    lock = threading.Lock()

    def work(seed: int) -> None:
        for turn in range(200):
            try:
                with pool.connection(timeout=0.0005 if (seed + turn) % 7 == 0 else 20) as connection:
                    with lock:
                        assert connection.number not in held
                        held.add(connection.number)
                    if turn % 5 == 0:
                        time.sleep(0)
                    with lock:
                        held.discard(connection.number)
                    if (seed + turn) % 50 == 0:
                        raise KeyError
            except (trunkline.PoolTimeout, KeyError):
                pass

    with pool_of(supply, max_size=3) as pool:
        threads = [Thread(work, seed) for seed in range(8)]
        for turn in range(20):
            pool.clear() if turn % 10 == 5 else pool.resize(max_size=2 + turn % 3)
            time.sleep(0.002)
        for thread in threads:
            thread.result()
        stats = pool.stats()
        assert stats.used == stats.waiting == 0
    assert supply.each_was_closed_once()


def test_the_runtime_may_end_before_the_pool(supply: Supply) -> None:
    pool = pool_of(supply, min_idle=1)
    pool.wait()
    trunkline.runtime.shutdown()
    with pytest.raises(trunkline.PoolClosed):
        pool.acquire()
    pool.close()
    assert supply.each_was_closed_once()
    with pool_of(supply) as other, other.connection():
        pass


def test_a_pool_closes_what_a_runtime_that_ends_leaves_to_it(supply: Supply) -> None:
    # Whether the jobs or the close come first to the pool's threads is for chance to say.
    for _ in range(50):
        pool = pool_of(supply, min_idle=3)
        pool.wait()
        trunkline.runtime.shutdown()
        pool.close()
        assert supply.open() == []
    assert supply.each_was_closed_once()


def test_the_tuner_says_why_it_would_grow(supply: Supply) -> None:
    tuner = trunkline.TunerConfig(
        interval=timedelta(milliseconds=1), target_wait=timedelta(0), grow_after=1, gradient=0.1, max_size=2
    )
    is_over = threading.Event()
    with pool_of(supply, max_size=1, tuner=tuner) as pool:
        assert pool.advice() == []

        def come_and_go() -> None:
            while not is_over.is_set():
                with pool.connection():
                    pass

        crowd = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in crowd:
            thread.start()
        try:
            eventually(lambda: bool(pool.advice()), "advice")
        finally:
            is_over.set()
            for thread in crowd:
                thread.join()
        advice = pool.advice()[0]
        assert (advice.max_size, advice.applied, pool.stats().max_size) == (2, False, 1)
        assert "grow from 1 to 2" in advice.text
        assert timedelta(0) <= advice.ago < timedelta(minutes=1)
