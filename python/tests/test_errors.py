"""The one error table: every status on demand, and those that can be provoked for real."""

from __future__ import annotations

import builtins
import errno
import pickle
from pathlib import Path

import pytest

import trunkline
from trunkline import _errors, _native

# Status, class, the builtin to catch it by, kind.
TABLE = [
    (1, trunkline.ConfigError, ValueError, "invalid_argument"),
    (2, trunkline.ClosedError, ConnectionError, "invalid_handle"),
    (3, trunkline.ClosedError, ConnectionError, "closed"),
    (4, trunkline.WaitTimeout, TimeoutError, "timeout"),
    (5, trunkline.ClosedError, ConnectionError, "cancelled"),
    (6, trunkline.WouldBlock, BlockingIOError, "would_block"),
    (7, trunkline.NativeError, RuntimeError, "would_deadlock"),
    (8, trunkline.ForkedError, RuntimeError, "forked"),
    (9, trunkline.LimitExceeded, RuntimeError, "limit_exceeded"),
    (10, trunkline.ConnectError, ConnectionError, "connection_failed"),
    (11, trunkline.BindError, OSError, "bind_failed"),
    (12, trunkline.ResetError, ConnectionResetError, "broken"),
    (13, trunkline.TlsError, ConnectionError, "tls"),
    (14, trunkline.ProtocolError, ConnectionError, "protocol"),
    (15, trunkline.ChannelError, trunkline.Error, "rpc"),
    (16, trunkline.NativeError, RuntimeError, "callback"),
    (17, trunkline.UnsupportedError, NotImplementedError, "unsupported"),
    (18, trunkline.NativeError, RuntimeError, "version"),
    (19, trunkline.NativeError, RuntimeError, "panic"),
    (20, trunkline.NoMemoryError, MemoryError, "no_memory"),
    (21, trunkline.UdpError, OSError, "udp"),
    (22, trunkline.NotFoundError, LookupError, "not_found"),
]

CLASSES = [getattr(trunkline, name) for name in _errors.__all__]


@pytest.mark.parametrize(("status", "cls", "builtin", "kind"), TABLE)
def test_every_status_is_its_exception(
    status: int,
    cls: type[trunkline.Error],
    builtin: type[Exception],
    kind: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(trunkline.Error) as caught:
        _native.debug_fail(status)
    capfd.readouterr()  # A panic also tells stderr.
    error = caught.value
    assert type(error) is cls
    assert isinstance(error, builtin)
    assert (error.kind, error.code) == (kind, status)
    assert set(_errors._FIELDS) <= set(vars(error)) | {"errno"}
    assert "debug_fail" in str(error)
    assert error.retryable == (kind in ("limit_exceeded", "would_block"))


def test_the_table_has_every_status() -> None:
    with pytest.raises(trunkline.ConfigError, match="status"):
        _native.debug_fail(1000)
    assert {row[0] for row in TABLE} == set(range(1, 23))
    _native.debug_fail(0)


@pytest.mark.parametrize(
    ("step", "cls"),
    [
        (2, trunkline.ConnectTimeout),
        (3, trunkline.ConnectTimeout),
        (5, trunkline.WaitTimeout),
        (6, trunkline.PoolTimeout),
        (7, trunkline.ReadTimeout),
        (8, trunkline.WriteTimeout),
        (10, trunkline.WaitTimeout),
    ],
)
def test_a_timeout_is_told_by_its_step(step: int, cls: type[trunkline.Error]) -> None:
    assert _errors.classes()[4, step] is cls
    assert issubclass(cls, TimeoutError)


def test_a_status_of_a_newer_library_is_still_an_error() -> None:
    assert _errors.classes()[0, 0] is trunkline.NativeError


def test_a_cause_without_a_number_is_the_systems_and_no_reset() -> None:
    unknown = "tcp://" + "x" * 64 + ".invalid:1"
    with pytest.raises(trunkline.ConnectError) as caught:
        trunkline.connect(unknown, timeout=20)
    assert caught.value.step == "resolve"
    cause = caught.value.__cause__
    assert type(cause) is OSError
    assert cause.errno is None
    assert str(cause)


def test_what_rpc_says_is_kept() -> None:
    with pytest.raises(trunkline.ChannelError) as caught:
        _native.debug_fail(15)
    assert (caught.value.status, caught.value.trailers) == (-1, ())
    assert caught.value.details == str(caught.value)


@pytest.mark.parametrize("cls", CLASSES)
def test_no_exception_shadows_a_builtin(cls: type[trunkline.Error]) -> None:
    assert not hasattr(builtins, cls.__name__)
    assert issubclass(cls, trunkline.Error)
    assert cls.__doc__


@pytest.mark.parametrize("cls", CLASSES)
def test_every_exception_survives_pickling(cls: type[trunkline.Error]) -> None:
    error = cls(
        "why",
        kind="timeout",
        code=4,
        step="connect",
        address="tcp://127.0.0.1:1",
        local_address="tcp://127.0.0.1:2",
        retryable=True,
        nothing_sent=True,
        errno=errno.ETIMEDOUT,
        elapsed=1.5,
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error) == "why"
    assert copy._fields() == error._fields()
    assert copy.errno == errno.ETIMEDOUT


def test_a_call_status_survives_pickling() -> None:
    error = trunkline.ChannelError("m", status=5, details="d", trailers=[("k", b"v")])
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.status, copy.details, copy.trailers) == (5, "d", (("k", b"v"),))


