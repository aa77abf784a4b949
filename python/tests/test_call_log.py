"""What the log says of calls where the configuration asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from grpc_server import ECHO, served
from support import PATIENCE, eventually

import trunkline
from trunkline import (
    NEVER,
    AsyncChannel,
    CallLogConfig,
    Channel,
    ChannelError,
    ConfigError,
    ConnectionConfig,
    InterceptorsConfig,
    ServiceConfig,
)

QUIET = "/test.Service/Quiet"


def config(log: CallLogConfig) -> ConnectionConfig:
    interceptors = InterceptorsConfig(logging=log)
    return ConnectionConfig(interceptors=interceptors, service_config=ServiceConfig(document={}))


class Keeper(logging.Handler):
    """Keeps what is said of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("call "):
            self.lines.append(f"{record.levelname} {record.getMessage()}")

    def has(self, start: str, *parts: str) -> bool:
        lines = [line for line in self.lines if line.startswith(start)]
        return any(all(part in line for part in parts) for line in lines)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    logger = logging.getLogger("trunkline")
    logger.addHandler(keeper)
    logger.setLevel(logging.DEBUG)
    trunkline.start_logging(logging.DEBUG)
    yield keeper
    trunkline.stop_logging()
    logger.removeHandler(keeper)
    logger.setLevel(logging.NOTSET)


def test_calls_are_logged_with_what_may_be_shown(keeper: Keeper) -> None:
    log = CallLogConfig(slow=NEVER, skip=(QUIET,), show_metadata=("tenant",))
    with served() as (server, _), Channel(server, config=config(log)) as channel:
        channel.unary(
            ECHO,
            b"payload",
            timeout=PATIENCE,
            metadata=[("tenant", "t1"), ("other", "o")],
            credentials=[("token", "s3cret")],
            plaintext_credentials=True,
        )
        for method in (QUIET, "/test.Service/None"):
            with pytest.raises(ChannelError):
                channel.unary(method, b"", timeout=PATIENCE)
        eventually(lambda: keeper.has("WARNING call failed", "status=UNIMPLEMENTED", "/test.Service/None"))
    assert keeper.has("DEBUG call begins", ECHO, "t1", "other=redacted", "token=redacted")
    assert keeper.has("INFO call ended", ECHO, "took=")
    said = "\n".join(keeper.lines)
    assert not any(word in said for word in ("payload", "s3cret", QUIET)), said


async def test_async_calls_are_logged_too(keeper: Keeper) -> None:
    slow = CallLogConfig(slow=timedelta(milliseconds=1))
    with served() as (server, _):
        async with AsyncChannel(server, config=config(slow)) as channel:
            while not keeper.has("WARNING call was slow", ECHO):
                await channel.unary(ECHO, bytes(1 << 20), timeout=PATIENCE)


def test_what_is_wrong_with_the_log_is_named() -> None:
    for log, field in [
        (CallLogConfig(slow=timedelta()), "slow"),
        (CallLogConfig(skip=("a.B/C",)), "skip"),
        (CallLogConfig(show_metadata=("Tenant",)), "show_metadata"),
    ]:
        with pytest.raises(ConfigError, match=f"interceptors.logging.{field}"):
            config(log)
