"""Known defects of SQLite versions that can damage or lose data, as a table.

From SQLite's own pages: https://sqlite.org/howtocorrupt.html section 8 ("Bugs in SQLite") and
https://sqlite.org/wal.html#walresetbug . A version number says only that a library is *in the affected
range*: a distribution may have patched it without changing the number, and the conditions of the defect
must be met too.
"""

import sys
from dataclasses import dataclass

from crashlab.sqlite.library import SqliteLibrary

__all__ = ["ADVISORIES", "Advisory", "advisories_for"]

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One defect: versions ``first`` to before ``fixed``, without the ``backports`` (branch's first fixed
    version on).

    ``needs`` is what must come together for it to bite. ``systems`` limits it to ``sys.platform`` values;
    empty for all. ``loses`` is true for lost or damaged data, false for defects that only look like it.
    """

    name: str
    title: str
    first: Version
    fixed: Version
    backports: tuple[Version, ...]
    needs: str
    link: str
    loses: bool = True
    systems: tuple[str, ...] = ()

    def covers(self, version: Version, platform: str = sys.platform) -> bool:
        """Whether a version is in the affected range on a platform."""
        if self.systems and platform not in self.systems:
            return False
        if not self.first <= version < self.fixed:
            return False
        return not any(version[:2] == branch[:2] and version >= branch for branch in self.backports)

    def describe(self, version: str) -> str:
        """One line for a report: "SQLite 3.40.1 is in the affected range of ..."."""
        fixed = ", ".join(".".join(map(str, each)) for each in (self.fixed, *self.backports))
        return f"SQLite {version} is in the affected range of {self.title} (fixed in {fixed}): {self.link}"


_BUGS = "https://sqlite.org/howtocorrupt.html section"

ADVISORIES: tuple[Advisory, ...] = (
    Advisory(
        name="wal-reset",
        title="the WAL-reset bug",
        first=(3, 7, 0),
        fixed=(3, 51, 3),
        backports=((3, 50, 7), (3, 44, 6)),
        needs="WAL mode, two or more connections, one checkpointing while another resets the WAL",
        link="https://sqlite.org/wal.html#walresetbug",
    ),
    Advisory(
        name="savepoint-boundary",
        title="the boundary error in in-memory savepoint journals",
        first=(3, 35, 0),
        fixed=(3, 37, 2),
        backports=(),
        needs="SAVEPOINT rolled back while statement journals are kept in memory (temp_store), then a commit",
        link="https://sqlite.org/howtocorrupt.html#svptbug",
    ),
    Advisory(
        name="windows-recovery-race",
        title="the race between two recoveries on Windows",
        first=(3, 0, 0),
        fixed=(3, 7, 16, 2),
        backports=(),
        needs="Windows, a hot journal, two processes opening the database at the same moment",
        link=f"{_BUGS} 8.8",
        systems=("win32", "cygwin"),
    ),
    Advisory(
        name="shrunk-by-3.6",
        title="the false corruption report after an older library shrank the file",
        first=(3, 7, 0),
        fixed=(3, 7, 6),
        backports=(),
        needs="writes by 3.7.0 or later, then by 3.6.23 or earlier so that the file shrinks",
        link=f"{_BUGS} 8.3",
        loses=False,
    ),
    Advisory(
        name="mode-switch-vacuum",
        title="the stale cache after switches between rollback and WAL mode",
        first=(3, 7, 0),
        fixed=(3, 7, 5),
        backports=(),
        needs="repeated switches in and out of WAL mode with VACUUM between them, a second connection",
        link=f"{_BUGS} 8.4",
    ),
    Advisory(
        name="shm-lock-io-error",
        title="the stale cache after an I/O error on a shared-memory lock",
        first=(3, 7, 0),
        fixed=(3, 7, 3),
        backports=(),
        needs="WAL mode, an I/O error while a lock on -shm is asked for, then more writes",
        link=f"{_BUGS} 8.5",
    ),
    Advisory(
        name="freelist-leak",
        title="pages missing from the free list",
        first=(3, 6, 16),
        fixed=(3, 7, 2),
        backports=(),
        needs="incremental_vacuum",
        link=f"{_BUGS} 8.6",
        loses=False,
    ),
    Advisory(
        name="alternating-3.6-3.7",
        title="corruption after alternating writes by 3.6 and 3.7",
        first=(3, 7, 0),
        fixed=(3, 7, 1),
        backports=(),
        needs="a database made by 3.7.0, grown by 3.6.23.1, written by 3.7.0 again",
        link=f"{_BUGS} 8.7",
    ),
)


def advisories_for(library: SqliteLibrary) -> tuple[Advisory, ...]:
    """Return the advisories in whose affected range the library is, on this machine's platform."""
    return tuple(advisory for advisory in ADVISORIES if advisory.covers(library.version_info))
