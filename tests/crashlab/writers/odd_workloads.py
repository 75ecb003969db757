"""Workloads that misbehave in one way each, for the tests of writers and of the engine."""

import os
import subprocess
import sys
import time
from pathlib import Path

from plain_workload import Handle, Plain

from crashlab.model.step import Effect, Lane, Step

_SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


def _tell(ctx, *pids):
    with open(Path(ctx.directory).parent / "pids", "a") as file:
        file.write("".join(f"{pid}\n" for pid in pids))


class At(Plain):
    """Does something odd inside its third step."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            if step.seq == 3:
                yield Step(step.seq, step.effects, lambda step=step: self.odd(step, instance, ctx))
            else:
                yield step

    def odd(self, step, instance, ctx):
        raise NotImplementedError


class Hangs(At):
    def odd(self, step, instance, ctx):
        _tell(ctx, os.getpid(), os.getppid())
        time.sleep(600)


class Exits(At):
    def odd(self, step, instance, ctx):
        os._exit(3)


class EndsItsZygote(At):
    def odd(self, step, instance, ctx):
        _tell(ctx, os.getpid(), os.getppid())
        os.kill(os.getppid(), 9)
        time.sleep(600)


class Raises(At):
    """The third step raises and leaves no row: refused."""

    def odd(self, step, instance, ctx):
        raise ValueError("not this one")


class RaisesAfterCommit(At):
    """The third step raises although its row is in: refused too, and the row may be there."""

    def odd(self, step, instance, ctx):
        step.do()
        raise ValueError("after the commit")


class Endless(Plain):
    def steps(self, lane, instance, ctx):
        number = 0
        while True:
            yield Step(number, (), lambda: time.sleep(0.0001))
            number += 1


class Parent(Plain):
    """Has two children, one in its own session and one in another."""

    def open(self, ctx):
        children = [subprocess.Popen(_SLEEPS), subprocess.Popen(_SLEEPS, start_new_session=True)]
        _tell(ctx, *(child.pid for child in children))
        return super().open(ctx)


class CannotOpen(Plain):
    def open(self, ctx):
        raise RuntimeError("no such exchange")


class SlowHandle(Handle):
    def close(self):
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        time.sleep(30)
        self.connection.close()


class SlowClose(Plain):
    def open(self, ctx):
        return SlowHandle(super().open(ctx).connection)


class Dashboard(Plain):
    """A reader in a process of its own pins a snapshot while process 0 writes."""

    def open(self, ctx):
        if ctx.process:
            ctx.await_signal("there", 20)
            return Handle(ctx.connect(ctx.database, isolation_level=None))
        handle = super().open(ctx)
        handle.connection.execute("PRAGMA busy_timeout=50")  # its TRUNCATE at close waits for the reader
        ctx.signal("there")
        return handle

    def lanes(self, ctx):
        return (Lane("main"), Lane("dashboard", process=1, pins=True))

    def steps(self, lane, instance, ctx):
        if lane.process == 0:
            ctx.await_signal("pinned", 20)
            yield from super().steps(lane, instance, ctx)
            return
        instance.connection.execute("BEGIN")
        instance.connection.execute("SELECT count(*) FROM t").fetchone()
        _tell(ctx, os.getpid())
        ctx.signal("pinned")
        for number in range(100_000):
            yield Step(number, (), lambda: time.sleep(0.001))


class TwoLanes(Plain):
    """Two threads, each with rows and a connection of its own."""

    def lanes(self, ctx):
        return (Lane("even"), Lane("odd"))

    def steps(self, lane, instance, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None, timeout=10)
        first = 0 if lane.name == "even" else 1
        for number in range(first, int(ctx.params["steps"]), 2):

            def do(number=number):
                connection.execute("INSERT INTO t VALUES(?, ?)", (number, f"row {number}"))

            yield Step(number, (Effect("t", (number,), (f"row {number}",)),), do)
        connection.close()


class SaysWhereItIs(Plain):
    """Prints much, on both streams."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            print("out " * 2000)
            print("err " * 20, file=sys.stderr)
            yield step


# --- restart paths -----------------------------------------------------------------------------------------


class RestartHangs(Plain):
    def restart(self, ctx):
        child = subprocess.Popen(_SLEEPS)
        _tell(ctx, os.getpid(), child.pid)
        time.sleep(600)


class RestartDies(Plain):
    def restart(self, ctx):
        child = subprocess.Popen(_SLEEPS)
        _tell(ctx, os.getpid(), child.pid)
        os._exit(5)


class RestartRefuses(Plain):
    def restart(self, ctx):
        raise RuntimeError("the state file looks odd; call the operator")


class RestartForgets(Plain):
    """Begins anew after every crash: every acked row is lost."""

    def restart(self, ctx):
        handle = super().open(ctx)
        handle.connection.execute("DELETE FROM t")
        return handle


class RestartInvents(Plain):
    def restart(self, ctx):
        handle = super().open(ctx)
        handle.connection.execute("INSERT OR REPLACE INTO t VALUES(777777, 'row 777777')")
        return handle


class NoLanes:
    """Not a workload."""

    tables = ()
