"""A backup, and a restore by SQLite's own means: `sqlite3_backup` into the live file, one transaction.

Never a copy over the main file: what then lies in `-wal` belongs to another database, and SQLite would read
it (https://sqlite.org/howtocorrupt.html, section 1.4).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from store import MessageLog
from store.startup import file_uri


def back_up(store: MessageLog, copy: Path) -> None:
    """Make a copy of the log."""
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(copy)) as target, store._lock:
        store._require().backup(target)


def restore(store: MessageLog, copy: Path) -> None:
    """Put the copy's content in the place of the log's."""
    with closing(sqlite3.connect(file_uri(copy, "ro"), uri=True)) as source, store._lock:
        source.backup(store._require())
