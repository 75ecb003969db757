"""Recording the program's own files, from `install` to `uninstall`."""

from __future__ import annotations

import io
import os
import sys

from crashlab.errors import LabError
from crashlab.writers.record.bypass import BypassHook
from crashlab.writers.record.calls import make_calls, make_fcntl, refuse_fast_copy
from crashlab.writers.record.ledger import Ledger
from crashlab.writers.record.patch import Patch, unbound
from crashlab.writers.record.stack import make_file_class, make_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from crashlab.log.writer import LogWriter

_installed = False


class PlainFiles:
    """Records what the process does to files inside `directory`, but not the lab's own and no `-shm`.

    SQLite's files are recorded by the tap; if the program itself writes to one, that is recorded here.
    One at a time in a process. A context manager.

    `directory_syncs=False` records as if directories were never synced (for controls).
    """

    def __init__(self, log: LogWriter, directory: str, *, directory_syncs: bool = True) -> None:
        self._ledger = Ledger(log, directory, directory_syncs=directory_syncs)
        self._hook = BypassHook(self._ledger)
        self._patch: Patch | None = None

    def install(self) -> None:
        """Replace the functions. Files that are open already go on unrecorded.

        Raises:
            LabError: they are replaced already.
        """
        global _installed
        if _installed:
            raise LabError("files are being recorded in this process already; one recording at a time")
        ledger = self._ledger
        pairs: list[tuple[Any, Any]] = [
            (getattr(os, name), unbound(new)) for name, new in make_calls(ledger).items() if hasattr(os, name)
        ]
        file_class = make_file_class(ledger)
        pairs += [(io.FileIO, file_class), (io.open, unbound(make_open(ledger, file_class)))]
        fcntl = make_fcntl(ledger)
        if fcntl is not None:
            pairs.append((sys.modules["fcntl"].fcntl, unbound(fcntl)))
        copy = getattr(sys.modules.get("posix"), "_fcopyfile", None)
        if copy is not None:
            pairs.append((copy, unbound(refuse_fast_copy)))
        self._patch = Patch(pairs)
        self._patch.apply()
        _installed = True
        self._hook.start()

    def uninstall(self) -> None:
        """Put the real functions back.

        Raises:
            LabError: something was done to the files that could not be recorded.
        """
        global _installed
        if self._patch is None:
            return
        self._hook.stop()
        self._patch.undo()
        self._patch = None
        _installed = False
        problems = self._ledger.problems
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise LabError("the recording is not whole, so it proves nothing: " + "; ".join(problems[:3]) + more)

    def __enter__(self) -> PlainFiles:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()
