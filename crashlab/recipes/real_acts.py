"""What runs in the processes of the recipes that are played for real; each ends with a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crashlab.recipes.ledger import DATABASE, add, create, open_database

ROWS = 10
NEWCOMER_FIRST = 1_001
END = "end"
CLOSE_S = 0.3
NEWCOMER_S = 20
_ROOT = str(Path(__file__).parents[2])
_HERE = Path(__file__).parent
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)

Function = Callable[..., Any]


def opening(directory: Path, ack: Any, function: Function) -> None:
    """A program has its database open; something else in it opens the file; another program comes and goes."""
    path = directory / DATABASE
    connection = open_database(path)
    create(connection)
    _commit(connection, 1, ack)
    function(path)
    _newcomer(path, 0, ack)
    _commit(connection, ROWS + 1, ack)
    ack(END)
    os.kill(os.getpid(), _KILL)


def rotating(directory: Path, ack: Any, function: Function) -> None:
    """A program has its database open; it is rotated; another program opens it anew."""
    path = directory / DATABASE
    holder = subprocess.Popen(
        [sys.executable, str(_HERE / "holder.py"), str(path), _ROOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        for number in range(1, 2 * ROWS + 1):
            if number == ROWS + 1:
                function(path)
            holder.stdin.write(b"%d\n" % number)
            holder.stdin.flush()
            if holder.stdout.readline() == b"%d\n" % number:
                ack(number)
        _newcomer(path, NEWCOMER_FIRST, ack)
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    ack(END)


def forking(directory: Path, ack: Any, function: Function) -> None:
    """The function opens the database and starts a worker, which calls a job with a connection and is killed."""
    path = directory / DATABASE
    connection = open_database(path)
    create(connection)
    _commit(connection, 1, ack)
    connection.close()
    function(path, Job(ack.path, os.getpid()))
    ack(END)


class Job:
    """What the worker is to call with the connection that it uses: it commits rows, and its process is killed."""

    def __init__(self, told: str, owner: int) -> None:
        self._told, self._owner = told, owner

    def __call__(self, connection: Any) -> None:
        """Commit rows, each acked; does not return."""
        if os.getpid() == self._owner:
            raise RuntimeError("job() was called in the parent; call it in the worker process, with its connection")
        time.sleep(CLOSE_S)  # the parent goes on meanwhile, and closes what it has open
        file = os.open(self._told, os.O_WRONLY | os.O_APPEND)
        for number in range(ROWS + 1, 2 * ROWS + 1):
            add(connection, number)
            if connection.in_transaction:
                connection.commit()
            os.write(file, b"%d\n" % number)
        os.kill(os.getpid(), _KILL)


def _newcomer(path: Path, first: int, ack: Any) -> None:
    """Another program opens and closes the database; that it cannot is told as well."""
    words = [sys.executable, str(_HERE / "newcomer.py"), str(path), str(first), _ROOT]
    done = subprocess.run(words, capture_output=True, text=True, timeout=NEWCOMER_S)
    for line in done.stdout.splitlines():
        ack(int(line))
    if done.returncode:
        ack((done.stderr.strip().splitlines() or ["no reason was given"])[-1])


def _commit(connection: Any, first: int, ack: Any) -> None:
    for number in range(first, first + ROWS):
        add(connection, number)
        ack(number)
