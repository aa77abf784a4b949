"""What may be sent from and received into."""

from __future__ import annotations

import array
import mmap
from typing import Any

import pytest
from support import Thread, threads_wait

import trunkline

Pair = tuple[trunkline.Stream, trunkline.Stream]

SENDABLE: dict[str, Any] = {
    "bytes": b"abcdefgh",
    "bytearray": bytearray(b"abcdefgh"),
    "memoryview": memoryview(b"abcdefgh"),
    "slice": memoryview(b"..abcdefgh..")[2:-2],
    "array of numbers": array.array("H", [0x6261, 0x6463, 0x6665, 0x6867]),
    "cast": memoryview(b"abcdefgh").cast("I"),
    "two dimensions": memoryview(b"abcdefgh").cast("B", (2, 4)),
}


@pytest.mark.parametrize("name", SENDABLE)
def test_whatever_is_contiguous_is_sent(pair: Pair, name: str) -> None:
    near, far = pair
    near.sendall(SENDABLE[name])
    assert far.recv(100) == b"abcdefgh"
    assert near.send(SENDABLE[name]) == 8
    assert far.recv(100) == b"abcdefgh"


def test_what_is_not_contiguous_is_refused(pair: Pair) -> None:
    near, far = pair
    strided = memoryview(bytearray(b"abcdef"))[::2]
    for use in (near.send, near.sendall, far.recv_into):
        with pytest.raises(BufferError):
            use(strided)


def test_what_is_no_buffer_is_refused(pair: Pair) -> None:
    near, _far = pair
    for use in (near.send, near.sendall, near.recv_into):
        with pytest.raises(TypeError):
            use("text")  # type: ignore[arg-type]


def test_what_is_read_only_is_not_received_into(pair: Pair) -> None:
    near, _far = pair
    for buffer in (b"abc", memoryview(b"abc")):
        with pytest.raises(TypeError, match="read-only"):
            near.recv_into(buffer)


def test_nothing_is_sent_and_received_at_once(pair: Pair) -> None:
    near, far = pair
    near.settimeout(0)
    near.sendall(b"")
    assert near.send(b"") == 0
    assert near.recv(0) == b""
    assert near.recv_into(bytearray()) == 0
    with pytest.raises(trunkline.WouldBlock):
        near.recv(1)
    far.sendall(b"x")


def test_more_than_the_buffer_has_is_refused(pair: Pair) -> None:
    near, _far = pair
    with pytest.raises(trunkline.ConfigError, match="nbytes"):
        near.recv_into(bytearray(4), 5)


def test_more_than_two_gigabytes_are_refused(pair: Pair) -> None:
    near, _far = pair
    with mmap.mmap(-1, (2 << 30) + 1) as huge:
        for use in (near.send, near.sendall, near.recv_into):
            with pytest.raises(trunkline.ConfigError, match="2147483647"):
                use(huge)
    with pytest.raises(trunkline.ConfigError, match="2147483647"):
        near.recv(2 << 30)
    near.settimeout(0)
    with pytest.raises(trunkline.WouldBlock):
        near.recv((2 << 30) - 1)


def test_a_buffer_keeps_its_size_while_it_is_sent(pair: Pair) -> None:
    near, far = pair
    data = bytearray(16 << 20)
    writer = Thread(near.sendall, data)
    threads_wait()
    with pytest.raises(BufferError):
        data.extend(b"x")
    received = 0
    while received < len(data):
        received += len(far.recv(1 << 20))
    writer.result()
    data.extend(b"x")


def test_a_buffer_keeps_its_size_while_it_is_received_into(pair: Pair) -> None:
    near, far = pair
    room = bytearray(10)
    reader = Thread(near.recv_into, room)
    threads_wait()
    with pytest.raises(BufferError):
        room.clear()
    far.sendall(b"x")
    assert reader.result() == 1
    room.clear()