def test_a_refused_connect_names_address_number_and_cause() -> None:
    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        address = listener.getsockname()
    with pytest.raises(trunkline.ConnectError) as caught:
        trunkline.connect(address)
    error = caught.value
    assert (error.step, error.address, error.errno) == ("connect", address, errno.ECONNREFUSED)
    assert error.retryable
    assert error.nothing_sent
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert address in str(error)


def test_a_connect_that_takes_too_long_is_a_timeout(silent_address: str) -> None:
    with pytest.raises(trunkline.ConnectTimeout) as caught:
        trunkline.connect(silent_address, timeout=0.02)
    error = caught.value
    assert isinstance(error, trunkline.ConnectError)
    assert isinstance(error, TimeoutError)
    assert error.retryable
    assert error.elapsed is not None


def test_an_address_that_is_taken_cannot_be_bound(tmp_path: Path) -> None:
    for address in ("tcp://127.0.0.1:0", "mem:taken"):
        with trunkline.listen(address) as listener:
            with pytest.raises(trunkline.BindError) as caught:
                trunkline.listen(listener.getsockname())
            assert caught.value.address == listener.getsockname()
    with pytest.raises(trunkline.BindError):
        trunkline.listen(f"unix:{tmp_path}/no/such/folder.sock")


def test_a_name_that_nobody_listens_on_is_refused() -> None:
    with pytest.raises(trunkline.ConnectError):
        trunkline.connect("mem:nobody")


async def test_the_asyncio_face_raises_the_same(silent_address: str) -> None:
    with trunkline.listen("tcp://127.0.0.1:0") as listener:
        address = listener.getsockname()
    with pytest.raises(trunkline.ConnectError) as caught:
        await trunkline.async_connect(address)
    assert caught.value.errno == errno.ECONNREFUSED
    with pytest.raises(trunkline.ConnectTimeout):
        await trunkline.async_connect(silent_address, timeout=0.02)
    with pytest.raises(trunkline.ConfigError):
        await trunkline.async_connect("nonsense")
    with pytest.raises(trunkline.BindError):
        await trunkline.async_listen("unix:/no/such/folder.sock")


def test_the_text_of_an_error_ends_with_the_reason() -> None:
    with pytest.raises(trunkline.ConnectError) as caught:
        trunkline.connect("tcp://127.0.0.1:1")
    assert str(caught.value).endswith("connection failed: Connection refused")
    with trunkline.Pool("tcp://127.0.0.1:1", timeout=0.2) as pool:
        with pytest.raises(trunkline.PoolTimeout) as exhausted:
            pool.acquire()
    for part in ('pool "default": 0 of 10 in use', "connect to tcp://127.0.0.1:1: connection failed"):
        assert str(exhausted.value).count(part) == 1
    first, second = trunkline.Error("one"), trunkline.Error("two")
    first.__cause__, second.__cause__ = second, first
    assert str(first) == "one: two"
    assert pickle.loads(pickle.dumps(caught.value)).args == (str(caught.value),)


def test_a_configuration_may_be_a_mapping_and_nothing_strange() -> None:
    document = {"max_connections": 7}
    for kind in (trunkline.TcpConnectionManager, trunkline.UdpConnectionManager):
        with pytest.raises(trunkline.ConfigError, match="a mapping or JSON text, not int"):
            kind(7)  # type: ignore[arg-type]
        with pytest.raises(trunkline.ConfigError, match="no_such_key"):
            kind({"no_such_key": 1})
    with trunkline.TcpConnectionManager(document) as manager:
        assert manager.stats().limit == 7
