"""The backup is a copy of the main file: sound by every integrity check, and without what is in the WAL.

It also cancels the POSIX locks of every connection this process has to the database
(https://sqlite.org/howtocorrupt.html, section 2.2).
"""

import shutil
from pathlib import Path

from crashlab.decide.planted import Planted
from harness.workloads.system_metrics import SystemMetrics
from store import StateManager


class BackupByFileCopy(StateManager):
    """Copies the file that has the database's name."""

    def _write_backup(self, target: Path) -> None:
        assert self.path is not None
        shutil.copyfile(self.path, target)


workload = SystemMetrics(BackupByFileCopy, backup_every=70, checkpoint_interval_s=0.0)
twin = SystemMetrics(backup_every=70, checkpoint_interval_s=0.0)

PLANTED = Planted(
    id="backup-by-file-copy",
    title="backup by file copy",
    broken="the main file is copied while the newest commits are in the WAL",
    oracle="books",
    invariant="backup-complete",
    fault="kill@ack#150",
    module=__name__,
)
