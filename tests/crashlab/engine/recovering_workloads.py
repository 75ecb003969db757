"""Workloads whose start-up repairs something: each defect comes with its correct twin."""

import ctypes
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

from crossing_workloads import write_unseen
from plain_workload import Handle, Plain

from crashlab.model.step import Effect, Step, Table


class Mover(Plain):
    """Its start-up moves what waits in the inbox to the ledger, in one transaction."""

    tables = (Table("ledger", ("id",), ("v",)),)
    params: ClassVar = {"steps": 8}

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS inbox(id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("CREATE TABLE IF NOT EXISTS ledger(id INTEGER, v TEXT)")
        return Handle(connection)

    def steps(self, lane, instance, ctx):
        for number in range(int(ctx.params["steps"])):

            def do(number=number):
                instance.connection.execute("INSERT INTO inbox VALUES(?, ?)", (number, f"row {number}"))

            yield Step(number, (Effect("ledger", (number,), (f"row {number}",)),), do)

    def restart(self, ctx):
        handle = self.open(ctx)
        self.move(handle.connection)
        return handle

    def move(self, connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO ledger SELECT * FROM inbox")
        connection.execute("DELETE FROM inbox")
        connection.execute("COMMIT")


class DoublesRows(Mover):
    """The same in two transactions: a crash between them doubles what was moved."""

    def move(self, connection):
        connection.execute("INSERT INTO ledger SELECT * FROM inbox")
        connection.execute("DELETE FROM inbox")


class LosesRows(Mover):
    """The other way round: a crash between loses what was to be moved."""

    def move(self, connection):
        rows = connection.execute("SELECT * FROM inbox").fetchall()
        connection.execute("DELETE FROM inbox")
        connection.executemany("INSERT INTO ledger VALUES(?, ?)", rows)


class LosesRowsTheSecondTime(Mover):
    """Sound at the first crash of its start-up, and not at the crash of the start-up after that."""

    def move(self, connection):
        connection.execute("CREATE TABLE IF NOT EXISTS starts(v)")
        crashed = connection.execute("SELECT count(*) FROM starts").fetchone()[0]
        connection.execute("INSERT INTO starts VALUES(1)")
        (LosesRows if crashed else Mover).move(self, connection)
        connection.execute("DELETE FROM starts")


class LooksAtMainAlone(Plain):
    """Its start-up moves the WAL aside, checks the main file alone, moves the WAL back, and only then opens.

    A WAL that an earlier start-up has left aside is moved back first.
    """

    moves_back = True

    def restart(self, ctx):
        wal, aside = Path(f"{ctx.database}-wal"), Path(f"{ctx.database}-wal.aside")
        if self.moves_back and aside.exists():
            os.replace(aside, wal)
        if wal.exists():
            os.replace(wal, aside)
            uri = f"file:{ctx.database}?immutable=1"
            with closing(sqlite3.connect(uri, uri=True)) as connection, suppress(sqlite3.DatabaseError):
                connection.execute("PRAGMA quick_check").fetchall()
            aside.rename(wal)
        return self.open(ctx)


class ForgetsTheWalAside(LooksAtMainAlone):
    """The same without the first part: a start-up that is killed in between loses the WAL for the next one."""

    moves_back = False


class RefusesAfterACrash(Plain):
    """Marks the database while it starts, and does not come up again on one that is marked."""

    refuses = True

    def restart(self, ctx):
        handle = self.open(ctx)
        connection = handle.connection
        connection.execute("CREATE TABLE IF NOT EXISTS starting(v)")
        if self.refuses and connection.execute("SELECT count(*) FROM starting").fetchone()[0]:
            connection.close()
            raise RuntimeError("the last start did not come up")
        connection.execute("INSERT INTO starting VALUES(1)")
        connection.execute("DELETE FROM starting")
        return handle


class MarksAndGoesOn(RefusesAfterACrash):
    refuses = False


class NeverComesUp(Plain):
    """Refuses every time, having touched nothing: not what is judged here."""

    def restart(self, ctx):
        raise RuntimeError("call the operator")


class LeavesANote(Plain):
    """Its start-up makes a file so that nobody sees it."""

    def restart(self, ctx):
        system = ctypes.CDLL(None)
        system.close(system.creat(os.fsencode(ctx.directory / "started.txt"), 0o600))
        return self.open(ctx)


class KeepsACount(Plain):
    """It writes how many rows there are into a file of its own, at each start."""

    def open(self, ctx):
        handle = super().open(ctx)
        (rows,) = handle.connection.execute("SELECT count(*) FROM t").fetchone()
        temporary = ctx.directory / "count.tmp"
        temporary.write_text(str(rows))
        temporary.replace(ctx.directory / "count.txt")
        return handle

    restart = open


class WritesPastTheTap(Plain):
    """Its start-up writes to the database file so that nobody sees it."""

    def restart(self, ctx):
        if ctx.database.exists() and ctx.database.stat().st_size > 100:
            write_unseen(ctx.database, b"x", 80)  # bytes of the header that are kept for later use
        return self.open(ctx)
