"""Real servers that can be killed and come back; ``tests/peers/run`` names the folder in which they live."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tests" / "peers" / "server"


@dataclass
class Server:
    """A real server that can be killed and comes back on the same port."""

    name: str
    port: int
    # How often it was killed: a connection of an earlier life is of no use.
    life: int = 0

    def kill(self) -> None:
        run("kill", self.name)
        self.life += 1

    def start(self) -> None:
        run("start", self.name)


def run(*arguments: str) -> str:
    # Into files: the server that is started keeps them open.
    done = subprocess.run([SCRIPT, *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    return done.stdout
