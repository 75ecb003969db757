"""Two writers on a SQLite with the WAL-reset bug: MECHANISMS B1."""

import os
import sqlite3

from crashlab.diagnosis.hazards.connections import Connection, Writer
from crashlab.diagnosis.hazards.hazard import Related
from crashlab.diagnosis.hazards.scene import Detector
from crashlab.diagnosis.hazards.seam import Closing
from crashlab.sqlite.advisories import ADVISORIES


class WriterDetector(Detector):
    """`wal-reset`: two connections of this process wrote to one WAL database while both were open."""

    affected = next(each for each in ADVISORIES if each.name == "wal-reset").covers(sqlite3.sqlite_version_info)

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Note a writer, and look whether the last one lived at the same time."""
        if not facts.changes or not self.affected:
            return
        database = connection.database
        other = database.writer
        if other is not None and other.closed > connection.number and os.path.exists(database.path + "-wal"):
            self.scene.report(
                "wal-reset",
                database.path,
                f"SQLite {sqlite3.sqlite_version} is in the affected range, and two connections of this process wrote "
                "while both were open",
                stack=connection.stack or None,
                related=tuple(Related("the other writer was opened at", s) for s in (other.stack,) if s),
                context=connection.context,
            )
        database.writer = Writer(self.scene.registry.next_number(), connection.stack)

    def alive(self, connection: Connection, facts: Closing) -> None:
        """The same for one that stays open."""
        self.closing(connection, facts)
