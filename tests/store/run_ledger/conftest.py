"""Fixtures of the run ledger's tests."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import RunLedger

ROOT = Path(__file__).parents[3]
PRELUDE = """
import json, os, sys, time
from store import RunCapReached, RunLedger
path = sys.argv[1]
def say(value): print(json.dumps(value), flush=True)
def wait(): return sys.stdin.readline()
"""


class Child:
    """A process that runs a piece of Python: it says lines of JSON, and waits for a word to go on."""

    def __init__(self, code: str, *args: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def heard(self) -> object:
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait(30)}"
        return json.loads(line)


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Starts processes, and ends those that are left."""
    children: list[Child] = []

    def start(code: str, *args: object) -> Child:
        children.append(Child(code, *args))
        return children[-1]

    yield start
    for one in children:
        one.process.kill()
        one.process.wait(30)
        one.process.stdin.close()
        one.process.stdout.close()


class Clock:
    """A clock that stands until it is moved; seconds to read and write, nanoseconds to the ledger."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> int:
        return round(self.seconds * 1_000_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(make: Callable[..., RunLedger], clock: Clock) -> RunLedger:
    return make(cls=RunLedger, clock=clock, instance="one")


@pytest.fixture
def other(ledger: RunLedger, make: Callable[..., RunLedger], clock: Clock) -> RunLedger:
    """A second ledger on the same file, as another process would have."""
    return make(cls=RunLedger, clock=clock, instance="two")
