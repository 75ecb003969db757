"""docs/not-a-database.md: a checkpoint with a stale header writes one page over another, without a crash.

The switches are found by the calls before which they lie, so that the test holds on every SQLite with the defect.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from crashlab.engine.schedules.generic import GENERIC, generic_script
from crashlab.engine.schedules.processes.generic import GenericProcesses
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.library import find_library
from crashlab.sqlite.tap.operation import Operation
from crashlab.writers.schedule.decide import CALLS, ENDLESS, Grant, Why
from crashlab.writers.schedule.locks import patched_threading

WRITER, CHECKPOINTER, FIRST = 0, 1, 2
AFFECTED = any(advisory.name == "wal-reset" for advisory in advisories_for(find_library()))


class MakesItsTable(GenericProcesses):
    """The WAL begins with the table: page 1 is in frames 1 and 3, the table's page in frame 2."""

    def prepare(self, ctx):
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.close()

    def begin_wal(self, connection):
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        connection.execute("PRAGMA user_version=1")


class ByName:
    """Each part: an actor, and the n-th of a kind of calls before which it is stopped (0: when it has finished)."""

    PARTS = (
        (FIRST, Operation.READ, 0),
        (CHECKPOINTER, Operation.UNFETCH, 2),  # of the second checkpoint: the header has been read
        (WRITER, Operation.SHM_LOCK, 6),  # the WAL has been restarted, READ0 let go, READ1 not yet taken
        (CHECKPOINTER, Operation.READ, 1),  # the first page is chosen, its frame not yet read
        (WRITER, Operation.READ, 0),
        (CHECKPOINTER, Operation.READ, 0),
    )

    def __init__(self) -> None:
        self._part = self._seen = 0

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Grant:
        wanted, operation, times = self.PARTS[self._part]
        if why is Why.POINT and times:
            self._seen += call == CALLS[operation]
            if self._seen == times:
                self._next()
        elif why is Why.FINISH and self._part < len(self.PARTS) - 1:
            self._next()
        wanted, _, times = self.PARTS[self._part]
        chosen = wanted if wanted in runnable else runnable[0]
        return Grant(chosen, 1 if why is Why.POINT and actor == chosen and times else 0 if times else ENDLESS)

    def _next(self) -> None:
        self._part, self._seen = self._part + 1, 0


@pytest.mark.slow
def test_a_checkpoint_with_a_stale_header_writes_another_page_over_page_one():
    turns = process_turns()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as root,
        patched_threading(turns),
        ProcessesRoad(MakesItsTable(), GENERIC, Path(root), turns=turns) as road,
    ):
        # The writer's third row is in frame 3 of the new generation, where page 1 was in the old one.
        runs = [road.run(generic_script("III|CC|I"), ByName()) for _ in range(5)]
    assert len({ran.digest for ran in runs}) == 1
    found = {str(finding.identity).partition(" ")[0]: finding.message for finding in runs[0].findings}
    if AFFECTED:
        assert "not a database" in str([finding.evidence for finding in runs[0].findings])
        assert "sidecars/wal-index" in found
    else:
        assert not found
