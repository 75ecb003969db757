"""What was seen of a live database, as plain data: the JSON report is exactly this."""

from enum import StrEnum

import msgspec

FORMAT_VERSION = 1

__all__ = ["Finding", "Held", "Library", "LiveReport", "Look", "Opener", "Rescued", "Severity"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parts."""


class Severity(StrEnum):
    """DANGER: rows are being lost, or will be. WARNING: what makes that possible. NOTE: worth knowing."""

    DANGER = "danger"
    WARNING = "warning"
    NOTE = "note"


class Library(Struct, frozen=True):
    """A SQLite in a process. `version`: read from the bytes of its file, empty where that failed."""

    path: str
    version: str


class Held(Struct, frozen=True):
    """One file of the database that a process holds.

    `role`: main, wal, shm or journal. `descriptor`: -1 where it is only mapped. `links`: 0 means that it has no name
    any more. `at_path`: inode that the same name leads to now (0: nothing). `mapped`: whether it is mapped too.
    `locks`: (type, first byte, last byte) of this process's lock rows.
    """

    role: str
    descriptor: int
    path: str
    device: int
    inode: int
    links: int
    size: int
    at_path: int
    mapped: bool = False
    locks: tuple[tuple[str, int, int], ...] = ()

    @property
    def deleted(self) -> bool:
        """Whether nothing but open descriptors keeps it."""
        return self.links == 0

    @property
    def strayed(self) -> bool:
        """Whether its name leads to another file, or to none."""
        return self.at_path != self.inode


class Opener(Struct, frozen=True):
    """A process that has files of the database open. `parent`: its parent's process id."""

    pid: int
    name: str
    parent: int
    held: tuple[Held, ...]
    libraries: tuple[Library, ...] = ()

    def of(self, role: str) -> tuple[Held, ...]:
        """Its files of one role."""
        return tuple(held for held in self.held if held.role == role)


class Look(Struct, frozen=True):
    """One moment. `paths`: role -> (inode, links, bytes) of what the names lead to now.

    `hidden`: process ids that hold locks on the files, and that can't be looked at. `unreadable`: how many processes
    can't be looked at in all. `lock_rows`: whether this system shows lock rows. `ofd`: inodes with locks of no process.
    `ghosts`: `PID:DESCRIPTOR` -> commits and committed frames of each WAL that lost its name. `index`: mxFrame,
    nBackfill and bytes of the `-shm` of that name.
    """

    path: str
    paths: dict[str, tuple[int, int, int]]
    openers: tuple[Opener, ...]
    hidden: tuple[int, ...]
    unreadable: int
    lock_rows: bool
    ofd: tuple[int, ...]
    filesystem: str
    filesystem_warning: str
    index: tuple[int, int, int] | None = None
    ghosts: dict[str, tuple[int, int]] = {}


class Finding(Struct, frozen=True):
    """One thing that was seen in every look. `pid`: 0 where it concerns no one process."""

    kind: str
    severity: Severity
    pid: int
    what: str
    evidence: tuple[str, ...]
    do_now: tuple[str, ...] = ()
    do_not: tuple[str, ...] = ()
    exhibits: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes it the same in two looks."""
        return self.kind, self.pid, self.what


class Rescued(Struct, frozen=True):
    """A file copied out of a process. `whole`: main file and WAL belong together, no checkpoint came between."""

    role: str
    pid: int
    descriptor: int
    to: str
    bytes: int
    sha256: str
    whole: bool


class Database(Struct, frozen=True):
    """One database: the last look at it, and what every look saw."""

    look: Look
    findings: tuple[Finding, ...]
    rescued: tuple[Rescued, ...] = ()


class LiveReport(Struct, frozen=True):
    """All databases that were looked at."""

    databases: tuple[Database, ...]
    looks: int
    notes: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 danger or warning, 3 somebody has it open who can't be looked at, or there is nothing."""
        found = [finding.severity for database in self.databases for finding in database.findings]
        if Severity.DANGER in found or Severity.WARNING in found:
            return 1
        hidden = any(database.look.hidden or not database.look.lock_rows for database in self.databases)
        return 3 if hidden or not self.databases else 0
