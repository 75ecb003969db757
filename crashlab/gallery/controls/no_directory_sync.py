"""Control: a file system, or a build of SQLite, whose directories are never synced.

The entry of a new database and its WAL is durable only when their directory has been synced; SQLite's unix
VFS does so at the first sync of a new journal or WAL (`unixSync` in os_unix.c). Without it a power loss may
leave the bytes on the disk under no name.
"""

from crashlab.gallery.controls.control import TRACE_ROAD, Control
from crashlab.gallery.controls.unsynced_checkpoint import Subject
from crashlab.writers.order import TapPlan

CONTROL = Control(
    id="no-directory-sync",
    title="directories that are never synced",
    broken=f"{Subject.__module__}:{Subject.__name__}",
    twin=f"{Subject.__module__}:{Subject.__name__}",
    catches=("durability/acked-row-lost",),
    why="the database's own name may be lost with the power",
    roads=(TRACE_ROAD,),
    plan=TapPlan(directory_syncs=False),
)
