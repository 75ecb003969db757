"""What runs in a recipe's own processes, around the user's function."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crashlab.recipes.ledger import DATABASE, add, create, open_database

ROWS = 12
BEGIN, DONE = "begin", "done"
_ROOT = str(Path(__file__).parents[2])
_LIVE = str(Path(__file__).with_name("live.py"))
_KILLED = str(Path(__file__).with_name("killed.py"))

Function = Callable[..., Any]
Ack = Callable[[Any], None]


def copying(directory: Path, ack: Ack, function: Function, source: str, target: str, times: int) -> None:
    """Have the function copy a database, or its directory, while another process writes; `times` in a row."""
    home, there = directory / "live", directory / "copy"
    home.mkdir()
    there.mkdir()
    path = home / DATABASE
    connection = open_database(path)
    create(connection)
    for number in range(1, ROWS + 1):
        add(connection, number)
    live = subprocess.Popen(
        [sys.executable, _LIVE, str(path), str(ROWS + 1), _ROOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert live.stdin is not None
    assert live.stdout is not None
    try:
        if live.stdout.readline() != b"live\n":
            raise RuntimeError("the live writer of this recipe did not start")
        for _ in range(times):
            known = connection.execute("SELECT max(id) FROM ledger").fetchone()[0]
            connection.close()  # this process has nothing open that the function could take the locks of
            ack((BEGIN, known))
            function(directory / source, directory / target)
            ack((DONE, known))
            connection = open_database(path)
    finally:
        connection.close()
        live.stdin.close()
        live.wait(20)
        live.stdout.close()


def restoring(directory: Path, ack: Ack, function: Function) -> None:
    """Have the function put a backup in the place of a database whose last user died and left its WAL."""
    path, backup = directory / DATABASE, directory / "backup.db"
    connection = open_database(backup)
    create(connection)
    for number in range(1, ROWS + 1):
        add(connection, number, "saved")
    connection.close()
    subprocess.run([sys.executable, _KILLED, str(path), str(ROWS), _ROOT], check=True)
    ack((BEGIN, ROWS))
    function(backup, path)
    ack((DONE, ROWS))


def migrating(directory: Path, ack: Ack, function: Function, make: Function) -> None:
    """Have the function migrate the database that `make` makes."""
    path = directory / DATABASE
    make(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    sync(path)
    sync(directory)  # what comes before the migration is durable, so that nothing of it is lost in its name
    ack((BEGIN, 0))
    function(path)
    ack((DONE, 0))


def again(directory: Path, function: Function) -> None:
    """Have the function migrate what a crash has left."""
    function(directory / DATABASE)


def sync(path: Path) -> None:
    """Make a file or a directory durable."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
