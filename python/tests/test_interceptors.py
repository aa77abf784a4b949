"""Interceptors of channels, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from grpc_server import ECHO, FAIL, TALK, served
from support import PATIENCE

from trunkline import (
    AsyncChannel,
    AsyncInterceptor,
    Beginning,
    Channel,
    ChannelError,
    ChannelState,
    Ending,
    Interceptor,
)


@pytest.fixture
def target() -> Iterator[str]:
    with served() as (target, _):
        yield target


class Scribe(Interceptor):
    """Writes down what it sees, and adds its name to every call."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen

    def begin(self, call: Beginning) -> None:
        self.seen.append(f"{self.name} begins {call.method} after {[key for key, _ in call.metadata]}")
        call.metadata.append((f"echo-{self.name}", "yes"))

    def end(self, call: Ending) -> None:
        error = call.error
        how = error.status if isinstance(error, ChannelError) else error
        self.seen.append(f"{self.name} ends {call.method}: {how}")


class AsyncScribe(AsyncInterceptor):
    """The same, later."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.scribe = Scribe(name, seen)

    async def begin(self, call: Beginning) -> None:
        await asyncio.sleep(0)
        self.scribe.begin(call)

    def end(self, call: Ending) -> None:
        self.scribe.end(call)


class Denial(Interceptor):
    """Lets nothing pass."""

    def begin(self, call: Beginning) -> None:
        raise ChannelError("not today", status=7, details="not today")


class AsyncDenial(AsyncInterceptor):
    """Lets nothing pass."""

    async def begin(self, call: Beginning) -> None:
        raise ChannelError("not today", status=7, details="not today")


def told(method: str, how: object) -> list[str]:
    """What two scribes write about a call."""
    return [
        f"one begins {method} after []",
        f"two begins {method} after ['echo-one']",
        f"two ends {method}: {how}",
        f"one ends {method}: {how}",
    ]


def test_interceptors_add_metadata_and_hear_the_end(target: str) -> None:
    seen: list[str] = []
    with Channel(target, interceptors=[Scribe("one", seen), Scribe("two", seen)]) as channel:
        response = channel.unary(ECHO, b"x", timeout=PATIENCE)
        assert {("echo-one", b"yes"), ("echo-two", b"yes")} <= set(response.initial)
        assert seen == told(ECHO, None)
        seen.clear()
        with pytest.raises(ChannelError):
            channel.unary(FAIL, b"", timeout=PATIENCE)
        assert seen == told(FAIL, 5)


def test_an_interceptor_denies_a_call_with_a_status() -> None:
    seen: list[str] = []
    row = [Scribe("one", seen), Denial(), Scribe("never", seen)]
    with Channel("mem:nobody-is-asked", interceptors=row) as channel:
        for method, call in ((ECHO, lambda: channel.unary(ECHO, b"")), (TALK, lambda: channel.stream(TALK))):
            with pytest.raises(ChannelError, match="not today"):
                call()
            assert seen == [f"one begins {method} after []", f"one ends {method}: 7"]
            seen.clear()
        assert channel.get_state() is ChannelState.IDLE


def test_an_interceptor_hears_how_streams_end(target: str) -> None:
    seen: list[str] = []
    with Channel(target, interceptors=[Scribe("one", seen), Scribe("two", seen)]) as channel:
        with channel.stream(TALK, timeout=PATIENCE) as call:
            call.finish_sending()
            assert call.receive() is None
        assert seen == told(TALK, None)
        seen.clear()
        with channel.stream(TALK, timeout=PATIENCE):
            pass
        assert seen == told(TALK, 1)


async def test_async_interceptors_add_metadata_and_hear_the_end(target: str) -> None:
    seen: list[str] = []
    row = [AsyncScribe("one", seen), AsyncScribe("two", seen)]
    async with AsyncChannel(target, interceptors=row) as channel:
        response = await channel.unary(ECHO, b"x", timeout=PATIENCE)
        assert {("echo-one", b"yes"), ("echo-two", b"yes")} <= set(response.initial)
        assert seen == told(ECHO, None)
        seen.clear()
        async with await channel.stream(TALK, timeout=PATIENCE) as call:
            await call.finish_sending()
            assert await call.receive() is None
        assert seen == told(TALK, None)


async def test_an_async_interceptor_denies_a_call_with_a_status() -> None:
    seen: list[str] = []
    row = [AsyncScribe("one", seen), AsyncDenial(), AsyncScribe("never", seen)]
    async with AsyncChannel("mem:nobody-is-asked", interceptors=row) as channel:
        with pytest.raises(ChannelError, match="not today"):
            await channel.unary(ECHO, b"")
        assert seen == [f"one begins {ECHO} after []", f"one ends {ECHO}: 7"]
