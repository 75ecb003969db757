"""What an older copy says: rows that it has and the database has not, and pages in which a single bit differs.

Runs in a process of its own, on private copies. A row that is gone may have been deleted, and an update may change a
single bit: a backup supports mechanisms, or speaks against them, and never shows one.
"""

import sqlite3
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from crashlab.diagnosis.autopsy.report import BackupFacts
from crashlab.sqlite.buffers import FileBuffer
from crashlab.sqlite.compare import compare
from crashlab.sqlite.header import read_header
from crashlab.sqlite.pages import PageSource, database

__all__ = ["against_backup", "compare_pages"]

PAGES_MAX = 100_000
LISTED_MAX = 20
_WORST = ("none", "suffix", "gap", "all")


def compare_pages(main: Path, backup: Path) -> tuple[BackupFacts, dict[str, str]]:
    """What the bytes of the two databases say; no rows yet. `backup.bit`: whether some leaf differs in a single bit."""
    with ExitStack() as stack:
        ours, theirs = _source(main, stack), _source(backup, stack)
        one, other = (read_header(source.page(1), source.page_size).header for source in (ours, theirs))
        if one is None or other is None or ours.page_size != theirs.page_size:
            return BackupFacts(), {}
        ahead = other.change_counter > one.change_counter or other.schema_cookie > one.schema_cookie
        if max(ours.pages, theirs.pages) > PAGES_MAX:
            return BackupFacts(ahead=ahead), {}
        unlike = [page for page in compare(ours, theirs).differing.tolist() if page > 1]
        bits = tuple(page for page in unlike if _one_bit_of_content(ours.page(page), theirs.page(page)))
        return BackupFacts(one_bit=bits[:LISTED_MAX], ahead=ahead), {"backup.bit": "yes" if bits else "no"}


def _source(path: Path, stack: ExitStack) -> PageSource:
    wal = Path(f"{path}-wal")
    side = stack.enter_context(FileBuffer(str(wal))) if wal.exists() else None
    return database(stack.enter_context(FileBuffer(str(path))), side)


def _one_bit_of_content(one: bytes, other: bytes) -> bool:
    """Whether two images of a leaf differ in a single bit, and that in what its cells hold."""
    if len(one) != len(other) or one[:1] not in (b"\x0a", b"\x0d"):
        return False
    changed = np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)
    at = changed.nonzero()[0].tolist()
    return len(at) == 1 and int(changed[at[0]]).bit_count() == 1 and at[0] >= int.from_bytes(one[5:7])


def against_backup(
    connection: sqlite3.Connection, backup: Path, pages: BackupFacts
) -> tuple[BackupFacts, dict[str, str]]:
    """Count, table by table, the rows that a backup has and the database has not; also the feature `backup.lost`.

    suffix: those that are gone have the highest rowids, and none came later. gap: later ones are there. all: no row of
    the backup's table is left. A row under whose rowid another one stands now counts as changed, not as gone: an
    update does that. But where its rowid was given anew, which only a step back in time does, it is not told apart.
    """
    missing: dict[str, int] = {}
    changed: dict[str, int] = {}
    order = "none"
    try:
        connection.execute("attach ? as the_backup", (str(backup),))
        tables = connection.execute(
            "select name from the_backup.sqlite_master"
            " where type = 'table' and rootpage > 0 and name not like 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            name = _quoted(table)
            sql = f"select count(*) from (select * from the_backup.{name} except select * from main.{name})"
            count = connection.execute(sql).fetchone()[0]
            if count:
                gone, how = _gone(connection, name, count)
                missing |= {table: gone} if gone else {}
                changed |= {table: count - gone} if count > gone else {}
                order = max(order, how, key=_WORST.index)
    except sqlite3.Error as error:
        return replace(pages, missing=missing, changed=changed, problem=str(error)), {}
    return replace(pages, missing=missing, changed=changed), {"backup.lost": order}


def _gone(connection: sqlite3.Connection, name: str, count: int) -> tuple[int, str]:
    """How many of a table's rows are gone, and in which order; a table without rowids gives no order."""
    try:
        sql = (
            "select count(*), min(rowid), (select count(*) from the_backup.{0}),"
            " (select max(rowid) from main.{0}) from the_backup.{0} where rowid not in (select rowid from main.{0})"
        )
        gone, lowest, all_rows, highest = connection.execute(sql.format(name)).fetchone()
    except sqlite3.OperationalError:
        return count, "gap"
    if not gone:
        return 0, "none"
    if gone == all_rows:
        return gone, "all"
    return gone, "suffix" if highest is None or highest < lowest else "gap"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'
