"""Real servers that can be killed and come back; ``tests/peers/run`` names the folder in which they live."""

from __future__ import annotations

import subprocess
import tempfile
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
    # Into a file: the server that is started keeps it open, so that a pipe would not end.
    with tempfile.TemporaryFile("w+") as said:
        subprocess.run([SCRIPT, *arguments], check=True, stdout=said, timeout=60)
        said.seek(0)
        return said.read().strip()
