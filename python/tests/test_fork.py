"""A forked child leaves the parent's objects alone and makes its own."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import Any

import pytest
from support import async_exchange, exchange, exchange_and_tell, in_child

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


def test_a_fork_between_shutdown_and_start_is_clean() -> None:
    exchange()
    trunkline.runtime.shutdown()
    assert not trunkline.runtime.is_running
    in_child(exchange)
    exchange()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_however_it_starts(method: str) -> None:
    exchange()
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
