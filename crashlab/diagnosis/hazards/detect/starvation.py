"""Checkpoints that a reader keeps from completing: MECHANISMS F1."""

import os

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection, Database
from crashlab.diagnosis.hazards.hazard import Related
from crashlab.diagnosis.hazards.scene import Detector
from crashlab.diagnosis.hazards.seam import Closing
from crashlab.sqlite.shm import NOT_USED, parse_shm

FRAMES_MIN = 4000
"""Four times SQLite's automatic checkpoint: so many frames do not wait in a WAL whose checkpoints complete."""

_FRAME_BYTES_MIN = 512 + 24
_READ_LOCKS_AT = 123  # byte of WAL_READ_LOCK(0) in the -shm, https://sqlite.org/walformat.html#locks


class StarvationDetector(Detector):
    """`checkpoint-starved`: thousands of frames wait behind a read transaction that is open now.

    The index is read where it is mapped, never from its file; the reader is found among the system's locks.
    """

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Look before a reader that is being closed lets go; one that is alone here starves nobody of ours."""
        if len(connection.database.live) > 1:
            self._look(connection.database)

    def rest(self) -> None:
        """Look at all that are open."""
        for database in self.scene.registry.open_databases():
            self._look(database)

    def _look(self, database: Database) -> None:
        size = proc.size_of(database.path + "-wal")
        if size < FRAMES_MIN * _FRAME_BYTES_MIN:
            return
        index = parse_shm(proc.index_head(os.path.realpath(database.path) + "-shm"))
        header = index.header
        if header is None or header.max_frame - index.backfilled < FRAMES_MIN:
            return
        identity = proc.identity_of(database.path + "-shm")
        held = proc.read_locks(identity) if identity else {}
        for slot, mark in enumerate(index.read_marks):
            process = held.get(_READ_LOCKS_AT + slot)
            stands = 0 if slot == 0 else mark
            if process is not None and mark != NOT_USED and stands <= index.backfilled:
                whose = "this process" if process == os.getpid() else f"process {process}"
                first = database.opened_here
                self.scene.report(
                    "checkpoint-starved",
                    database.path,
                    f"the -wal has {header.max_frame} frames ({size} bytes), of which checkpoints could copy "
                    f"{index.backfilled}: a read transaction of {whose} stands at frame {stands}",
                    stack=first.stack if first else None,
                    related=tuple(
                        Related("a connection of this process was opened at", each.stack)
                        for each in list(database.live.values())[1:4]
                        if each.stack
                    ),
                    context=first.context if first else None,
                )
                return
