"""A forked child leaves the parent's objects alone and makes its own."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from typing import Any, ClassVar

import pytest
from support import (
    Thread,
    async_exchange,
    borrow,
    eventually,
    exchange,
    exchange_and_tell,
    in_child,
    run_python,
)

import trunkline


def test_an_inherited_object_says_so_and_the_parent_goes_on(
    pair: tuple[trunkline.Stream, trunkline.Stream],
) -> None:
    near, far = pair
    with trunkline.listen("tcp://127.0.0.1:0") as listener:

        def child() -> None:
            for use in (
                lambda: near.recv(1),
                lambda: near.recv_into(bytearray(1)),
                lambda: near.send(b"x"),
                lambda: near.sendall(b"x"),
                lambda: near.stats(),
                lambda: near.getpeername(),
                listener.accept,
                listener.getsockname,
            ):
                with pytest.raises(trunkline.ForkedError) as caught:
                    use()
                assert isinstance(caught.value, RuntimeError)
            assert "another process" in repr(near)
            assert "another process" in repr(listener)
            near.close()
            near.abort()
            listener.close()

        in_child(child)
        near.sendall(b"still here")
        assert far.recv(100) == b"still here"
        with trunkline.connect(listener.getsockname()), listener.accept():
            pass


def test_a_child_makes_new_objects() -> None:
    exchange()

    def child() -> None:
        assert not trunkline.runtime.is_running
        exchange()
        assert trunkline.runtime.is_running
        asyncio.run(async_exchange())

    in_child(child)
    exchange()


def test_a_child_of_a_child_does_too() -> None:
    exchange()

    def child() -> None:
        exchange()
        in_child(exchange)
        exchange()

    in_child(child)


async def test_a_child_of_a_running_loop_runs_its_own() -> None:
    near, far = trunkline.async_pipe()
    async with near, far:
        reading = asyncio.create_task(far.receive())
        await asyncio.sleep(0)

        def child() -> None:
            asyncio._set_running_loop(None)
            with pytest.raises(trunkline.ForkedError):
                asyncio.run(far.receive())
            asyncio.run(async_exchange())

        in_child(child)
        await near.send(b"of the parent")
        assert await reading == b"of the parent"


def test_forgetting_an_inherited_stream_is_silent_and_harmless() -> None:
    near, far = trunkline.pipe()

    def child() -> None:
        nonlocal near
        del near

    in_child(child)
    near.sendall(b"x")
    assert far.recv(1) == b"x"
    near.close()
    far.close()


def test_an_inherited_pool_is_the_parents() -> None:
    seen: list[str] = []
    with trunkline.KeyedPool[str, int](on_close=lambda key, *_: seen.append(key)) as pool:
        pool.insert("a", 1)

        def child() -> None:
            for use in (lambda: pool.get("a"), lambda: pool.insert("b", 2), pool.stats):
                with pytest.raises(trunkline.ForkedError):
                    use()
            pool.close()
            assert not seen
            with trunkline.KeyedPool[str, int](on_close=lambda key, *_: seen.append(key)) as own:
                own.insert("of the child", 1)
            assert seen == ["of the child"]

        in_child(child)
        assert pool.get("a") == 1
    assert seen == ["a"]


class Loud:
    """A connection that tells its peer goodbye when it is forgotten, as real ones do."""

    goodbyes: ClassVar[list[int]] = []

    def __del__(self) -> None:
        self.goodbyes.append(os.getpid())


@pytest.fixture(autouse=True)
def _nobody_has_said_goodbye() -> None:
    Loud.goodbyes.clear()


def test_an_inherited_checkout_pool_is_the_parents() -> None:
    with trunkline.Pool(Loud, max_size=2) as pool:
        lease = pool.acquire()
        conn = pool.getconn()
        held = [conn]
        del conn

        def child() -> None:
            for use in (pool.acquire, pool.stats, pool.clear, lease.release, lambda: pool.putconn(held[0])):
                with pytest.raises(trunkline.ForkedError):
                    use()
            assert repr(pool) == "<Pool 'default' of another process>"
            assert pool.close() == 0
            with trunkline.Pool(Loud) as own, own.connection():
                pass
            gc.collect()
            assert Loud.goodbyes == [os.getpid()]

        in_child(child)
        lease.release()
        pool.putconn(held[0])
        assert pool.stats().idle == 2
    held.clear()
    gc.collect()
    assert Loud.goodbyes == [os.getpid()] * 2


def test_a_child_that_ends_closes_none_of_the_parents_connections() -> None:
    done = run_python(
        "import gc, os, sys, trunkline\n"
        "class Loud:\n"
        "    def __del__(self, pid=os.getpid): os.write(1, b'%d ' % pid())\n"
        "pool = trunkline.Pool(Loud, min_idle=2, max_size=3)\n"
        "pool.wait()\n"
        "lease, conn = pool.acquire(), pool.getconn()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    lease = conn = pool = None\n"
        "    gc.collect()\n"
        "    sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "lease.release()\n"
        "pool.putconn(conn)\n"
        "pool.close()\n"
        "conn = lease = None\n"
        "print(os.getpid())"
    )
    *goodbyes, parent = done.stdout.split()
    assert set(goodbyes) == {parent}


async def test_a_child_of_a_loop_with_a_pool_makes_its_own() -> None:
    async def connect() -> Loud:
        return Loud()

    async def use_own() -> None:
        async with trunkline.AsyncPool(connect) as own, own.connection():
            pass

    async with trunkline.AsyncPool(connect, max_size=1) as pool:
        async with pool.connection():

            def child() -> None:
                asyncio._set_running_loop(None)
                with pytest.raises(trunkline.ForkedError):
                    pool.stats()
                asyncio.run(use_own())
                gc.collect()
                assert Loud.goodbyes == [os.getpid()]

            in_child(child)
        async with pool.connection(timeout=0):
            pass
    gc.collect()
    assert Loud.goodbyes == [os.getpid()]


def test_a_child_does_not_lend_what_a_fork_tore_from_a_block() -> None:
    with trunkline.Pool(Loud, max_size=1) as pool, pool.connection():
        waiter = Thread(lambda: pool.putconn(pool.getconn()))
        eventually(lambda: pool.stats().waiting == 1)

        def child() -> None:
            with pytest.raises(trunkline.ForkedError), pool.connection():
                pass

        in_child(child)
    waiter.result()
    gc.collect()


def test_a_fork_between_shutdown_and_start_is_clean() -> None:
    exchange()
    trunkline.runtime.shutdown()
    assert not trunkline.runtime.is_running
    in_child(exchange)
    exchange()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_however_it_starts(method: str) -> None:
    exchange()
    borrow()
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=exchange_and_tell, args=(theirs,))
    process.start()
    theirs.close()
    assert ours.recv() == 0
    process.join()
    assert process.exitcode == 0
    ours.close()
    process.close()
