"""Workloads of two lanes that do what a schedule has to survive; each is a subject `odd_lanes:NAME`."""

import _thread
import itertools
import socket
import sqlite3
import threading
import time
from collections.abc import Mapping

from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check


class Handle:
    def __init__(self, *connections):
        self.connections = connections

    def close(self):
        for connection in self.connections:
            connection.close()


class Odd:
    """Each lane inserts three rows over a connection of its own; before each it does something odd."""

    contract = Contract()
    tables = (Table("t", ("id",), ()),)
    checks = ()
    params: Mapping[str, object] = {}
    names = ("a", "b")

    def open(self, ctx):
        held = [
            ctx.connect(ctx.database, isolation_level=None, check_same_thread=False, timeout=0.2) for _ in self.names
        ]
        held[0].execute("PRAGMA journal_mode=WAL")
        held[0].execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY)")
        return Handle(*held)

    def restart(self, ctx):
        return self.open(ctx)

    def lanes(self, ctx):
        return tuple(map(Lane, self.names))

    def steps(self, lane, handle, ctx):
        number = self.names.index(lane.name)
        for place in range(3):
            yield self.step(place, number * 100 + place, handle.connections[number], ctx)

    def step(self, place, key, connection, ctx):
        def do():
            self.odd(key, connection, ctx)
            connection.execute("INSERT INTO t VALUES(?)", (key,))

        return Step(place, (Effect("t", (key,), ()),), do)

    def odd(self, key, connection, ctx):
        pass


class Spins(Odd):
    """For ever, but only where lane b comes before lane a has done anything."""

    done = False

    def odd(self, key, connection, ctx):
        if key == 100 and not connection.execute("SELECT 1 FROM t").fetchall():
            while True:
                pass


class Waits(Odd):
    def odd(self, key, connection, ctx):
        here, _there = socket.socketpair()
        here.recv(1)


class Sleeps(Odd):
    def odd(self, key, connection, ctx):
        time.sleep(3600)


class Endless(Odd):
    def odd(self, key, connection, ctx):
        for _ in itertools.count():
            connection.execute("SELECT * FROM t").fetchall()


class Callback(Odd):
    def odd(self, key, connection, ctx):
        def count():
            inner = sqlite3.connect(ctx.database)
            try:
                return inner.execute("SELECT count(*) FROM t").fetchone()[0]
            finally:
                inner.close()

        connection.create_function("rows", 0, count)
        connection.execute("SELECT rows()").fetchall()


class Stranger(Odd):
    def odd(self, key, connection, ctx):
        done = []

        def read():
            inner = sqlite3.connect(ctx.database)
            inner.execute("SELECT * FROM t").fetchall()
            inner.close()
            done.append(True)

        _thread.start_new_thread(read, ())
        until = time.monotonic() + 5
        while not done and time.monotonic() < until:
            pass


class Threads(Odd):
    names = ("a",)

    def odd(self, key, connection, ctx):
        def insert():
            inner = sqlite3.connect(ctx.database)
            inner.execute("SELECT * FROM t").fetchall()
            inner.close()

        thread = threading.Thread(target=insert)
        thread.start()
        thread.join()


class Alone(Odd):
    names = ("a",)


class Closed(Odd):
    def open(self, ctx):
        raise RuntimeError("no database today")


LOCKS = threading.Lock(), threading.Lock()


class Deadlock(Odd):
    """Two locks taken in two orders."""

    orders = (LOCKS, LOCKS[::-1])

    def odd(self, key, connection, ctx):
        first, second = self.orders[key // 100]
        with first:
            connection.execute("SELECT * FROM t").fetchall()
            with second:
                pass


class DeadlockTwin(Deadlock):
    orders = (LOCKS, LOCKS)


class Raises(Odd):
    """Its second lane ends badly, where the first has written before it."""

    def steps(self, lane, handle, ctx):
        yield from super().steps(lane, handle, ctx)
        if lane.name == "b" and handle.connections[1].execute("SELECT count(*) FROM t").fetchone()[0] < 6:
            raise ValueError("somebody is missing")


class RaisesTwin(Raises):
    def steps(self, lane, handle, ctx):
        yield from Odd.steps(self, lane, handle, ctx)


class Cached(Odd):
    """Reads what it read before: a cache in front of the database, as programs have them."""

    fresh = False

    def steps(self, lane, handle, ctx):
        if lane.name == "a":
            yield from super().steps(lane, handle, ctx)
            return
        seen = []
        for place in range(3):

            def read():
                if self.fresh or not seen:
                    seen[:] = handle.connections[1].execute("SELECT id FROM t").fetchall()
                return [Effect("t", row, ()) for row in seen]

            yield Step(place, (), read, reads=("t",))


class CachedTwin(Cached):
    fresh = True


class Balance(Odd):
    """Read, then write what was read plus one, in two transactions."""

    tables = ()
    checks = (Check("adds-up", lambda _h, connection, history: _missing(connection, history)),)
    whole = False

    def open(self, ctx):
        handle = super().open(ctx)
        handle.connections[0].execute("CREATE TABLE IF NOT EXISTS sum(n INTEGER)")
        if not handle.connections[0].execute("SELECT n FROM sum").fetchall():
            handle.connections[0].execute("INSERT INTO sum VALUES(0)")
        return handle

    def step(self, place, key, connection, ctx):
        def add():
            if self.whole:
                connection.execute("UPDATE sum SET n = n + 1")
                return
            (before,) = connection.execute("SELECT n FROM sum").fetchone()
            connection.execute("UPDATE sum SET n = ?", (before + 1,))

        return Step(place, (), add)


class BalanceTwin(Balance):
    whole = True


def _missing(connection, history):
    (found,) = connection.execute("SELECT n FROM sum").fetchone()
    if found != len(history.acked):
        yield f"{len(history.acked)} were added, the sum is {found}"
