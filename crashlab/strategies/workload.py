"""The program that runs a plan, as a workload: name it as a subject, and cases of plans replay.

    [subjects.plan]
    workload = "crashlab.strategies.workload:plan_workload"

One table with an index, so that a transaction touches several pages. A row's body follows from its key and
its version, so that a wrong one is seen whatever happened. Needs no Hypothesis.
"""

import sqlite3
from collections.abc import Iterator, Mapping

from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.step import Effect, Lane, Row, Step, Table
from crashlab.model.workload import Check, Context
from crashlab.strategies.plan import Change, Checkpoint, Operation, Plan, Put, parse_plan

DEFAULT_PLAN = "wal FULL 4096 1000 | put 1x20, put 2x900 | del 1 | checkpoint PASSIVE | put 3x20"


def body_of(key: int, version: int, size: int) -> str:
    """Return the body that a key has at a version."""
    word = f"{key}.{version};"
    return (word * (size // len(word) + 1))[:size]


def _is_itself(key: Row, value: Row) -> bool:
    version, body = value
    return isinstance(body, str) and isinstance(version, int) and body == body_of(key[0], version, len(body))


class PlanInstance:
    """An open plan program."""

    def __init__(self, connection: sqlite3.Connection, plan: Plan) -> None:
        self.connection = connection
        self.plan = plan

    def close(self) -> None:
        """Close it; SQLite checkpoints and removes the WAL."""
        self.connection.close()


class PlanWorkload:
    """Runs the plan in the parameter `plan`. `contract`: what SQLite promises for each `synchronous`.

    In journal mode delete under FULL a power loss may bring back the last commit undone (the journal's
    unlink is not synced), which this contract does not allow: use EXTRA or truncate there.
    """

    contract: Contract = Contract()
    tables: tuple[Table, ...] = (Table("t", ("k",), ("version", "body"), _is_itself),)
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {"plan": DEFAULT_PLAN}

    def open(self, ctx: Context) -> PlanInstance:
        """Open the database with the plan's settings and create what is missing; a restart does the same."""
        plan = parse_plan(str(ctx.params["plan"]))
        connection = ctx.connect(ctx.database, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size={plan.page_size}")
            connection.execute(f"PRAGMA journal_mode={plan.journal}")
            connection.execute(f"PRAGMA synchronous={plan.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint={plan.autocheckpoint}")
            connection.execute("CREATE TABLE IF NOT EXISTS t(k INTEGER PRIMARY KEY, version INTEGER, body TEXT)")
            connection.execute("CREATE INDEX IF NOT EXISTS i ON t(body, version)")
        except BaseException:
            connection.close()
            raise
        return PlanInstance(connection, plan)

    def restart(self, ctx: Context) -> PlanInstance:
        """Start again."""
        return self.open(ctx)

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane: the runs are single-threaded, so the same case gives the same bytes."""
        return (Lane("plan"),)

    def steps(self, lane: Lane, instance: PlanInstance, ctx: Context) -> Iterator[Step]:
        """One step an operation; checkpoints and vacuums have no effects."""
        for number, operation in enumerate(instance.plan.operations, 1):
            effects = _effects(operation, number)

            def do(operation: Operation = operation, number: int = number) -> None:
                _do(instance.connection, operation, number)

            yield Step(number, effects, do)


def _effects(operation: Operation, version: int) -> tuple[Effect, ...]:
    if not isinstance(operation, Change):
        return ()
    values: dict[int, Row | None] = {}
    for edit in operation.edits:
        values[edit.key] = (version, body_of(edit.key, version, edit.size)) if isinstance(edit, Put) else None
    return tuple(Effect("t", (key,), value) for key, value in values.items())


def _do(connection: sqlite3.Connection, operation: Operation, version: int) -> None:
    if isinstance(operation, Checkpoint):
        connection.execute(f"PRAGMA wal_checkpoint({operation.mode})").fetchall()
    elif isinstance(operation, Change):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for edit in operation.edits:
                if isinstance(edit, Put):
                    row = (edit.key, version, body_of(edit.key, version, edit.size))
                    connection.execute(
                        "INSERT INTO t VALUES(?, ?, ?) ON CONFLICT(k) DO UPDATE SET version = excluded.version, "
                        "body = excluded.body",
                        row,
                    )
                else:
                    connection.execute("DELETE FROM t WHERE k = ?", (edit.key,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    else:
        connection.execute("VACUUM")


plan_workload = PlanWorkload()
