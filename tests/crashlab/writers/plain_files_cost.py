"""2000 small commits or writes, or 500 replaced files: `plain_files_cost.py DIRECTORY WORK recorded|bare`.

WORK: NORMAL or FULL (commits under that `synchronous`), `write` (to one open file), `replace` (a file written,
synced and replaced, its directory synced).
"""

import contextlib
import os
import sqlite3
import sys

from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Tap
from crashlab.writers.record import PlainFiles

MANY = 2000
REPLACES = 500


def commits(directory, log, synchronous):
    connection = sqlite3.connect(f"{directory}/a.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    for number in range(MANY):
        log.begin("lane", number, ())
        connection.execute("INSERT INTO t VALUES(?, 'a small value')", (number,))
        log.ack("lane", number, None)
    connection.close()


def writes(directory):
    with open(f"{directory}/f", "wb", buffering=0) as file:
        for number in range(MANY):
            file.write(b"%060d" % number)


def replaces(directory):
    at = os.open(directory, os.O_RDONLY)
    for number in range(REPLACES):
        with open(f"{directory}/f.tmp", "wb") as file:
            file.write(b"%060d" % number)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{directory}/f.tmp", f"{directory}/f")
        os.fsync(at)
    os.close(at)


def main(directory: str, work: str, how: str) -> None:
    log = LogWriter(f"{directory}/log.0")
    with contextlib.ExitStack() as stack:
        if how == "recorded":
            stack.enter_context(Tap(recorder=Recorder(log, directory)))
            stack.enter_context(PlainFiles(log, directory))
        if work == "write":
            writes(directory)
        elif work == "replace":
            replaces(directory)
        else:
            commits(directory, log, work)


if __name__ == "__main__":
    main(*sys.argv[1:])
