"""Interceptors of channels, for threads and for asyncio, against servers of grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from grpc_server import ECHO, FAIL, TALK, served
from support import PATIENCE

import trunkline
from trunkline import (
    AsyncChannel,
    AsyncInterceptor,
    Beginning,
    CallerConfig,
    Channel,
    ChannelError,
    ChannelState,
    ConnectionConfig,
    Ending,
    Interceptor,
    InterceptorsConfig,
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


# Names that the server sends back.
CALLER = CallerConfig(name="orders", prefix="echo-", max_depth=2)
TELLING = ConnectionConfig(interceptors=InterceptorsConfig(caller=CALLER, metrics=True))


def counted(method: str, status: str) -> float:
    samples = trunkline.metrics().named("trunkline_channel_method_calls_total", method=method, status=status)
    return sum(sample.value for sample in samples)


def test_calls_say_who_makes_them_and_are_counted_by_method(target: str) -> None:
    assert ConnectionConfig.from_json(TELLING.to_json()) == TELLING
    before = [counted(ECHO, "OK"), counted(FAIL, "NOT_FOUND"), counted(ECHO, "FAILED_PRECONDITION")]
    with Channel(target, config=TELLING, interceptors=[Scribe("one", [])]) as channel:
        told = channel.unary(ECHO, b"", metadata=[("echo-call-chain", "shop")], timeout=PATIENCE).initial
        assert {("echo-call-chain", b"shop -> orders"), ("echo-service-name", b"orders")} <= set(told)
        with pytest.raises(ChannelError):
            channel.unary(FAIL, b"", timeout=PATIENCE)
        for chain in ("orders", "a -> b"):
            with pytest.raises(ChannelError) as refused:
                channel.unary(ECHO, b"", metadata=[("echo-call-chain", chain)], timeout=PATIENCE)
            assert refused.value.status == 9
    after = [counted(ECHO, "OK"), counted(FAIL, "NOT_FOUND"), counted(ECHO, "FAILED_PRECONDITION")]
    assert [one - other for one, other in zip(after, before, strict=True)] == [1, 1, 0]
    with pytest.raises(trunkline.ConfigError, match=r"interceptors\.caller\.name"):
        ConnectionConfig(interceptors=InterceptorsConfig(caller=CallerConfig(name="")))


@pytest.mark.asyncio
async def test_async_calls_say_who_makes_them_and_are_counted_by_method(target: str) -> None:
    before = counted(ECHO, "OK")
    async with AsyncChannel(target, config=TELLING) as channel:
        response = await channel.unary(ECHO, b"", metadata=[("echo-call-chain", "shop")], timeout=PATIENCE)
        assert ("echo-call-chain", b"shop -> orders") in response.initial
    assert counted(ECHO, "OK") == before + 1
