"""A program with a checkpoint loop on the clock: `App`, and what is wrong with it in the twins."""

import sqlite3
import threading

from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Step, Table

MAIN = Lane("main")
READER = Lane("reader", process=1, pins=True)


class Engine:
    def __init__(self, ctx, loop):
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.db = ctx.connect(ctx.database, isolation_level=None, check_same_thread=False, timeout=0.05)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute(f"PRAGMA synchronous = {ctx.params['synchronous']}")
        self.db.execute(f"PRAGMA wal_autocheckpoint = {ctx.params['wal_autocheckpoint']}")
        self.db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT, pad BLOB)")
        self.db.execute("CREATE INDEX by_v ON t (v)")
        self.interval_s = float(ctx.params["checkpoint_interval_s"])
        self.mode = ctx.params["checkpoint_mode"]
        self.thread = threading.Thread(target=loop, args=(self, ctx), daemon=True) if self.interval_s else None
        if self.thread is not None:
            self.thread.start()

    def checkpoint(self):
        with self.lock:
            self.db.execute(f"PRAGMA wal_checkpoint({self.mode})").fetchall()

    def close(self):
        self.stop.set()
        if self.thread is not None:
            self.thread.join(5)
        self.db.close()


def live_loop(engine, ctx):
    while not ctx.wait(engine.stop, engine.interval_s):
        engine.checkpoint()


def dead_loop(engine, _ctx):
    engine.stop.wait()


class Reader:
    def __init__(self, ctx):
        ctx.await_signal("open")
        self.db = sqlite3.connect(ctx.database, isolation_level=None)

    def close(self):
        self.db.close()


class App:
    contract = Contract()
    tables = (Table("t", ("k",), ("v",)),)
    checks = ()
    params = {  # noqa: RUF012
        "steps": 50,
        "checkpoint_interval_s": 10.0,
        "wal_autocheckpoint": 0,
        "checkpoint_mode": "PASSIVE",
        "synchronous": "FULL",
        "reader": "none",
        "vacuum_at": 0,
    }
    loop = staticmethod(live_loop)

    def open(self, ctx):
        if ctx.process:
            return Reader(ctx)
        engine = Engine(ctx, self.loop)
        ctx.signal("open")
        return engine

    def restart(self, ctx):
        return Engine(ctx, self.loop)

    def lanes(self, ctx):
        return (MAIN, READER) if ctx.params["reader"] == "pinned" else (MAIN,)

    def steps(self, lane, instance, ctx):
        if lane.process:
            instance.db.execute("BEGIN")
            instance.db.execute("SELECT count(*) FROM t").fetchall()
            ctx.signal("pinned")
            threading.Event().wait(60)
            return
        if ctx.params["reader"] == "pinned":
            ctx.await_signal("pinned")
        for n in range(int(ctx.params["steps"])):
            key, value = n % 40, f"{n * 7919 % 1000:03d}"
            yield Step(
                n, (Effect("t", (key,), (value,)),), lambda k=key, v=value, n=n: self.write(instance, ctx, k, v, n)
            )

    def write(self, engine, ctx, key, value, n):
        with engine.lock:
            engine.db.execute("BEGIN IMMEDIATE")
            engine.db.execute("INSERT OR REPLACE INTO t VALUES (?, ?, zeroblob(?))", (key, value, 50 + n * 37 % 900))
            engine.db.execute("COMMIT")
            if n and n == ctx.params["vacuum_at"]:
                engine.db.execute("DELETE FROM t WHERE k < 0")
                engine.db.execute("VACUUM")


class DeadLoop(App):
    loop = staticmethod(dead_loop)


class NoAxes(App):
    params = {"steps": 50, "colour": "red"}  # noqa: RUF012
