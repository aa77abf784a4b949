"""Hubs and agents that are killed: nobody hangs, the others hear of it, and who comes back finds its way."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from support import PATIENCE, Thread, eventually

import trunkline
from trunkline import Agent, AgentConfig, BackoffConfig, Hub, HubConfig, Stream

Carrier = Literal["native", "packet"]

CARRIERS: tuple[Carrier, ...] = ("native", "packet")
TOKEN = "a token that is long enough"

HUB = f"""
import sys, trunkline
carriers = ["native", "packet"]
hub = trunkline.Hub(trunkline.HubConfig(agents={{"c1": ["{TOKEN}"]}}, carriers=carriers))
hub.listen(sys.argv[1])
print(hub.forward("tcp://127.0.0.1:0", "c1"), flush=True)
sys.stdin.read()
"""

AGENT = f"""
import sys, threading, trunkline
at, carrier = sys.argv[1:]
config = trunkline.AgentConfig(cluster="c1", token="{TOKEN}", hubs=[at], carrier=carrier)
agent = trunkline.Agent(config)
listener = agent.listener()
agent.wait_ready({PATIENCE})
print("ready", flush=True)

def echo(stream):
    while data := stream.recv(65536):
        stream.sendall(data)

while True:
    threading.Thread(target=echo, args=(listener.accept(),), daemon=True).start()
"""


@contextlib.contextmanager
def process(source: str, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that is killed at the end, if not before, and the line that it prints."""
    command = [sys.executable, "-P", "-c", source, *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()


def kill(victim: subprocess.Popen[str]) -> None:
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(PATIENCE) == -signal.SIGKILL


def echoes(stream: Stream) -> None:
    stream.settimeout(PATIENCE)
    stream.sendall(b"still there")
    assert stream.recv(11) == b"still there"


def echo(stream: Stream) -> None:
    with stream:
        while data := stream.recv(65536):
            stream.sendall(data)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_hub_that_is_killed_hangs_nobody_and_its_agents_find_the_next(
    carrier: Carrier, tmp_path: Path
) -> None:
    # The file stays behind, and the next hub takes its place.
    at = f"unix:{tmp_path}/hub"
    config = AgentConfig(
        cluster="c1",
        token=TOKEN,
        hubs=[at],
        carrier=carrier,
        backoff=BackoffConfig(base_delay=timedelta(milliseconds=20), max_delay=timedelta(milliseconds=100)),
    )
    with Agent(config) as agent, agent.listener() as listener:
        with process(HUB, at) as (hub, users):
            agent.wait_ready(PATIENCE)
            with trunkline.connect(users) as user, contextlib.ExitStack() as stack:
                echo_of_user = Thread(echo, listener.accept())
                echoes(user)
                waits = stack.enter_context(trunkline.connect(users))
                served = stack.enter_context(listener.accept())
                reads = Thread(served.recv, 1)
                kill(hub)
                # Who reads at the agent, and who does at the hub's front, each hear of it.
                for broken in (reads.result, echo_of_user.result):
                    with pytest.raises(trunkline.ResetError):
                        broken()
                for stream in (user, waits):
                    stream.settimeout(PATIENCE)
                    with contextlib.suppress(trunkline.ResetError):
                        assert stream.recv(1) == b""
        eventually(lambda: agent.stats().active == 0)
        with process(HUB, at) as (_, users):
            agent.wait_ready(PATIENCE)
            with trunkline.connect(users) as user:
                again = Thread(echo, listener.accept())
                echoes(user)
            again.result()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_an_agent_that_is_killed_is_an_error_for_its_users_until_the_next_comes(carrier: Carrier) -> None:
    with Hub(HubConfig(agents={"c1": [TOKEN]}, carriers=[*CARRIERS])) as hub:
        at = hub.listen("tcp://127.0.0.1:0")
        with process(AGENT, at, carrier) as (agent, ready):
            assert ready == "ready"
            with hub.dial("c1") as stream:
                echoes(stream)
                kill(agent)
                with pytest.raises(trunkline.ResetError):
                    stream.recv(1)
            eventually(lambda: hub.stats().links == 0)
            with pytest.raises(trunkline.ConnectError, match="c1") as refused:
                hub.dial("c1")
            # Nothing of it has gone anywhere, so that the program may ask again, or elsewhere.
            assert refused.value.retryable
            assert refused.value.nothing_sent
        with process(AGENT, at, carrier) as (_, ready):
            assert ready == "ready"
            with hub.dial("c1") as stream:
                echoes(stream)
