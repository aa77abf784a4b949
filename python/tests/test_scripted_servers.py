"""What channels make of servers that break off, change their mind, fall silent or talk nonsense.

Each is a claim of three parts: what the call returns, whether it was sent again, and that the channel is
well after.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import h2.events
import pytest
from h2.settings import SettingCodes
from scripted_server import HEADERS, Connection, Script, Scripted, message
from support import PATIENCE, Thread, eventually

from trunkline import (
    BackoffConfig,
    Channel,
    ChannelError,
    ConnectionConfig,
    ServiceConfig,
)

ECHO = "/test.Service/Echo"

OK = 0
CANCELLED = 1
UNKNOWN = 2
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14

DATA, HEADERS_FRAME, RST_STREAM, SETTINGS, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 8, 9
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 2, 7, 8, 11

SOON = BackoffConfig(base_delay=timedelta(milliseconds=5), max_delay=timedelta(milliseconds=20))


def config(**fields: Any) -> ConnectionConfig:
    """Without retries, and quick to connect again."""
    return ConnectionConfig(backoff=SOON, service_config=ServiceConfig(document={}), **fields)


def status(channel: Channel, timeout: float = PATIENCE) -> int:
    """What a call ends with."""
    try:
        assert channel.unary(ECHO, b"x", timeout=timeout, wait_for_ready=True).message == b"well"
    except ChannelError as error:
        return error.status
    return OK


def told(script: Script, expected: int, attempts: int | None, connections: int = 2, **fields: Any) -> None:
    """A call whose first connection follows the script ends so, after so many attempts; the next is well."""
    with Scripted(script) as server, Channel(server.target, config=config(**fields)) as channel:
        assert status(channel) == expected
        if attempts is not None:
            assert sum(address.calls_started for address in channel.inspect().addresses) == attempts
        assert status(channel) == OK
        assert server.connections == connections


# GOAWAY at every point of a call.


def goaway_before_settings(c: Connection) -> None:
    c.goaway(0)


def goaway_with_settings(c: Connection) -> None:
    c.greet()
    c.goaway(0)
    c.hold()


def goaway_that_takes_the_call(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.goaway(stream)
    c.answer(stream)
    c.hold()


def goaway_that_leaves_the_call_out(c: Connection) -> None:
    c.greet()
    c.call()
    c.goaway(0)
    c.hold()


def goaway_after_headers(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.begin(stream)
    c.goaway(stream)
    c.say(stream, b"well")
    c.finish(stream)
    c.hold()


def goaway_amid_a_message(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.begin(stream)
    whole = message(b"well")
    c.h2.send_data(stream, whole[:7])
    c.flush()
    c.goaway(stream)
    c.h2.send_data(stream, whole[7:])
    c.finish(stream)
    c.hold()


def goaway_twice(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.goaway(2**31 - 1)
    c.goaway(stream)
    c.answer(stream)
    c.hold()


def goaway_and_gone(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.goaway(stream)


def goaway_after_headers_and_gone(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.begin(stream)
    c.goaway(stream)


@pytest.mark.parametrize(
    ("script", "expected", "attempts"),
    [
        (goaway_before_settings, OK, 1),
        (goaway_with_settings, OK, None),
        (goaway_that_takes_the_call, OK, 1),
        (goaway_that_leaves_the_call_out, OK, 2),
        (goaway_after_headers, OK, 1),
        (goaway_amid_a_message, OK, 1),
        (goaway_twice, OK, 1),
        (goaway_and_gone, UNAVAILABLE, 1),
        (goaway_after_headers_and_gone, UNAVAILABLE, 1),
    ],
)
def test_goaway_at_every_point_of_a_call(script: Script, expected: int, attempts: int | None) -> None:
    told(script, expected, attempts)


def test_a_message_that_came_before_the_connection_went_is_there_and_the_end_is_an_error() -> None:
    def script(c: Connection) -> None:
        c.greet()
        stream = c.wait_for(h2.events.RequestReceived).stream_id
        c.begin(stream)
        c.say(stream, b"first")
        c.goaway(stream)

    with Scripted(script) as server, Channel(server.target, config=config()) as channel:
        with channel.stream(ECHO, timeout=PATIENCE) as call:
            assert call.receive() == b"first"
            with pytest.raises(ChannelError) as caught:
                call.receive()
            assert caught.value.status == UNAVAILABLE
        assert status(channel) == OK


# RST_STREAM: with which code, and when.


def reset(code: int, *, after_headers: bool = False, times: int = 1) -> Script:
    def script(c: Connection) -> None:
        c.greet()
        for _ in range(times):
            stream = c.call()
            if after_headers:
                c.begin(stream)
            c.h2.reset_stream(stream, code)
            c.flush()
        c.serve()

    return script


@pytest.mark.parametrize(
    ("script", "expected", "attempts"),
    [
        (reset(NO_ERROR), INTERNAL, 1),
        (reset(INTERNAL_ERROR), INTERNAL, 1),
        (reset(REFUSED_STREAM), OK, 2),
        (reset(REFUSED_STREAM, times=2), UNAVAILABLE, 2),
        (reset(CANCEL), CANCELLED, 1),
        (reset(ENHANCE_YOUR_CALM), RESOURCE_EXHAUSTED, 1),
        (reset(REFUSED_STREAM, after_headers=True), UNAVAILABLE, 1),
        (reset(CANCEL, after_headers=True), CANCELLED, 1),
    ],
)
def test_a_reset_stream_ends_the_call_by_its_code_and_nothing_else(
    script: Script, expected: int, attempts: int
) -> None:
    told(script, expected, attempts, connections=1)


# SETTINGS that change while calls are under way.


def test_calls_wait_while_the_server_takes_none_and_go_on_when_it_does() -> None:
    def script(c: Connection) -> None:
        c.greet()
        c.answer(c.call())
        c.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        c.flush()
        c.wait_for(h2.events.SettingsAcknowledged)
        opened.wait(PATIENCE)
        c.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 10})
        c.flush()
        c.serve()

    opened = threading.Event()
    with Scripted(script) as server, Channel(server.target, config=config()) as channel:
        assert status(channel) == OK
        eventually(lambda: channel.inspect().addresses[0].connections[0].calls_limit == 0)
        waiting = Thread(lambda: status(channel))
        eventually(lambda: channel.inspect().calls_queued == 1)
        opened.set()
        assert waiting.result() == OK
        assert server.connections == 1


def test_fewer_streams_than_are_open_end_none_of_them() -> None:
    def script(c: Connection) -> None:
        c.greet()
        first, second = c.call(), c.call()
        c.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        c.flush()
        c.wait_for(h2.events.SettingsAcknowledged)
        c.answer(second)
        c.answer(first)
        c.serve()

    with Scripted(script) as server, Channel(server.target, config=config()) as channel:
        calls = [Thread(lambda: status(channel)) for _ in range(2)]
        assert [call.result() for call in calls] == [OK, OK]
        assert status(channel) == OK
        assert server.connections == 1


def test_a_window_that_closes_while_a_message_is_sent_holds_it_up_and_no_more() -> None:
    whole = bytes(range(256)) * 1024

    def script(c: Connection) -> None:
        c.greet()
        stream = c.wait_for(h2.events.RequestReceived).stream_id
        c.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        c.flush()
        c.wait_for(h2.events.SettingsAcknowledged)
        c.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        c.flush()
        c.wait_for(h2.events.StreamEnded)
        assert c.bodies[stream] == message(whole)
        c.answer(stream)
        c.serve()

    with Scripted(script) as server, Channel(server.target, config=config()) as channel:
        assert channel.unary(ECHO, whole, timeout=PATIENCE).message == b"well"
        assert status(channel) == OK


# Silence.


def test_a_server_that_accepts_and_is_silent_is_no_server() -> None:
    with Scripted(Connection.hold) as server:
        impatient = config(connect_timeout=timedelta(milliseconds=50))
        with Channel(server.target, config=impatient) as channel:
            assert status(channel) == OK
            assert server.connections >= 2
            failed = [change.why for change in channel.history().changes if change.why is not None]
            assert failed
            assert "sent no SETTINGS" in failed[0]


def silent_after_settings(c: Connection) -> None:
    c.greet()
    c.hold()


def silent_after_headers(c: Connection) -> None:
    c.greet()
    c.begin(c.call())
    c.hold()


def silent_amid_a_message(c: Connection) -> None:
    c.greet()
    stream = c.call()
    c.begin(stream)
    c.h2.send_data(stream, message(b"well")[:6])
    c.flush()
    c.hold()


@pytest.mark.parametrize("script", [silent_after_settings, silent_after_headers, silent_amid_a_message])
def test_silence_ends_with_the_deadline_and_is_not_tried_again(script: Script) -> None:
    with Scripted(script) as server, Channel(server.target, config=config()) as channel:
        channel.wait_ready(timeout=PATIENCE)
        assert status(channel, timeout=0.2) == DEADLINE_EXCEEDED
        # None, where the machine was so slow that the deadline passed first.
        assert channel.inspect().addresses[0].calls_started <= 1
        assert server.connections == 1


# Nonsense.


def hello_of_http1(c: Connection) -> None:
    c.raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def nonsense_for_settings(c: Connection) -> None:
    c.raw(bytes(range(256)))


def with_a_call(then: Callable[[Connection, int], object]) -> Script:
    def script(c: Connection) -> None:
        c.greet()
        stream = c.call()
        then(c, stream)
        c.hold()

    return script


@pytest.mark.parametrize("script", [hello_of_http1, nonsense_for_settings])
def test_what_is_no_http2_fails_the_attempt_to_connect_and_not_the_call(script: Script) -> None:
    told(script, OK, 1)


@pytest.mark.parametrize(
    "broken",
    [
        # Bytes that are no frames: a length beyond what was agreed.
        lambda c, stream: c.raw(b"\xff" * 64),
        # DATA on the connection itself.
        lambda c, stream: c.frame(DATA, 0, 0, b"x"),
        # CONTINUATION of nothing.
        lambda c, stream: c.frame(CONTINUATION, 4, stream, b"x"),
        # A window that overflows, for all calls.
        lambda c, stream: c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)),
        # SETTINGS of a length that none has.
        lambda c, stream: c.frame(SETTINGS, 0, 0, b"12345"),
        # A block of headers that no table explains.
        lambda c, stream: c.frame(HEADERS_FRAME, 4, stream, b"\xff\xff\xff\xff\xff\xff"),
        # A stream that the server may not open.
        lambda c, stream: c.frame(HEADERS_FRAME, 5, 2, b"\x88"),
        # RST_STREAM of a stream that never was.
        lambda c, stream: c.frame(RST_STREAM, 0, stream + 100, struct.pack(">I", CANCEL)),
    ],
    ids=["bytes", "data", "continuation", "window", "settings", "hpack", "stream", "reset"],
)
def test_nonsense_ends_the_connection_and_its_calls_and_the_next_is_well(
    broken: Callable[[Connection, int], object],
) -> None:
    with Scripted(with_a_call(broken)) as server, Channel(server.target, config=config()) as channel:
        assert status(channel) in (UNAVAILABLE, INTERNAL)
        assert channel.inspect().addresses[0].calls_started == 1
        assert status(channel) == OK
        assert server.connections == 2


def answering(
    headers: list[tuple[str, str]], body: bytes = b"", trailers: list[tuple[str, str]] | None = None
) -> Script:
    def script(c: Connection) -> None:
        c.greet()
        stream = c.call()
        c.h2.send_headers(stream, headers, end_stream=trailers is None and not body)
        if body:
            c.h2.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            c.h2.send_headers(stream, trailers, end_stream=True)
        c.flush()
        c.serve()

    return script


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # No gRPC at all.
        (answering([(":status", "503"), ("content-type", "text/html")], b"<html>"), UNAVAILABLE),
        (answering([(":status", "404")]), UNIMPLEMENTED),
        # No status, one that is no number, and one that none has.
        (answering(HEADERS, message(b"well"), [("hint", "none")]), UNKNOWN),
        (answering(HEADERS, message(b"well"), [("grpc-status", "many")]), UNKNOWN),
        (answering(HEADERS, message(b"well"), [("grpc-status", "77")]), UNKNOWN),
        # A message that ends too soon, one too long, and one compressed in a way that was not agreed on.
        (answering(HEADERS, message(b"well")[:7], [("grpc-status", "0")]), INTERNAL),
        (answering(HEADERS, b"\0\xff\xff\xff\xff", [("grpc-status", "0")]), RESOURCE_EXHAUSTED),
        (answering(HEADERS, b"\1" + message(b"well")[1:], [("grpc-status", "0")]), INTERNAL),
        (
            answering(
                [*HEADERS, ("grpc-encoding", "rot13")], b"\1" + message(b"well")[1:], [("grpc-status", "0")]
            ),
            UNIMPLEMENTED,
        ),
    ],
)
def test_an_answer_that_is_none_of_grpc_fails_its_call_alone(script: Script, expected: int) -> None:
    told(script, expected, 1, connections=1)


# Headers that are too large.

LARGE = ("filler", "x" * 20_000)


def test_headers_over_the_limit_fail_their_call_alone() -> None:
    script = answering([*HEADERS, LARGE], message(b"well"), [("grpc-status", "0")])
    told(script, INTERNAL, 1, connections=1)


def test_trailers_over_the_limit_lose_what_is_beyond_it() -> None:
    told(answering(HEADERS, message(b"well"), [LARGE, ("grpc-status", "0")]), UNKNOWN, 1, connections=1)
    with (
        Scripted(answering(HEADERS, message(b"well"), [("grpc-status", "0"), LARGE])) as server,
        Channel(server.target, config=config()) as channel,
    ):
        assert channel.unary(ECHO, b"x", timeout=PATIENCE).trailing == ()
        assert status(channel) == OK
        assert server.connections == 1


def test_headers_without_end_end_the_connection() -> None:
    def flood(c: Connection, stream: int) -> None:
        c.frame(HEADERS_FRAME, 0, stream, b"\x88")
        block = b"\x00\x01a\x7f\x81\x7e" + b"x" * 16_000
        for _ in range(200):
            c.frame(CONTINUATION, 0, stream, block)

    with Scripted(with_a_call(flood)) as server, Channel(server.target, config=config()) as channel:
        assert status(channel) in (UNAVAILABLE, INTERNAL, RESOURCE_EXHAUSTED)
        assert status(channel) == OK
        assert server.connections == 2
