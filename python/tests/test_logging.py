"""What the library says reaches ``logging``, and delays nobody on the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from support import Thread, eventually, exchange, in_child, run_python

import trunkline


class Keeper(logging.Handler):
    """Keeps records, and holds the library's thread up while ``gate`` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def emit(self, record: logging.LogRecord) -> None:
        assert self.gate.wait(20)
        self.threads.add(threading.current_thread().name)
        self.records.append(record)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    logger = logging.getLogger("trunkline")
    logger.addHandler(keeper)
    logger.setLevel(1)
    yield keeper
    keeper.gate.set()
    trunkline.stop_logging()
    logger.removeHandler(keeper)
    logger.setLevel(logging.NOTSET)


def test_what_the_library_says_reaches_its_loggers(keeper: Keeper) -> None:
    trunkline.start_logging(1)
    exchange()
    eventually(lambda: len(keeper.records) > 0, "a record")
    trunkline.stop_logging()
    record = keeper.records[0]
    assert record.name.split(".")[0] == "trunkline"
    assert record.getMessage()
    assert record.pathname.endswith(".rs")
    assert keeper.threads == {"trunkline-log"}
    count = len(keeper.records)
    exchange()
    assert len(keeper.records) == count


def test_what_lies_below_the_level_is_not_made(keeper: Keeper) -> None:
    trunkline.start_logging(logging.ERROR)
    exchange()
    trunkline.stop_logging()
    assert [record for record in keeper.records if record.levelno < logging.ERROR] == []


def test_a_handler_that_hangs_delays_no_connection_and_the_rest_is_counted(keeper: Keeper) -> None:
    trunkline.start_logging(1, capacity=4)
    keeper.gate.clear()
    keeper.acquire()
    try:
        for _ in range(20):
            exchange()
    finally:
        keeper.release()
    keeper.gate.set()
    trunkline.stop_logging()
    assert any("did not fit" in record.getMessage() for record in keeper.records)


def test_a_thread_that_logs_and_uses_connections_does_not_lock_up(keeper: Keeper) -> None:
    trunkline.start_logging(1)
    log = logging.getLogger("trunkline.test")

    def work() -> None:
        for _ in range(50):
            log.debug("mine")
            exchange()

    threads = [Thread(work) for _ in range(4)]
    for thread in threads:
        thread.result()


def test_a_forked_child_says_nothing_until_it_is_told_to(keeper: Keeper) -> None:
    trunkline.start_logging(1)
    exchange()

    def child() -> None:
        keeper.records.clear()
        exchange()
        assert keeper.records == []
        trunkline.start_logging(1)
        exchange()
        trunkline.stop_logging()
        assert keeper.records

    in_child(child)


def test_an_exit_takes_the_last_records_along() -> None:
    done = run_python(
        "import logging, sys, trunkline\n"
        "logging.basicConfig(level=1, stream=sys.stdout)\n"
        "trunkline.start_logging(1)\n"
        "with trunkline.listen('tcp://127.0.0.1:0') as listener:\n"
        "    with trunkline.connect(listener.getsockname()), listener.accept():\n"
        "        pass\n"
    )
    assert "trunkline" in done.stdout


def test_a_bad_capacity_is_named() -> None:
    with pytest.raises(trunkline.ConfigError, match="capacity"):
        trunkline.start_logging(capacity=0)
