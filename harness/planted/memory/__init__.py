"""Broken twins of the message log: one bug a file, each caught by one named invariant."""

from crashlab.decide.planted import Planted
from harness.planted.memory import (
    ack_before_commit,
    checkpoint_failure_swallowed,
    close_without_truncate,
    compaction_in_two,
    counts_appends_only,
    disk_full_swallowed,
    fts_no_delete_trigger,
    fts_no_update_trigger,
    index_behind,
    locked_swallowed,
    orphans,
    replace_on_retry,
    restore_beside_wal,
    stale_readers,
    truncate_periodic,
    version_before_migration,
)

PLANTED: tuple[Planted, ...] = tuple(
    module.PLANTED
    for module in (
        fts_no_update_trigger,
        fts_no_delete_trigger,
        index_behind,
        stale_readers,
        locked_swallowed,
        disk_full_swallowed,
        ack_before_commit,
        checkpoint_failure_swallowed,
        truncate_periodic,
        counts_appends_only,
        compaction_in_two,
        orphans,
        replace_on_retry,
        version_before_migration,
        close_without_truncate,
        restore_beside_wal,
    )
)

__all__ = ["PLANTED", "Planted"]
