"""A backup is copied over the main file while the -wal of the newer database still lies beside it.

A reader of another process keeps the -wal from being emptied. SQLite takes its frames for the restored file's.
"""

import shutil
from pathlib import Path

from crashlab.decide.planted import Planted
from crashlab.model.workload import Context
from harness.workloads.agent_memory import AgentMemory, AgentProcess


class RestoresFiles(AgentMemory):
    """Restores as one restores any file: the program is stopped, the copy takes its place."""

    def _put_back(self, agent: AgentProcess, ctx: Context, copy: Path) -> None:
        agent.store.close()
        shutil.copyfile(copy, ctx.database)
        agent.store = self._open_log(ctx, self._log_class, agent.now, None)


workload = RestoresFiles(restore_at=60, reader="pinned")
twin = AgentMemory(restore_at=60, reader="pinned")

PLANTED = Planted(
    id="restore-beside-wal",
    title="a restore beside a stale WAL",
    broken="the main file is replaced by its backup and the -wal is left: the newer rows are back, or the file breaks",
    oracle="durability",
    invariant="acked-delete-undone",
    trials=20,
    module=__name__,
)
