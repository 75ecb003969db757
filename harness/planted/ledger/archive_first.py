"""A run enters the archive in memory before its terminal row is written; when the write fails, it stays there."""

from typing import Any

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger
from store.run_ledger import Run


class ArchiveFirst(RunLedger):
    """Believes that a write that was begun will succeed."""

    def _end(self, run_id: str, status: str, *arguments: Any, **more: Any) -> Run:
        run = self._existing(run_id)
        if not run.is_terminal:
            self._archive(run._replace(status=status, ended_at=self._now()))
        return super()._end(run_id, status, *arguments, **more)


workload = RunLedgers(ArchiveFirst)
twin = RunLedgers()

PLANTED = Planted(
    id="archive-first",
    title="archived before the terminal write",
    broken="the write meets a locked database, and memory serves a run as completed that runs on in the file",
    oracle="books",
    invariant="memory-follows-file",
    module=__name__,
)
