"""Plays the scripts of tests/pool, whose README says what they mean; the other languages play the same."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import trunkline
from trunkline import AsyncPool, Lease, PoolCloseReason

# Connections of a function cannot be seen to be broken, which one script is about.
FILES = [
    file
    for file in sorted((Path(__file__).parents[2] / "tests/pool").glob("*.yaml"))
    if "peeks" not in file.read_text()
]
# For how long an outcome may be awaited.
LONGEST = 10.0

ERRORS: dict[str, type[trunkline.Error]] = {
    "timeout": trunkline.PoolTimeout,
    "limit_exceeded": trunkline.TooManyWaiters,
    "circuit_open": trunkline.CircuitOpen,
    "closed": trunkline.PoolClosed,
}

Step = dict[str, Any]


def as_json(line: str) -> Any:
    """Reads the part of YAML that the scripts are written in: what stands in one line."""

    def quoted(word: re.Match[str]) -> str:
        text = word[0]
        return text if text[0] == '"' or text.isdigit() else f'"{text}"'

    return json.loads(re.sub(r'"[^"]*"|\w[\w-]*', quoted, line))


def read(file: Path) -> tuple[dict[str, Any], list[str], list[Step]]:
    """The configuration, the abilities and the steps of a script."""
    config: dict[str, Any] = {}
    abilities: list[str] = []
    steps: list[Step] = []
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "config:":
            config = as_json(value)
        elif key == "abilities:":
            abilities = as_json(value)
        elif key == "-":
            steps.append(as_json(value))
        else:
            assert key in ("name:", "steps:"), line
    return config, abilities, steps


class Orders:
    """What is connected, checked and closed, as a script orders it."""

    def __init__(self) -> None:
        self.plans: list[str] = []
        self.held: dict[str, asyncio.Future[bool]] = {}
        self.made = 0
        self.spoiled: set[int] = set()
        self.closed: list[int] = []

    def hold(self, word: str) -> asyncio.Future[bool]:
        """Where an attempt waits for its word."""
        return self.held.setdefault(word, asyncio.get_running_loop().create_future())

    async def connect(self) -> int:
        plan = self.plans.pop(0) if self.plans else "works"
        works = plan == "works" if plan in ("works", "fails") else await self.hold(plan)
        if not works:
            raise ConnectionRefusedError("connection failed, by plan")
        self.made += 1
        return self.made

    def check(self, number: int) -> bool:
        return number not in self.spoiled

    def close(self, number: int) -> None:
        self.closed.append(number)


class Player:
    """Plays one script on one pool."""

    def __init__(self, config: dict[str, Any], abilities: list[str]) -> None:
        self.orders = Orders()
        check = self.orders.check if "checks" in abilities else None
        self.pool = AsyncPool(self.orders.connect, check=check, close=self.orders.close, open=False)
        document = json.dumps(json.loads(self.pool._figures.document) | config)
        self.pool._figures = dataclasses.replace(self.pool._figures, document=document)
        self.callers: dict[str, asyncio.Task[Lease[int] | None]] = {}
        self.drains: dict[str, asyncio.Task[int]] = {}
        self.closes: list[asyncio.Task[int]] = []
        self.detached: set[int] = set()
        # A hook is not told why; the pool counts it.
        self.reasons: dict[int, str] = {}

    def lease(self, name: str) -> Lease[int]:
        """What a caller was lent."""
        lease = self.callers[name].result()
        assert lease is not None
        return lease

    def waiting(self) -> set[str]:
        """Those who have no answer."""
        return {name for name, caller in self.callers.items() if not caller.done()}

    def refuses(self) -> None:
        """Newcomers get nothing, not even what is idle."""
        try:
            self.pool._opened().try_acquire("")
        except trunkline.PoolClosed:
            return
        raise AssertionError("it still lends")

    async def acquire(self, name: str, within: int | None) -> None:
        timeout = None if within is None else within / 1000
        caller = self.callers[name] = asyncio.ensure_future(self.pool.acquire(timeout))

        def is_over() -> None:
            assert caller.done() or self.pool.stats().waiting == len(self.waiting())

        await self.until(is_over)
        if caller.done():
            caller.exception()  # Seen; a step says what it must be.

    async def attempt(self, name: str) -> None:
        async def attempt() -> Lease[int] | None:
            with suppress(trunkline.PoolTimeout):
                return await self.pool.acquire(timeout=0)
            return None

        self.callers[name] = asyncio.ensure_future(attempt())
        await asyncio.wait([self.callers[name]])

    async def act(self, step: Step) -> None:
        match step:
            case {"do": "acquire", "as": name, **rest}:
                await self.acquire(name, rest.get("within"))
            case {"do": "try", "as": name}:
                await self.attempt(name)
            case {"do": "cancel", "of": name}:
                self.callers[name].cancel()
                await asyncio.wait([self.callers[name]])
            case {"do": "release" | "discard" as what, "of": name}:
                with suppress(trunkline.ClosedError):
                    self.lease(name).release(discard=what == "discard")
            case {"do": "detach", "of": name}:
                self.detached.add(self.lease(name).detach())
            case {"do": "clear"}:
                self.pool.clear()
            case {"do": "check"}:
                self.pool.check()
            case {"do": "resize", "max_size": max_size, "min_idle": min_idle}:
                self.pool.resize(min_idle, max_size)
            case {"do": "drain", "as": name}:
                self.drains[name] = asyncio.ensure_future(self.pool.drain())
                await self.until(self.refuses)
            case {"do": "close"}:
                self.closes.append(asyncio.ensure_future(self.pool.aclose(LONGEST)))
                await self.until(self.refuses)
            case {"do": "connects", "next": plans}:
                self.orders.plans += plans
            case {"do": "let_go" | "let_fail" as what, "of": word}:
                self.orders.hold(word).set_result(what == "let_go")
            case {"do": "spoil", "connection": number}:
                self.orders.spoiled.add(number)
            case _:
                raise AssertionError(f"there is no step {step}")

    def look(self, step: Step) -> None:
        match step:
            case {"expect": "lent", "to": name, "connection": number}:
                assert self.callers[name].done()
                assert self.lease(name).connection == number
            case {"expect": "nothing", "to": name}:
                assert self.callers[name].result() is None
            case {"expect": "refused", "caller": name, "error": kind, **rest}:
                assert self.callers[name].done()
                error = self.callers[name].exception()
                assert isinstance(error, ERRORS[kind])
                assert rest.get("says", "") in ": ".join(causes(error))
            case {"expect": "waiting", "callers": callers}:
                assert self.waiting() == set(callers)
                assert self.pool.stats().waiting == len(callers)
            case {"expect": "closed", "connection": number, "reason": reason}:
                assert self.orders.closed.count(number) == 1
                expected = [*(self.reasons | {number: reason}).values()].count(reason)
                counted = self.pool.stats().closed_by_reason
                assert counted[PoolCloseReason[reason.upper()]] >= expected
                self.reasons[number] = reason
            case {"expect": "open", "connection": number}:
                assert number not in self.orders.closed
            case {"expect": "stats", **counts}:
                stats = self.pool.stats()
                assert {field: getattr(stats, field) for field in counts} == counts
            case {"expect": "stale", "of": name}:
                used = self.pool.stats().used
                with pytest.raises(trunkline.ClosedError):
                    self.lease(name).release()
                assert self.pool.stats().used == used
            case {"expect": "ended", "of": name}:
                assert self.drains[name].done()
            case _:
                raise AssertionError(f"there is no expectation of {step}")

    async def until(self, look: Callable[[], None]) -> None:
        """Looks again and again until it is so."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + LONGEST
        while True:
            try:
                return look()
            except (AssertionError, KeyError):
                if loop.time() > give_up:
                    raise
            await asyncio.sleep(0.001)

    async def finish(self) -> None:
        """Closes the pool and puts all that is lent back: then nothing is left, and nobody."""
        close = asyncio.ensure_future(self.pool.aclose(LONGEST))
        await asyncio.wait([*self.callers.values()])
        for caller in self.callers.values():
            if not caller.cancelled() and caller.exception() is None and (lease := caller.result()):
                with suppress(trunkline.ClosedError):
                    lease.release()
        await asyncio.gather(close, *self.closes, *self.drains.values())
        made = set(range(1, self.orders.made + 1))
        assert sorted(self.orders.closed) == sorted(made - self.detached)


def causes(error: BaseException | None) -> Iterator[str]:
    """The texts of an error and of all behind it."""
    while error is not None:
        yield str(error)
        error = error.__cause__


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_script_comes_out_as_it_says(file: Path) -> None:
    config, abilities, steps = read(file)
    player = Player(config, abilities)
    await player.pool.open()
    for step in steps:
        if "do" in step:
            await player.act(step)
        else:
            await player.until(lambda step=step: player.look(step))  # type: ignore[misc]
    await player.finish()


def test_every_script_is_played_but_the_one_about_broken_connections() -> None:
    folder = FILES[0].parent
    assert {file.name for file in folder.glob("*.yaml")} - {file.name for file in FILES} == {"broken.yaml"}
