"""The store at work: an engine that records metrics, fills and state, with a checkpoint loop, and a dashboard.

One lane (or two) writes through one `StateManager`; the loop runs on the stepped clock, so a cadence of
0.05 s means a checkpoint every 12 steps or so and kills land in checkpoints within milliseconds. The
dashboard, if there is one, is a process of its own that holds a snapshot open.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from crashlab.model.case import Param
from crashlab.model.contract import Contract, Durability, Promise
from crashlab.model.step import Effect, Lane, Step
from crashlab.model.workload import Context
from harness.workloads.activity import METRICS, TABLES, Activity, metric_content
from harness.workloads.invariants import BACKUP_NOTE, CHECKS, CLOSED_NOTE
from harness.workloads.parts import OPENED, PINNED, CaseConnect, Dashboard, Nanoseconds, size_of
from harness.workloads.studied import PollingReader, preload
from harness.workloads.watch import StoreNotes, Watch, WatchedStore, watched
from store import StateManager
from store.checkpoint import PASSIVE

MAIN = Lane("main")
FEED = Lane("feed")
DASHBOARD = Lane("dashboard", process=1, pins=True)

DEFAULTS: Mapping[str, Param] = {
    "steps": 160,
    "rows_per_step": 4,
    "lanes": 1,
    "checkpoint_interval_s": 0.1,
    "checkpoint_every": 0,
    "checkpoint_mode": "PASSIVE",
    "wal_autocheckpoint": 1000,
    "synchronous": "FULL",
    "reader": "none",
    "poll_s": 1.0,
    "poll_hold_s": 0.05,
    "preload_rows": 0,
    "busy_s": 5.0,
    "second_connection": False,
    "backup_every": 0,
    "fail_round": 0,
    "fail_at_close": False,
    "close_wait_s": 0.02,
    "patience_s": 5.0,
}
"""What a case may vary.

`steps` a lane; `rows_per_step` in those transactions that hold several; `lanes` 1 or 2, concurrent threads;
`checkpoint_interval_s` of the clock, 0 for no loop; `checkpoint_every` so many steps of the main lane, 0 for never,
runs what the loop would; `checkpoint_mode` of both, PASSIVE or TRUNCATE; `wal_autocheckpoint` frames, 0 for off;
`synchronous` OFF, NORMAL, FULL or EXTRA; `reader` none, polling (a thread that reads every `poll_s` or so for
`poll_hold_s`, both of the clock) or pinned; `preload_rows` metrics that are there before the first step; `busy_s`
how long SQLite waits for locks; `second_connection` keeps an idle one open beyond close(), so that
SQLite's own clean-up at the last close does not hide a missing one; `backup_every`
so many steps, 0 for never; `fail_round` and `fail_at_close` run that periodic (from 1) or the final checkpoint
inside an open transaction, which SQLite refuses; `close_wait_s` stands for the store's wait of 1 s for readers
at close; `patience_s` real seconds that a late checkpoint loop is waited for.
"""

_CHOICES = {
    "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA"),
    "reader": ("none", "polling", "pinned"),
    "checkpoint_mode": ("PASSIVE", "TRUNCATE"),
    "lanes": (1, 2),
}


class Engine:
    """The program's handle: the store, and what the lab needs beside it."""

    def __init__(self, store: WatchedStore, ctx: Context, notes: StoreNotes | None) -> None:
        self.store = store
        self.session = 0
        self.watch: Watch | None = store.watch
        self.reader_pins = ctx.params["reader"] == "pinned"
        self.second_connection: sqlite3.Connection | None = None
        self.polling: PollingReader | None = None
        self._ctx = ctx
        self._notes = notes

    def close(self) -> None:
        """Close the store the way the engine does, and note what it left beside the database."""
        if self.polling is not None:
            self.polling.close()
        if self.watch is not None:
            self.watch.look_for_loop()
        try:
            self.store.close()
        finally:
            if self._notes is not None:
                self._notes.detach()
        self._ctx.note(f"{CLOSED_NOTE}{size_of(f'{self._ctx.database}-wal')}")


