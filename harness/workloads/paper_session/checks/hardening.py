"""Checkpoint hardening: the store's own invariants, asked of each of the stores that a run opens and closes."""

import sqlite3
from collections.abc import Callable, Iterator

import msgspec

from crashlab.model.history import History
from crashlab.model.workload import Check
from harness.workloads import invariants
from harness.workloads.paper_session.desk import Restarted
from harness.workloads.paper_session.told import lives

NAMES = (
    "cadence",
    "exposure-bounded",
    "periodic-passive",
    "no-failed-round",
    "loop-alive",
    "backlog-reported",
    "close-truncates",
    "close-reports",
    "close-releases",
)


def _in_each_life(check: Check) -> Check:
    run: Callable[..., Iterator[str]] = check.run  # type: ignore[assignment]

    def every(engine: Restarted, connection: sqlite3.Connection, history: History) -> Iterator[str]:
        for number, life in enumerate(lives(history)):
            yield from (f"store {number}: {line}" for line in run(engine, connection, life))

    return msgspec.structs.replace(check, run=every)


HARDENING = tuple(_in_each_life(check) for check in invariants.CHECKS if check.name in NAMES)
