"""A connection used or closed by another process than the one that opened it: MECHANISMS A6."""

import os

from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.hazard import Related
from crashlab.diagnosis.hazards.scene import Detector, living, opened_at
from crashlab.diagnosis.hazards.seam import Closing


class ForkDetector(Detector):
    """`used-after-fork`. A child that only inherits connections, and leaves them alone, is well."""

    def forked(self) -> None:
        """In the child, right after the fork: let the inherited connections tell when they are used."""
        scene = self.scene
        if scene.watch_use is None:
            return
        for connection in living(scene.registry):
            if connection.pid != os.getpid():
                scene.watch_use(connection.pointer)

    def used(self, connection: Connection) -> None:
        """A statement is about to run."""
        if connection.pid != os.getpid():
            self._tell(connection, "a statement ran")

    def closing(self, connection: Connection, facts: Closing) -> None:
        """A child closes, by itself or when it ends."""
        if connection.pid != os.getpid():
            self._tell(connection, "the connection was closed, or collected,")

    def _tell(self, connection: Connection, what: str) -> None:
        related: tuple[Related, ...] = opened_at(connection)
        self.scene.report(
            "used-after-fork",
            connection.database.path,
            f"{what} in process {os.getpid()}, a child of process {connection.pid} which had opened it",
            related=related,
        )
