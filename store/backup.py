"""Backups: a consistent, verified copy of the open database, and retention of the newest.

Made through SQLite's backup interface (https://sqlite.org/backup.html), never by copying files: the
newest commits are in the WAL, and a copy of the main file alone is an older database that passes
every integrity check. For the same reason the copy is compared with the source's row counts, taken
in the snapshot that was copied, before it counts as a backup.
"""

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from store.connection import Database
from store.errors import StoreDamaged, StoreError, StoreValidation
from store.schema import APPLICATION_ID, schema_version
from store.startup import file_uri, quick_check
from store.validation import integer, text

_log = logging.getLogger(__name__)

DEFAULT_KEEP: Final = 5
_SUFFIX: Final = ".backup"
_PARTIAL: Final = ".partial"
_NEWEST_EXAMINED: Final = 10

Census = tuple[int, dict[str, int]]  # schema version, rows in each table


class BackupFile(NamedTuple):
    """A file in the backup directory, as its name describes it."""

    stamp: str
    number: int
    store: str
    path: Path
    partial: bool


class Backups(Database):
    """Making backups, keeping the newest, and finding the newest good one."""

    BACKUP_DEADLINE_S: ClassVar[float] = 300.0

    def __init__(self, *args: Any, backup_directory: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._backup_directory = None if backup_directory is None else _directory(backup_directory)
        self._created_at = 0  # the store's identity, read when it is opened

    @property
    def backup_directory(self) -> Path | None:
        """Where backups go by default: `backups` beside the database; None for `:memory:`."""
        if self._path is None:
            return None
        return self._backup_directory or self._path.parent / "backups"

    def backup(self, directory: str | os.PathLike[str] | None = None, keep: int = DEFAULT_KEEP) -> Path | None:
        """Copy the database into `directory`, verify the copy, then keep the newest `keep`.

        Other threads go on writing meanwhile. Deletes only older backups that carry this store's own
        identity. `:memory:` has nothing to back up: returns None. Raises StoreDamaged when the copy
        fails its checks and StoreError when it cannot be made; the earlier backups then stay as they
        are.
        """
        integer(keep, "keep", least=1)
        target = self.backup_directory if directory is None else _directory(directory)
        with self._lock:
            connection = self._require()
            if self._in_block:
                raise StoreError("backup() inside a transaction() would miss its rows; call it afterwards")
            self._check_identity(connection)  # the copy is made by name
        if self._path is None or target is None:
            _log.info("nothing to back up: the store is in memory")
            return None
        try:
            target.mkdir(parents=True, exist_ok=True)
            path = target / self._next_backup_name(target)
            partial = path.with_name(path.name + _PARTIAL)
            try:
                self._write_backup(partial)
                partial.replace(path)
            finally:
                for leftover in (
                    partial,
                    *(partial.with_name(partial.name + s) for s in ("-journal", "-wal", "-shm")),
                ):
                    leftover.unlink(missing_ok=True)
            _sync_directory(target)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"backup of {self._path} into {target} failed: {error}; earlier backups stay") from error
        self._retain(target, keep)
        return path

    def newest_good_backup(self, directory: str | os.PathLike[str] | None = None) -> Path | None:
        """The newest backup of this database's name that passes `quick_check` now, or None.

        Needs no open store: after damage it is what start-up names.
        """
        target = self.backup_directory if directory is None else _directory(directory)
        if self._path is None or target is None:
            return None
        found = [file for file in _backups(target, self._path.name) if not file.partial]
        newest_first = sorted(found, reverse=True)[:_NEWEST_EXAMINED]
        return next((file.path for file in newest_first if _is_good(file.path)), None)

    def _write_backup(self, target: Path) -> None:
        """Copy the database to `target` and verify the copy; raises unless it is good."""
        before = self._copy_to(target)
        self._verify_backup(target, before)

    def _copy_to(self, target: Path) -> Census:
        """Copy through SQLite; returns the census of the snapshot that was copied."""
        assert self._path is not None
        deadline = time.monotonic() + self.BACKUP_DEADLINE_S

        def check_deadline(status: int, remaining: int, total: int) -> None:
            if time.monotonic() > deadline:  # Connection.backup retries for ever while the source is locked
                raise StoreError(f"backup took over {self.BACKUP_DEADLINE_S:.0f} s, {remaining} of {total} pages left")

        # A reader of its own: the engine's connection stays free, and the counts and the copy come
        # from one snapshot. Read-only, so that it cannot create a file whose name has vanished.
        uri, timeout = file_uri(self._path, "ro"), self.BUSY_TIMEOUT_S
        with closing(self._connect(uri, uri=True, timeout=timeout, isolation_level=None)) as source:
            source.execute("BEGIN")
            before = _census(source)
            with closing(sqlite3.connect(str(target), isolation_level=None)) as copy:
                source.backup(copy, progress=check_deadline)
                # The copy must be one file, complete without a -wal.
                copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            source.execute("ROLLBACK")
        return before

    def _verify_backup(self, target: Path, before: Census) -> None:
        """Raise StoreDamaged unless the copy is intact and holds what the source held."""
        with closing(sqlite3.connect(file_uri(target, "ro"), uri=True, isolation_level=None)) as copy:
            complaint = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if complaint != "ok":
                raise StoreDamaged(f"the copy of {self._path} fails integrity_check: {complaint}; it was not kept")
            after = _census(copy)
        if after != before:
            raise StoreDamaged(f"the copy of {self._path} differs from it: {after}, expected {before}; it was not kept")

    def _next_backup_name(self, directory: Path) -> str:
        assert self._path is not None
        now = datetime.fromtimestamp(self._clock() // 10**9, UTC)
        numbers = [file.number for file in self._own_backups(directory)]
        number = max(numbers, default=0) + 1
        return f"{self._path.name}.{self._identity}-{number:06d}-{now:%Y%m%dT%H%M%SZ}{_SUFFIX}"

    @property
    def _identity(self) -> str:
        return f"{self._created_at:016x}"

    def _own_backups(self, directory: Path) -> list[BackupFile]:
        assert self._path is not None
        found = _backups(directory, self._path.name)
        return sorted((file for file in found if file.store == self._identity), key=lambda file: file.number)

    def _retain(self, directory: Path, keep: int) -> None:
        own = self._own_backups(directory)
        kept = [file for file in own if not file.partial][-keep:]
        for file in own:
            # Also what a killed backup left behind, once `keep` newer ones have been finished.
            if file.number < kept[0].number:
                try:
                    file.path.unlink(missing_ok=True)
                except OSError as error:
                    _log.warning("old backup %s cannot be deleted: %s", file.path, error)


def _backups(directory: Path, database: str) -> Iterator[BackupFile]:
    """The regular files in the directory whose whole name is a backup's of this database."""
    pattern = re.compile(
        rf"{re.escape(database)}\.([0-9a-f]{{16}})-([0-9]{{6,}})-([0-9]{{8}}T[0-9]{{6}}Z){re.escape(_SUFFIX)}"
        rf"({re.escape(_PARTIAL)})?"
    )
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                yield BackupFile(match[3], int(match[2]), match[1], Path(entry.path), match[4] is not None)


def _census(connection: sqlite3.Connection) -> Census:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
    ).fetchall()
    counts = {}
    for (table,) in names:
        quoted = table.replace('"', '""')
        counts[table] = connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
    return schema_version(connection), counts


def _is_good(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(file_uri(path, "ro"), uri=True, isolation_level=None)) as connection:
            ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            return ours and quick_check(connection) is None
    except sqlite3.Error:
        return False


def _directory(directory: object) -> Path:
    value = os.fspath(directory) if isinstance(directory, os.PathLike) else directory
    path = Path(text(value, "directory", 4096) if isinstance(value, str) and value else _no_directory(directory))
    if path.exists() and not path.is_dir():
        raise StoreValidation(f"{path} is not a directory; backups need one")
    return path.absolute()


def _no_directory(directory: object) -> str:
    raise StoreValidation(f"directory must be a path, not {type(directory).__name__}: {directory!r}")


def _sync_directory(directory: Path) -> None:
    # Without this a power loss may take the new name away. Windows has no such call and needs none.
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
