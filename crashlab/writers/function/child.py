"""Runs one writer in a Python of its own: `python child.py CALL ACKS`, in the private directory, tap inside.

Each value that the writer acks goes to the file ACKS first and then, as a line on standard output, into the log.
"""

import ast
import asyncio
import inspect
import os
import sys
import threading
from pathlib import Path
from typing import Any

LINE = "crashlab-ack:"
PATTERN = r"^crashlab-ack:(.*)$"
VARIABLE = "CRASHLAB_IN_WRITER"


class Acks:
    """The `ack` that a writer is handed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def __call__(self, value: Any = None) -> None:
        """Say that what `value` stands for is promised from now on."""
        text = repr(value)
        try:
            same = ast.literal_eval(text) == value
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            same = False
        if not same or "\n" in text:
            raise TypeError(
                f"ack({text[:80]}): expected a plain value: a number, a string, bytes, a tuple or list of them"
            )
        if os.getpid() != self._owner:
            raise RuntimeError("ack() in a process that the writer started; promise in the writer itself")
        key = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        with self._lock:
            os.write(self._file, text.encode() + b"\n")
            os.write(1, f"{LINE}{key if key.isprintable() else ''}\n".encode())


def read_acks(path: Path) -> list[Any]:
    """Return the values that a writer acked, in order."""
    if not path.exists():
        return []
    return [ast.literal_eval(line) for line in path.read_text(encoding="utf-8").splitlines()]


def call(function: Any, arguments: dict[str, Any], acks: Acks) -> None:
    """Call a writer of any kind to its end; what it yields is acked."""
    result = function(**arguments)
    if inspect.isasyncgen(result):
        asyncio.run(_drain(result, acks))
    elif inspect.isawaitable(result):
        asyncio.run(_await(result))
    elif inspect.isgenerator(result):
        for value in result:
            acks(value)


async def _drain(values: Any, acks: Acks) -> None:
    async for value in values:
        acks(value)


async def _await(result: Any) -> None:
    await result


def _main() -> None:
    given, told = sys.argv[1:]
    sys.path[:0] = [str(Path(__file__).parents[3])]
    os.environ[VARIABLE] = "1"
    from crashlab.writers.function.places import DATABASE, Place
    from crashlab.writers.function.ship import unpack

    function, arguments = unpack(given)
    acks = Acks(told)
    here = Path.cwd()
    sys.argv[:] = ["writer"]
    places = {Place.DATABASE: here / DATABASE, Place.DIRECTORY: here, Place.ACK: acks}
    filled = {name: places[value] if isinstance(value, Place) else value for name, value in arguments.items()}
    call(function, filled, acks)


if __name__ == "__main__":
    _main()
