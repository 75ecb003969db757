"""What programs do around a database, each under its own crashes: `crashlab.recipes.backup(my_backup).assert_passed()`.

A recipe makes a database with a ledger of rows, lets your function do its work on it in a private directory, in
processes of its own, and judges what is left against the ledger, not by `integrity_check` alone, which says ok to an
empty backup. `backup`, `sync_folder`, `restore` and `migration` compute a kill and a power loss at every point of
one recorded run; `fork`, `second_opener` and `log_rotation` are played for real and end with a kill.

All return `crashlab.ExploreResult`. Your function is sent to another process: it must not close over connections.
"""

from crashlab.recipes.copies import backup, restore, sync_folder
from crashlab.recipes.migrations import migration
from crashlab.recipes.neighbours import fork, log_rotation, second_opener

__all__ = ["backup", "fork", "log_rotation", "migration", "restore", "second_opener", "sync_folder"]
