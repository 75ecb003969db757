"""What goes to a worker, and what comes back: plain data, as bytes."""

import platform
import sqlite3

import msgspec

from crashlab.engine.results.plan import own_version
from crashlab.engine.subject import Subject
from crashlab.model.case import Case
from crashlab.model.outcome import Outcome
from crashlab.sqlite.library import find_library


class Versions(msgspec.Struct, frozen=True):
    """What must be the same on all machines of a campaign. `code` is the subject's, see `crashlab.engine.source`."""

    crashlab: str
    python: str
    sqlite: str
    sqlite_source_id: str
    code: str = ""

    def differences(self, other: "Versions") -> list[str]:
        """Name what differs: `SQLite 3.45.1, the lab has 3.40.1`."""
        names = {
            "crashlab": "crashlab",
            "python": "Python",
            "sqlite": "SQLite",
            "sqlite_source_id": "SQLite's source id",
            "code": "the subject's code",
        }
        return [
            f"{name} {getattr(other, field)}, the lab has {getattr(self, field)}"
            for field, name in names.items()
            if getattr(self, field) and getattr(other, field) and getattr(self, field) != getattr(other, field)
        ]


def own_versions(code: str = "") -> Versions:
    """Return this process's."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    library = find_library()
    return Versions(own_version(), python, sqlite3.sqlite_version, library.source_id, code)


class TrialOrder(msgspec.Struct, frozen=True):
    """One trial to run, by a lab of these versions. `keep`: its case directory is wanted if it fails."""

    subject: Subject
    case: Case
    trial_id: str
    keep: bool
    versions: Versions


class CaseFile(msgspec.Struct, frozen=True):
    """A file of a case directory: `name` has the directory in front, as in `a8df4d04bd32/evidence/state.db`."""

    name: str
    data: bytes


class TrialAnswer(msgspec.Struct, frozen=True):
    """What a worker says: the outcome and the files of the case directories that it names, or why it refuses.

    `broke`: the trial could not even be begun (the subject does not import there, say). `where`: host and process.
    """

    trial_id: str
    where: str
    outcome: Outcome | None = None
    files: tuple[CaseFile, ...] = ()
    refused: str = ""
    broke: str = ""
