"""The state manager's actors as lanes of one process: the engine, its checkpoint rounds, a dashboard.

For schedules: each round of the checkpoint loop is a step that can come anywhere, instead of one that waits for a
clock. The dashboard reads through a connection of its own: whatever had been acked when it began to read it must see,
and a snapshot must not change while it is held.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.history import History
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context
from harness.workloads.activity import FILLS, METRICS
from harness.workloads.paper_session import PaperSession
from harness.workloads.system_metrics import SystemMetrics
from store.startup import file_uri

CHECKPOINT: Final = Lane("checkpoint")
DASHBOARD: Final = Lane("dashboard")
COMPLAINT: Final = "dashboard: "
ROUNDS: Final = 3
READS: Final = 2


class Crew:
    """The handle: the engine's own, and the dashboard's connection. `rows`: how many of the counted ones are acked."""

    def __init__(self, engine: Any, ctx: Context, counted: tuple[str, ...]) -> None:
        self.engine = engine
        self.rows = 0
        self._ctx = ctx
        self._counted = counted
        uri = file_uri(ctx.database, "ro")
        self._dashboard = ctx.connect(uri, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)
        self._query = "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in counted)

    def ack(self, effects: Iterable[Effect]) -> None:
        """Count the rows of a step that has returned."""
        self.rows += sum(effect.table in self._counted and effect.value is not None for effect in effects)

    def read(self) -> None:
        """The dashboard reads twice in one snapshot."""
        least, run = self.rows, self._dashboard.execute
        run("BEGIN")
        try:
            first, second = (int(run(self._query).fetchone()[0]) for _ in range(2))
        finally:
            run("COMMIT")
        if first < least:
            self._ctx.note(f"{COMPLAINT}read {first} rows when {least} had been acked")
        if second != first:
            self._ctx.note(f"{COMPLAINT}read {first} rows, and then {second} in the same snapshot")

    def close(self) -> None:
        """The dashboard goes first, so that nothing is in the way of the engine's last checkpoint."""
        self._dashboard.close()
        self.engine.close()


def dashboard_reads(_engine: Any, _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The dashboard saw all that had been acked when it began, and nothing moved under it."""
    return (note.text.removeprefix(COMPLAINT) for note in history.notes if note.text.startswith(COMPLAINT))


class Actors:
    """A workload of the store with its checkpoint loop's rounds and a dashboard as lanes beside its own.

    `counted`: tables to which the engine only adds. Contract, tables and restart are the workload's.
    """

    def __init__(self, workload: SystemMetrics | PaperSession, counted: tuple[str, ...]) -> None:
        self._workload = workload
        self._counted = counted
        self.contract: Contract = workload.contract
        self.tables: tuple[Table, ...] = workload.tables
        self.checks = (*workload.checks, Check("dashboard-reads", dashboard_reads))
        self.params: Mapping[str, Param] = workload.params

    def open(self, ctx: Context) -> Crew:
        """Start the engine, without a loop of its own, then the dashboard."""
        return Crew(self._workload.open(ctx), ctx, self._counted)

    def restart(self, ctx: Context) -> Any:
        """The store's own start-up path."""
        return self._workload.restart(ctx)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The engine's own lanes and the two beside it."""
        return (*self._workload.lanes(ctx), CHECKPOINT, DASHBOARD)

    def steps(self, lane: Lane, instance: Crew, ctx: Context) -> Iterator[Step]:
        """The steps of one lane."""
        if lane.name == CHECKPOINT.name:
            for number in range(ROUNDS):
                yield Step(number, (), lambda: instance.engine.store._periodic_round())
        elif lane.name == DASHBOARD.name:
            for number in range(READS):
                yield Step(number, (), instance.read)
        else:
            for step in self._workload.steps(lane, instance.engine, ctx):
                yield Step(step.seq, step.effects, _counting(step, instance))


def _counting(step: Step, crew: Crew) -> Callable[[], Iterable[Effect] | None]:
    def do() -> Iterable[Effect] | None:
        happened = step.do()
        crew.ack(step.effects if happened is None else happened)
        return happened

    return do


workload = Actors(SystemMetrics(steps=3, checkpoint_interval_s=0, lanes=2), (METRICS, FILLS))
paper = Actors(
    PaperSession(sessions=1, duration_s=4, checkpoint_interval_s=0, locks=0, busy_timeout_s=5.0), ("fills", "sessions")
)
