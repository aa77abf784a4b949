"""The installed wheel: what it exports, what it shares with C, and what it promises to type checkers."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import trunkline
from trunkline import _native

HEADER = Path(__file__).parents[2] / "include" / "trunkline.h"


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
def test_the_module_exports_what_the_header_declares_and_no_more() -> None:
    printed = subprocess.run(
        ["nm", "-D", "--defined-only", str(_native.__file__)],
        capture_output=True,
        text=True,
        check=True,
    )
    exported = {line.split()[-1] for line in printed.stdout.splitlines()}
    declared = set(re.findall(r"\b(trunkline_\w+)\(", HEADER.read_text()))
    assert exported == declared | {"PyInit__native"}


def test_c_in_the_same_process_sees_the_same_names() -> None:
    """What C reaches through the module is the library that Python uses, not a second one."""

    class Stream(ctypes.Structure):
        _fields_ = (("h", ctypes.c_uint64),)

    library = ctypes.CDLL(str(_native.__file__))
    connect = library.trunkline_connect
    connect.argtypes = [
        ctypes.c_uint64,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int64,
        ctypes.POINTER(Stream),
        ctypes.c_void_p,
    ]
    library.trunkline_stream_free.argtypes = [ctypes.c_uint64]
    with trunkline.listen("mem:from-c") as listener:
        stream = Stream()
        assert connect(0, b"mem:from-c", 10, (1 << 63) - 1, ctypes.byref(stream), None) == 0
        with listener.accept() as far:
            assert _native.debug_counts()["streams"] == 2
            assert library.trunkline_stream_free(stream.h) == 0
            assert far.recv(1) == b""


def test_the_package_says_that_it_is_typed() -> None:
    files = {path.name for path in importlib.metadata.files("trunkline") or []}
    assert {"py.typed", "_native.pyi", "_native.abi3.so"} <= files
    assert importlib.metadata.version("trunkline") == trunkline.__version__
