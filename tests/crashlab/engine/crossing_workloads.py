"""Workloads for the bridge: honest ones, and each with one planted defect."""

import ctypes
import os
from typing import ClassVar

from plain_workload import Plain

from crashlab.model.step import Step


class RollbackHandle:
    def __init__(self, connection):
        self.connection = connection

    def close(self):
        self.connection.close()


class Rollback(Plain):
    """The same in a rollback journal's mode; larger rows, deleted again, so that pages are freed and used anew."""

    params: ClassVar = {"steps": 30, "checkpoint_every": 0, "journal": "delete"}

    def open(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute(f"PRAGMA journal_mode={ctx.params['journal']}")
        connection.execute("PRAGMA auto_vacuum=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("CREATE TABLE IF NOT EXISTS big(id INTEGER PRIMARY KEY, v)")
        return RollbackHandle(connection)

    restart = open

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):

            def do(step=step):
                step.do()
                instance.connection.execute("INSERT INTO big VALUES(?, zeroblob(9000))", (step.seq,))
                if step.seq % 4 == 3:
                    instance.connection.execute("DELETE FROM big WHERE id < ?", (step.seq - 1,))

            yield Step(step.seq, step.effects, do)


class AtEach(Plain):
    """Does something beside each step's commit."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):

            def do(step=step):
                step.do()
                self.beside(step.seq, instance, ctx)

            yield Step(step.seq, step.effects, do)

    def beside(self, number, instance, ctx):
        raise NotImplementedError


def write_unseen(path, data, offset):
    """Write by the system's own functions, past SQLite and past Python's."""
    system = ctypes.CDLL(None)
    descriptor = system.open(os.fsencode(path), os.O_WRONLY)
    assert descriptor >= 0
    system.pwrite(descriptor, data, ctypes.c_size_t(len(data)), ctypes.c_long(offset))
    system.close(descriptor)


class PastTheTap(AtEach):
    """Writes to its own database file so that nobody sees it."""

    params: ClassVar = {"steps": 20, "checkpoint_every": 5}

    def beside(self, number, instance, ctx):
        if number == 7:
            # The header's bytes for later use; its page is checkpointed and not written again.
            write_unseen(ctx.database, b"x", 80)


class PastTheTapForAWhile(AtEach):
    """What it wrote past the tap is written over before the run ends: only a kill in between can show it."""

    def beside(self, number, instance, ctx):
        if number == 7:
            wal = f"{ctx.database}-wal"
            write_unseen(wal, bytes(1000), os.stat(wal).st_size)


class Unseeded(AtEach):
    """Its rows are as random as the system's: no other run is like this one."""

    def beside(self, number, instance, ctx):
        instance.connection.execute("CREATE TABLE IF NOT EXISTS noise(v)")
        instance.connection.execute("INSERT INTO noise VALUES(?)", (os.urandom(8),))


class Breaks(AtEach):
    """Ends with an error of its own, in any run."""

    def beside(self, number, instance, ctx):
        if number == 7:
            os._exit(3)
