"""A whole process with 2000 small commits, recorded or not: `recording_cost.py DIRECTORY SYNCHRONOUS recorded|bare`."""

import contextlib
import sqlite3
import sys

from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Tap

COMMITS = 2000


def main(directory: str, synchronous: str, how: str) -> None:
    log = LogWriter(f"{directory}/log")
    tap = Tap(recorder=Recorder(log, directory)) if how == "recorded" else contextlib.nullcontext()
    with tap:
        connection = sqlite3.connect(f"{directory}/a.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        for number in range(COMMITS):
            log.begin("lane", number, ())
            connection.execute("INSERT INTO t VALUES(?, 'a small value')", (number,))
            log.ack("lane", number, None)
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
