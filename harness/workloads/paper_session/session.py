"""A paper trading engine on the books: sessions of ticks, each ended for another reason and followed by the next.

A run has `sessions` of them, each with a store of its own over the same file: opened, traded in, shut down, opened
again. The last one is left to the process's end. What the exchange does comes from the seed.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crashlab.model.case import Param
from crashlab.model.contract import Contract, Durability, Promise
from crashlab.model.seed import rng_for
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Context
from harness.workloads.paper_session.audits import AUDITS
from harness.workloads.paper_session.checks import CHECKS
from harness.workloads.paper_session.desk import Desk, Restarted, paper
from harness.workloads.paper_session.exchange import PaperGateway
from harness.workloads.paper_session.requirements import REQUIREMENTS
from harness.workloads.paper_session.tables import TABLES
from harness.workloads.paper_session.told import DIFFERS, SWALLOWED
from harness.workloads.paper_session.trading import OFF_BY, RECOVER, Deed, Trading
from harness.workloads.parts import OPENED, PINNED, Dashboard
from store import StateManager, StoreValidation

MAIN = Lane("main")
DASHBOARD = Lane("dashboard", process=1, pins=True)

ATTEMPTS = 3
"""So often a refused deed is tried; then the engine halts, not knowing its own state."""

DEFAULTS: Mapping[str, Param] = {
    "sessions": 3,
    "duration_s": 32,
    "recover": "seeded",
    "same_reason": False,
    "miscount": "seeded",
    "locks": 1,
    "checkpoint_interval_s": 0.1,
    "wal_autocheckpoint": 1000,
    "synchronous": "FULL",
    "reader": "none",
    "busy_timeout_s": 0.002,
    "close_wait_s": 0.02,
    "patience_s": 5.0,
    "fail_round": 0,
    "fail_at_close": False,
}
"""What a case may vary.

`sessions` in a run, each of `duration_s` seconds of the engine's ticks (4 s, some five steps); `recover` always, never
or seeded: whether a session has the one before as its parent; `same_reason`: all end for one reason; `miscount`
always, none or seeded: whether the engine counts wrongly what it holds; `locks`: writes of a session that meet a
locked database, for which the store waits `busy_timeout_s`. The others are those of `system_metrics`.
"""

_CHOICES: Mapping[str, tuple[Param, ...]] = {
    "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA"),
    "reader": ("none", "pinned"),
    "recover": tuple(RECOVER),
    "miscount": tuple(OFF_BY),
}


class PaperSession:
    """The workload over any class of stores; `params` override the defaults for this subject.

    Contract: as `SystemMetrics`.
    """

    contract = Contract(interference=Promise(Durability.ALL, may_refuse=True))
    tables = TABLES
    checks = CHECKS
    audits = AUDITS
    requirements = REQUIREMENTS

    def __init__(self, store_class: type[StateManager] = StateManager, **params: Param) -> None:
        unknown = params.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"unknown parameters {sorted(unknown)}; known: {sorted(DEFAULTS)}")
        self._store_class = paper(store_class)
        self.params: Mapping[str, Param] = {**DEFAULTS, **params}

    def open(self, ctx: Context) -> Desk | Dashboard:
        """Start the engine (process 0), or the dashboard once the engine is up."""
        if ctx.process:
            return Dashboard(ctx)
        for name, choices in _CHOICES.items():
            if ctx.params[name] not in choices:
                raise ValueError(f"{name}={ctx.params[name]!r}, expected one of {', '.join(map(str, choices))}")
        desk = Desk(self._store_class, ctx, PaperGateway(rng_for(ctx.seed, "gateway")))
        if desk.reader_pins:
            ctx.signal(OPENED)
        return desk

    def restart(self, ctx: Context) -> Restarted:
        """The engine's own way up after a crash: check, open, migrate, `start_session`."""
        return Restarted(self._store_class, ctx)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The engine, and the dashboard if it is there."""
        return (MAIN, DASHBOARD) if ctx.params["reader"] == "pinned" else (MAIN,)

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The engine's steps; the dashboard has none, it only holds its snapshot."""
        if lane.process:
            instance.hold_snapshot(ctx, "sessions")
            return
        desk: Desk = instance
        if desk.reader_pins:
            ctx.await_signal(PINNED)
        locks, rng = int(ctx.params["locks"]), rng_for(ctx.seed, "locks")
        seq = session = locked = 0
        for deed in Trading(desk, ctx).deeds():
            if desk.session != session:
                session, locked = desk.session, 0
            error: Exception | None = None
            for _ in range(ATTEMPTS):
                if desk.store.watch is not None and desk.store.is_open:
                    desk.store.watch.pace()
                lock = deed.lockable and locked < locks and rng.random() < 0.1
                locked += lock
                attempt = _Attempt(desk, deed, lock=lock)
                yield Step(seq, deed.effects, attempt)
                seq, error = seq + 1, attempt.error
                if error is None:
                    break
            if error is not None:
                desk.doubt = error
                return


class _Attempt:
    """One try at a deed; afterwards `error` is what refused it, None if it was done."""

    def __init__(self, desk: Desk, deed: Deed, *, lock: bool) -> None:
        self._desk = desk
        self._deed = deed
        self._lock = lock
        self.error: Exception | None = RuntimeError("was not tried")

    def __call__(self) -> None:
        try:
            answer = self._locked(self._deed.act) if self._lock else self._deed.act()
            if self._deed.twice:
                self._repeat(answer)
        except Exception as error:
            self.error = error
            raise
        self._deed.done()
        self.error = None

    def _repeat(self, answer: object) -> None:
        note = self._desk.teller.note
        try:
            again = self._deed.act()
        except StoreValidation as error:
            note(f"{DIFFERS}{error}"[:300])
            raise
        if again != answer:
            note(f"{DIFFERS}{again!r} is not {answer!r}"[:300])

    def _locked(self, act: Callable[[], object]) -> object:
        """Act while another connection is in the middle of a write: whoever returns then has written nothing."""
        other = sqlite3.connect(self._desk.wired.database, isolation_level=None, timeout=1.0)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            other.close()
            return act()
        try:
            answer = act()
            self._desk.teller.note(f"{SWALLOWED}{answer!r} was returned")
            return answer
        finally:
            other.execute("ROLLBACK")
            other.close()


workload = PaperSession()
