"""Each test runs once with each database."""

from __future__ import annotations

import os

import pytest
from servers import Server, run


@pytest.fixture(params=["redis", "postgres"])
def server(request: pytest.FixtureRequest) -> Server:
    # Never a skip: a server that is missing fails the test.
    assert "TRUNKLINE_PEERS" in os.environ, "run these with make test-peers"
    run("start", request.param)
    return Server(request.param, int(run("port", request.param)))
