"""All controls with several lanes."""

from crashlab.gallery.controls.control import Control
from crashlab.gallery.controls.lanes import (
    alter_table,
    cancel_clobber,
    count_then_insert,
    file_copy,
    heartbeat,
    read_modify_write,
    shared_connection,
    stray_close,
    unlinked_wal,
)

LANE_CONTROLS: tuple[Control, ...] = (
    count_then_insert.CONTROL,
    read_modify_write.CONTROL,
    cancel_clobber.CONTROL,
    heartbeat.CONTROL,
    alter_table.CONTROL,
    shared_connection.CONTROL,
    stray_close.CONTROL,
    file_copy.CONTROL,
    unlinked_wal.CONTROL,
)
