"""Streams and listeners for asyncio, the same over pipes, TCP, Unix sockets and in-memory names."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import select
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from certificates import Authority
from support import Thread, eventually

import trunkline
from trunkline import AsyncStream, _hub, _native

Pair = tuple[AsyncStream, AsyncStream]


@pytest_asyncio.fixture
async def async_pair(kind: str, address_of: Callable[[str], str]) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        if kind == "pipe":
            near, far = trunkline.async_pipe()
        else:
            tls = Authority().both_sides() if kind == "tls" else None
            listener = await trunkline.async_listen(address_of(kind), tls=tls)
            await stack.enter_async_context(listener)
            near = await trunkline.async_connect(listener.getsockname(), tls=tls)
            far = await listener.accept()
        await stack.enter_async_context(near)
        await stack.enter_async_context(far)
        yield near, far


async def read_all(stream: AsyncStream) -> bytes:
    return b"".join([data async for data in stream])


def step(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what needs no turn of a loop."""
    with pytest.raises(StopIteration) as stop:
        work.send(None)
    return stop.value.value


async def test_bytes_cross_both_ways_and_a_half_close_lets_the_answer_through(
    async_pair: Pair,
) -> None:
    near, far = async_pair
    await near.send(b"question")
    await near.send_eof()
    assert await read_all(far) == b"question"
    await far.send(b"answer")
    await far.aclose()
    assert await read_all(near) == b"answer"


async def test_a_slow_reader_stalls_the_writer_and_loses_nothing(async_pair: Pair) -> None:
    near, far = async_pair
    data = bytes(range(256)) * (4 << 14)

    async def write() -> None:
        await near.send(data)
        await near.send_eof()

    writer = asyncio.create_task(write())
    await asyncio.sleep(0)
    assert not writer.done()
    assert await read_all(far) == data
    await writer
    assert near.stats().bytes_sent == far.stats().bytes_received == len(data)


async def test_tasks_that_send_at_once_take_turns() -> None:
    near, far = trunkline.async_pipe(capacity=16)
    async with near, far:
        pieces = [bytes([letter]) * 1000 for letter in b"abcdef"]
        sending = asyncio.gather(*(near.send(piece) for piece in pieces))
        received = b""
        while len(received) < 6000:
            received += await far.receive()
        await sending
        assert received == b"".join(pieces)


async def test_receive_into_fills_as_much_as_was_asked_for(async_pair: Pair) -> None:
    near, far = async_pair
    room = bytearray(b"........")
    reading = asyncio.create_task(far.receive_into(room, 3))
    await asyncio.sleep(0)
    with pytest.raises(BufferError):
        room.clear()
    await near.send(b"abcdef")
    assert await reading == 3
    assert room == b"abc....."
    assert await far.receive_into(memoryview(room)[4:]) == 3
    assert room == b"abc.def."


def test_what_need_not_wait_takes_no_turn_of_the_loop() -> None:
    near, far = trunkline.async_pipe()
    step(near.send(b"hello"))
    assert step(far.receive()) == b"hello"
    step(near.send_eof())
    assert step(far.receive()) == b""
    step(near.aclose())
    step(far.aclose())


async def test_a_closed_stream_says_so(async_pair: Pair) -> None:
    near, _far = async_pair
    await near.aclose()
    await near.aclose()
    for use in (near.receive(), near.send(b"x"), near.receive_into(bytearray(1))):
        with pytest.raises(trunkline.ClosedError):
            await use


async def test_closing_wakes_tasks_that_wait(async_pair: Pair) -> None:
    near, _far = async_pair
    readers = [asyncio.create_task(near.receive()) for _ in range(3)]
    await asyncio.sleep(0)
    await near.aclose()
    for reader in readers:
        with pytest.raises(trunkline.ClosedError):
            await reader


async def test_several_tasks_may_wait_on_one_stream(async_pair: Pair) -> None:
    near, far = async_pair
    readers = [asyncio.create_task(near.receive(1)) for _ in range(4)]
    await asyncio.sleep(0)
    await far.send(b"abcd")
    assert sorted(await asyncio.gather(*readers)) == [b"a", b"b", b"c", b"d"]


async def test_a_cancelled_receive_loses_no_byte(async_pair: Pair) -> None:
    near, far = async_pair
    for _ in range(10):
        reading = asyncio.create_task(far.receive())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    await near.send(b"all of it")
    assert await far.receive() == b"all of it"


async def test_a_timeout_of_asyncio_ends_a_wait(async_pair: Pair) -> None:
    near, far = async_pair
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await near.receive()
    await far.send(b"x")
    assert await near.receive() == b"x"


@pytest.mark.parametrize("kind", ["pipe", "tcp", "mem"])
async def test_an_abort_is_a_reset_at_the_peer(async_pair: Pair) -> None:
    near, far = async_pair
    near.abort()
    with pytest.raises(trunkline.ResetError):
        await far.receive()


async def test_a_cancelled_connect_leaves_no_stream_behind(
    address_of: Callable[[str], str],
) -> None:
    for kind in ("tcp", "unix", "mem"):
        async with await trunkline.async_listen(address_of(kind)) as listener:
            for _ in range(20):
                connecting = asyncio.create_task(trunkline.async_connect(listener.getsockname()))
                await asyncio.sleep(0)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting


async def test_a_connect_that_was_done_when_it_was_cancelled_leaves_none_either() -> None:
    async with await trunkline.async_listen("mem:done-then-cancelled") as listener:
        connecting = asyncio.create_task(trunkline.async_connect(listener.getsockname()))
        await asyncio.sleep(0)
        hub = _hub.current()
        select.select([hub.queue.fileno()], [], [])
        hub._drain()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def test_closing_a_listener_wakes_a_task_that_accepts(
    address_of: Callable[[str], str],
) -> None:
    for kind in ("tcp", "unix", "mem"):
        listener = await trunkline.async_listen(address_of(kind))
        accepting = asyncio.create_task(listener.accept())
        await asyncio.sleep(0)
        await listener.aclose()
        with pytest.raises(trunkline.ClosedError):
            await accepting


async def test_a_reader_and_a_writer_work_over_a_stream(async_pair: Pair) -> None:
    near, far = async_pair
    reader, writer = near.streams()
    far_reader, far_writer = far.streams()
    writer.write(b"a line\n")
    writer.writelines([b"and ", b"more"])
    await writer.drain()
    assert await far_reader.readline() == b"a line\n"
    assert await far_reader.readexactly(8) == b"and more"
    big = b"x" * (4 << 20)
    writer.write(big)
    writer.write_eof()
    assert await far_reader.read() == big
    far_writer.write(b"the answer")
    far_writer.close()
    await far_writer.wait_closed()
    assert await reader.read() == b"the answer"
    assert writer.get_extra_info("peername") == near.getpeername()
    writer.close()
    await writer.wait_closed()


async def test_a_writer_feels_a_slow_reader() -> None:
    near, far = trunkline.async_pipe(capacity=1024)
    _, writer = near.streams()
    writer.write(b"x" * (1 << 20))
    draining = asyncio.create_task(writer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    reading = asyncio.create_task(read_all(far))
    await draining
    writer.close()
    await writer.wait_closed()
    assert len(await reading) == 1 << 20
    await far.aclose()


async def test_a_reader_learns_of_a_reset() -> None:
    near, far = trunkline.async_pipe()
    reader, writer = near.streams()
    far.abort()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_forgotten_stream_is_closed_with_a_warning() -> None:
    near, far = trunkline.async_pipe()
    with pytest.warns(ResourceWarning, match="unclosed <AsyncStream pipe open>"):
        del near
        gc.collect()
    assert await far.receive() == b""
    await far.aclose()


async def exchange() -> None:
    async with await trunkline.async_listen("tcp://127.0.0.1:0") as listener:
        connecting = asyncio.create_task(trunkline.async_connect(listener.getsockname()))
        async with await listener.accept() as far, await connecting as near:
            for number in range(50):
                reading = asyncio.create_task(far.receive())
                await asyncio.sleep(0)
                await near.send(b"%d" % number)
                assert await reading == b"%d" % number


def test_loops_in_several_threads_do_not_disturb_each_other() -> None:
    threads = [Thread(asyncio.run, exchange()) for _ in range(4)]
    for thread in threads:
        thread.result()


def test_a_loop_after_a_closed_loop_works() -> None:
    for _ in range(3):
        asyncio.run(exchange())


def test_a_loop_that_is_open_but_idle_delays_nobody() -> None:
    idle = asyncio.new_event_loop()
    try:
        idle.run_until_complete(exchange())
        asyncio.run(exchange())
        Thread(asyncio.run, exchange()).result()
        idle.run_until_complete(exchange())
    finally:
        idle.close()


def test_streams_may_move_from_loop_to_loop() -> None:
    near, far = trunkline.async_pipe()

    async def hand_over(source: AsyncStream, target: AsyncStream) -> None:
        reading = asyncio.create_task(target.receive())
        await asyncio.sleep(0)
        await source.send(b"x")
        assert await reading == b"x"

    async def close() -> None:
        await near.aclose()
        await far.aclose()

    asyncio.run(hand_over(near, far))
    asyncio.run(hand_over(far, near))
    asyncio.run(close())


def test_a_hub_goes_with_its_loop() -> None:
    before = _native.debug_counts()["queues"]
    for _ in range(3):
        asyncio.run(exchange())

    def all_gone() -> bool:
        gc.collect()
        return _native.debug_counts()["queues"] <= before

    eventually(all_gone, "the end of the hubs")


async def test_an_idle_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "_IDLE", 0.0)
    loop = asyncio.get_running_loop()
    near, far = trunkline.async_pipe()
    async with near, far:
        reading = asyncio.create_task(far.receive())
        await asyncio.sleep(0)
        assert loop in _hub._hubs
        await near.send(b"x")
        await reading
        while loop in _hub._hubs:
            await asyncio.sleep(0)
        await near.send(b"y")
        assert await far.receive() == b"y"


async def test_asyncio_reads_and_writes_the_socket_of_a_stream(async_pair: Pair) -> None:
    near, far = async_pair
    reader, writer = await asyncio.open_connection(sock=near.to_socket())
    writer.write(b"question")
    writer.write_eof()
    assert await read_all(far) == b"question"
    with pytest.raises(trunkline.ClosedError):
        await near.receive()
    await far.send(b"answer")
    await far.aclose()
    assert await reader.read() == b"answer"
    writer.close()
    await writer.wait_closed()
