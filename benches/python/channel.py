"""Measures calls of one message from Python, by Trunkline's channel or by grpcio, for the table of ``make bench-channel``.

    channel.py HOST:PORT trunkline|grpcio ours|peer|peer_again

Prints one JSON object per line: calls per second by one thread, by one task and by many tasks. The messages are bytes for
both: nothing is encoded or decoded. Each has one connection, which stands before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

ECHO = "/bench.Bytes/Echo"
MESSAGE = bytes(64)
TASKS = 64
# Calls of one pass, shared by all tasks.
BY_THREAD, BY_TASK, BY_TASKS = 3_000, 3_000, 12_000


class Sync(Protocol):
    def echo(self, message: bytes) -> bytes: ...
    def close(self) -> object: ...


class Async(Protocol):
    async def echo(self, message: bytes) -> bytes: ...
    async def close(self) -> object: ...


class TrunklineSync:
    def __init__(self, target: str) -> None:
        import trunkline

        self._channel = trunkline.Channel(target)
        self._channel.wait_ready(timeout=10)
        self.close = self._channel.close

    def echo(self, message: bytes) -> bytes:
        return self._channel.unary(ECHO, message).message


class TrunklineAsync:
    def __init__(self, target: str) -> None:
        import trunkline

        self._channel = trunkline.AsyncChannel(target)
        self.close = self._channel.aclose

    async def echo(self, message: bytes) -> bytes:
        return (await self._channel.unary(ECHO, message)).message


class GrpcioSync:
    def __init__(self, target: str) -> None:
        import grpc

        self._channel = grpc.insecure_channel(target)
        grpc.channel_ready_future(self._channel).result(timeout=10)
        self.echo: Callable[[bytes], bytes] = self._channel.unary_unary(ECHO)
        self.close = self._channel.close


class GrpcioAsync:
    def __init__(self, target: str) -> None:
        import grpc.aio

        self._channel = grpc.aio.insecure_channel(target)
        self._echo: Callable[[bytes], Awaitable[bytes]] = self._channel.unary_unary(
            ECHO
        )
        self.close = self._channel.close

    async def echo(self, message: bytes) -> bytes:
        return await self._echo(message)


SIDES: dict[str, tuple[Callable[[str], Sync], Callable[[str], Async]]] = {
    "trunkline": (TrunklineSync, TrunklineAsync),
    "grpcio": (GrpcioSync, GrpcioAsync),
}


def in_thread(make: Callable[[str], Sync], target: str) -> float:
    """Calls per second by one thread."""
    client = make(target)

    def call(times: int) -> None:
        for _ in range(times):
            if client.echo(MESSAGE) != MESSAGE:
                raise AssertionError("it does not come back whole")

    call(BY_THREAD // 10)
    begun = time.perf_counter()
    call(BY_THREAD)
    elapsed = time.perf_counter() - begun
    client.close()
    return BY_THREAD / elapsed


async def in_tasks(
    make: Callable[[str], Async], target: str, tasks: int, calls: int
) -> float:
    """Calls per second by so many tasks together."""
    client = make(target)

    async def call(times: int) -> None:
        for _ in range(times):
            if await client.echo(MESSAGE) != MESSAGE:
                raise AssertionError("it does not come back whole")

    await asyncio.gather(*(call(max(1, calls // 10 // tasks)) for _ in range(tasks)))
    begun = time.perf_counter()
    await asyncio.gather(*(call(calls // tasks) for _ in range(tasks)))
    elapsed = time.perf_counter() - begun
    await client.close()
    return calls // tasks * tasks / elapsed


def main() -> None:
    target, name, side = sys.argv[1:]
    sync, asynchronous = SIDES[name]
    for measure, value in (
        ("python: unary 64 B, a thread", in_thread(sync, target)),
        (
            "python: unary 64 B, 64 tasks",
            asyncio.run(in_tasks(asynchronous, target, TASKS, BY_TASKS)),
        ),
        (
            "python: unary 64 B, a task",
            asyncio.run(in_tasks(asynchronous, target, 1, BY_TASK)),
        ),
    ):
        print(json.dumps({"measure": measure, "side": side, "value": value}))


if __name__ == "__main__":
    main()
