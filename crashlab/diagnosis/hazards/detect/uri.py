"""`immutable=1` and `nolock=1` on a database that is not still: MECHANISMS A9."""

import os

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.hazard import Related
from crashlab.diagnosis.hazards.scene import Detector
from crashlab.diagnosis.hazards.seam import Closing


class UriDetector(Detector):
    """`unlocked-uri`: at the opening if the database is open here or has a `-wal`, at the end if it has changed."""

    def opened(self, connection: Connection) -> None:
        """Look at the company that the connection keeps."""
        database = connection.database
        others = [each for each in database.live.values() if each is not connection]
        if connection.immutable or connection.nolock:
            connection.status = _status(database.path)
            plain = next((each for each in others if not each.immutable), None)
            if plain is not None:
                self._tell(connection, "while another connection of this process has it open", plain)
            elif connection.immutable and proc.size_of(database.path + "-wal") > 0:
                self._tell(connection, "although there is a -wal, whose commits it does not see")
            elif os.path.exists(database.path + "-shm"):
                self._tell(connection, "although its -shm shows that somebody has it open, or has died with it open")
            return
        for each in others:
            if each.immutable or each.nolock:
                self._tell(each, "and is now opened for reading and writing too", connection)

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Compare with what the file was."""
        if connection.immutable and connection.status is not None:
            now = _status(connection.database.path)
            if now is not None and now != connection.status:
                self._tell(connection, "and has been changed since")

    def _tell(self, connection: Connection, seen: str, other: Connection | None = None) -> None:
        connection.status = None  # once is enough
        what = "immutable=1" if connection.immutable else "nolock=1"
        related = tuple(Related("the other connection", each.stack) for each in (other,) if each and each.stack)
        self.scene.report(
            "unlocked-uri",
            connection.database.path,
            f"the database was opened with {what} {seen}",
            stack=connection.stack or None,
            related=related,
            context=connection.context,
        )


def _status(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