class SystemMetrics:
    """The workload over any class of stores; `params` override the defaults for this subject.

    Contract: a process death loses nothing that was acked, at any `synchronous`. A power loss under NORMAL may
    take the last acked steps, under OFF anything. Interference: damage that the start-up check can see
    (header, b-tree structure, a main file gone beside its WAL) is refused and never answered with an empty
    database; nobody can promise that for a bit flipped inside a row or for a WAL deleted without trace.
    """

    contract = Contract(interference=Promise(Durability.ALL, may_refuse=True))
    tables = TABLES
    checks = CHECKS

    def __init__(self, store_class: type[StateManager] = StateManager, **params: Param) -> None:
        unknown = params.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"unknown parameters {sorted(unknown)}; known: {sorted(DEFAULTS)}")
        self._store_class = watched(store_class)
        self.params: Mapping[str, Param] = {**DEFAULTS, **params}

    def open(self, ctx: Context) -> Engine | Dashboard:
        """Start the engine (process 0), or the dashboard once the engine is up."""
        if ctx.process:
            return Dashboard(ctx)
        _check(ctx.params)
        notes = StoreNotes(ctx)
        interval_s = float(ctx.params["checkpoint_interval_s"])
        engine = Engine(self._open_store(ctx, Watch(ctx)), ctx, notes)
        preload(ctx, int(ctx.params["preload_rows"]), partial(_write_metrics, engine.store))
        engine.session = engine.store.create_session()
        engine.store.start_wal_checkpoint_loop(interval_s)
        if ctx.params["second_connection"]:
            engine.second_connection = _idle_connection(ctx)
        if engine.reader_pins:
            ctx.signal(OPENED)
        elif ctx.params["reader"] == "polling":
            poll_s, hold_s = float(ctx.params["poll_s"]), float(ctx.params["poll_hold_s"])
            engine.polling = PollingReader(ctx, f"SELECT count(*) FROM {METRICS}", poll_s, hold_s)
        return engine

    def restart(self, ctx: Context) -> Engine:
        """The store's own start-up path: check, open, migrate."""
        return Engine(self._open_store(ctx, None), ctx, None)

    def _open_store(self, ctx: Context, watch: Watch | None) -> WatchedStore:
        wait = ctx.wait if watch is None else watch.wait
        store = self._store_class(ctx.database, connect=CaseConnect(ctx), clock=Nanoseconds(ctx), wait=wait)
        store.TRUNCATE_WAIT_S = float(ctx.params["close_wait_s"])  # type: ignore[misc]
        store.BUSY_TIMEOUT_S = float(ctx.params["busy_s"])  # type: ignore[misc]
        if ctx.params["checkpoint_mode"] != PASSIVE:
            store.PERIODIC_MODE = str(ctx.params["checkpoint_mode"])  # type: ignore[misc]
        store.watch = watch
        store.initialize_database()
        return store

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The engine's one or two threads, and the dashboard if it is there."""
        lanes = [MAIN]
        if ctx.params["lanes"] == 2:
            lanes.append(FEED)
        if ctx.params["reader"] == "pinned":
            lanes.append(DASHBOARD)
        return tuple(lanes)

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The steps of one lane; the dashboard has none, it only holds its snapshot."""
        if lane.process:
            instance.hold_snapshot(ctx, "sessions")
            return
        engine: Engine = instance
        if engine.reader_pins and lane is MAIN:
            ctx.await_signal(PINNED)
        rows = int(ctx.params["rows_per_step"])
        activity = Activity(engine.store, engine.session, lane.name, ctx.seed, Nanoseconds(ctx), rows)
        backup_every, checkpoint_every = int(ctx.params["backup_every"]), int(ctx.params["checkpoint_every"])
        for step in activity.steps(int(ctx.params["steps"])):
            if lane is MAIN and engine.watch is not None:
                engine.watch.pace()
            if backup_every and lane is MAIN and step.seq % backup_every == backup_every - 1:
                yield _backup(step.seq, engine, ctx)
            elif checkpoint_every and lane is MAIN and step.seq % checkpoint_every == checkpoint_every - 1:
                yield Step(step.seq, step.effects, partial(_write_and_checkpoint, step, engine.store))
            else:
                yield step


def _backup(number: int, engine: Engine, ctx: Context) -> Step:
    def do() -> None:
        with engine.watch.own_snapshot() if engine.watch else nullcontext():
            path = engine.store.backup(keep=2)
        ctx.note(f"{BACKUP_NOTE}{MAIN.name} {number} {path}")

    return Step(number, (), do)


def _write_and_checkpoint(step: Step, store: WatchedStore) -> Iterable[Effect] | None:
    happened = step.do()
    store.checkpoint_now()
    return happened


def _write_metrics(store: StateManager, numbers: range) -> None:
    with store.transaction():
        for number in numbers:
            name, value = metric_content(key := f"preloaded-{number}")
            store.record_system_metric(name, value, key=key)


def _idle_connection(ctx: Context) -> sqlite3.Connection:
    # Not the lab's connect: its close must not look like the store's.
    connection = sqlite3.connect(ctx.database, isolation_level=None, check_same_thread=False)
    connection.execute("SELECT count(*) FROM sessions").fetchall()
    return connection


def _check(params: Mapping[str, Param]) -> None:
    for name, choices in _CHOICES.items():
        if params[name] not in choices:
            raise ValueError(f"{name}={params[name]!r}, expected one of {', '.join(map(str, choices))}")


workload = SystemMetrics()
