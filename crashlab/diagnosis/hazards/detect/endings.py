"""What a connection leaves behind when it is closed: MECHANISMS H1, E2."""

import os
from typing import Any

from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.hazard import Frame
from crashlab.diagnosis.hazards.scene import Detector, opened_at
from crashlab.diagnosis.hazards.seam import Closing

ASKED_MAX = 4096


class EndingDetector(Detector):
    """`dropped-transaction` and `synchronous-off`: asked of SQLite as the connection is closed.

    The setting is asked once for each database and place in the program that opens it.
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._asked: set[tuple[str, tuple[Frame, ...]]] = set()

    def closing(self, connection: Connection, facts: Closing) -> None:
        """Look at what is open, and at what was in force."""
        if connection.pid != os.getpid():
            return
        if facts.unfinished and facts.changes:
            what = "the connection was closed, or collected,"
            if facts.at_exit:
                what = "the program ended and left the connection"
            self.scene.report(
                "dropped-transaction",
                connection.database.path,
                f"{what} with a write transaction open ({_rows(facts.changes)} changed through it since it was opened, "
                "the last of them not committed)",
                related=opened_at(connection),
                context=connection.context,
            )
        self._off(connection, facts, "was closed", closing=not facts.at_exit)

    def alive(self, connection: Connection, facts: Closing) -> None:
        """Look at what is in force."""
        self._off(connection, facts, "goes on", closing=False)

    def _off(self, connection: Connection, facts: Closing, end: str, *, closing: bool) -> None:
        key = (connection.database.path, connection.stack)
        if not facts.changes or key in self._asked:
            return
        setting = self.scene.synchronous(connection.pointer, closing)
        if setting is not None:
            if len(self._asked) >= ASKED_MAX:
                self._asked.clear()
            self._asked.add(key)
        if setting == 0:
            self.scene.report(
                "synchronous-off",
                connection.database.path,
                f"a connection changed {_rows(facts.changes)} and {end} with synchronous=OFF in force",
                stack=connection.stack or None,
                context=connection.context,
            )


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
