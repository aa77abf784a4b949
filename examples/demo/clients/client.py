"""The demo's client in Python. README.md beside it says what it does."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import SHUT_WR

import trunkline

MIB = 1 << 20
TOTAL = 64 * MIB
CHUNK = 64 << 10
STREAMS = 4
ROUND_TRIPS = 2000

Pool = trunkline.KeyedPool[str, trunkline.Stream]


@contextmanager
def pooled(pool: Pool, i: int) -> Iterator[trunkline.Stream]:
    """Takes a stream out of the pool and puts it back."""
    key = f"echo-{i % STREAMS}"
    stream = pool.remove(key)
    yield stream
    pool.insert(key, stream)


def echoed(pool: Pool, i: int, data: bytes | memoryview, back: memoryview) -> None:
    with pooled(pool, i) as stream:
        stream.sendall(data)
        read_exact(stream, back)


def read_exact(stream: trunkline.Stream, view: memoryview) -> None:
    while view:
        n = stream.recv_into(view)
        if n == 0:
            raise EOFError("the stream ended early")
        view = view[n:]


def bulk(pool: Pool) -> float:
    random, received = memoryview(os.urandom(TOTAL)), memoryview(bytearray(TOTAL))
    started = time.monotonic()
    for i in range(TOTAL // CHUNK):
        part = slice(i * CHUNK, (i + 1) * CHUNK)
        echoed(pool, i, random[part], received[part])
        if i % 256 == 255:
            print(f"python: {(i + 1) * CHUNK // MIB} of 64 MiB echoed", file=sys.stderr)
    seconds = time.monotonic() - started
    same(random, received, "the echo differs")
    return seconds


def round_trips(pool: Pool) -> list[float]:
    ping, pong = os.urandom(64), bytearray(64)
    times = []
    for i in range(ROUND_TRIPS):
        started = time.perf_counter()
        echoed(pool, i, ping, memoryview(pong))
        times.append(time.perf_counter() - started)
        check(pong == ping, "a small echo differs")
    return sorted(times)


def download(address: str) -> trunkline.Stream:
    stream = trunkline.connect(address)
    stream.sendall(b"GET\n")
    with stream.makefile("rb") as file:
        sha256, length = file.readline().split()
        data = file.read(int(length))
    check(hashlib.sha256(data).hexdigest() == sha256.decode(), "the file differs")
    print(f"python: file of {len(data) // MIB} MiB checked", file=sys.stderr)
    return stream


def through_a_pipe() -> float:
    near, far = trunkline.pipe()
    random, received = memoryview(os.urandom(TOTAL)), memoryview(bytearray(TOTAL))

    def write() -> None:
        near.sendall(random)
        near.shutdown(SHUT_WR)

    writer = threading.Thread(target=write)
    started = time.monotonic()
    writer.start()
    read_exact(far, received)
    check(far.recv(1) == b"", "the pipe holds more than it should")
    writer.join()
    seconds = time.monotonic() - started
    same(random, received, "the pipe's bytes differ")
    near.close()
    far.close()
    print("python: 64 MiB through a pipe", file=sys.stderr)
    return seconds


def end_in_order(stream: trunkline.Stream) -> trunkline.StreamStats:
    stream.shutdown(SHUT_WR)
    check(stream.recv(1) == b"", "the peer said more than it should")
    stream.close()
    return stream.stats()


def run(echo: str, file: str) -> None:
    pool: Pool = trunkline.KeyedPool()
    for i in range(STREAMS):
        pool.insert(f"echo-{i}", trunkline.connect(echo))
    relay_seconds = bulk(pool)
    times = round_trips(pool)
    done = [end_in_order(download(file))]
    pipe_seconds = through_a_pipe()
    done += [end_in_order(pool.remove(f"echo-{i}")) for i in range(STREAMS)]
    pool.close()
    line = {
        "connections": len(done),
        "bytes_sent": sum(stats.bytes_sent for stats in done),
        "bytes_received": sum(stats.bytes_received for stats in done),
        "relay_seconds": relay_seconds,
        "pipe_bytes": TOTAL,
        "pipe_seconds": pipe_seconds,
        "p50_us": times[ROUND_TRIPS // 2] * 1e6,
        "p99_us": times[ROUND_TRIPS * 99 // 100] * 1e6,
        "close_reasons": Counter(
            stats.close_reason.name.lower() for stats in done if stats.close_reason
        ),
    }
    print(json.dumps(line))


def flood(sink: str) -> None:
    block = bytes((i * 31 + (i >> 8)) & 255 for i in range(CHUNK))
    with trunkline.connect(sink) as stream:
        while True:
            stream.sendall(block)


def same(sent: memoryview, received: memoryview, what: str) -> None:
    check(hashlib.sha256(sent).digest() == hashlib.sha256(received).digest(), what)


def check(is_true: bool, what: str) -> None:
    if not is_true:
        sys.exit(f"python: {what}")


def main(arguments: list[str]) -> None:
    modes: dict[str, Callable[..., None]] = {"run": run, "flood": flood}
    if not arguments or arguments[0] not in modes:
        sys.exit("usage: client run ECHO FILE | client flood SINK")
    modes[arguments[0]](*arguments[1:])


main(sys.argv[1:])
