"""Every hazard there is: why it hurts, and what to do instead."""

from typing import NamedTuple

from crashlab.diagnosis.hazards.hazard import Severity

_LOCKS = (
    "Closing any descriptor of a file cancels all POSIX locks that this process holds on it, whoever opened it. "
    "Another process then takes itself for the last one, checkpoints, and deletes the -wal under this process: "
    "later commits are acknowledged and lost."
)
_ORPHAN = (
    "Open connections go on with the old file, which nobody else can see any more. What they commit is "
    "acknowledged and lost, or written over the newer file by a later checkpoint."
)


class Kind(NamedTuple):
    """One kind of hazard. `link`: where SQLite, or the system, says so."""

    severity: Severity
    title: str
    why: str
    instead: str
    link: str = ""


_CORRUPT = "https://sqlite.org/howtocorrupt.html"

KINDS: dict[str, Kind] = {
    "stray-open": Kind(
        Severity.DANGER,
        "a live database file was opened outside SQLite",
        _LOCKS,
        "Read facts through SQLite (PRAGMA application_id, page_count) or by path with os.stat; read bytes in another "
        "process, or after all connections are closed; copy with Connection.backup or VACUUM INTO.",
        f"{_CORRUPT}#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_",
    ),
    "copied-while-open": Kind(
        Severity.DANGER,
        "a live database file was copied",
        "The copy lacks what is still in the -wal, or mixes two moments, and passes integrity_check all the same. "
        + _LOCKS,
        "Copy with Connection.backup or VACUUM INTO.",
        f"{_CORRUPT}#_backup_or_restore_while_a_transaction_is_active",
    ),
    "truncated-while-open": Kind(
        Severity.DANGER,
        "a live database file was truncated or opened for overwriting",
        "Pages that SQLite counts on are gone; a shortened -shm kills every process that has it mapped (SIGBUS).",
        "Empty tables with DELETE and VACUUM; shorten a -wal with PRAGMA wal_checkpoint(TRUNCATE); "
        "make a new database under a new name.",
        _CORRUPT,
    ),
    "removed-while-open": Kind(
        Severity.DANGER,
        "a live database file was removed",
        _ORPHAN,
        "Close every connection first, then remove main file, -wal and -shm together. Never remove a -wal to 'unlock'.",
        f"{_CORRUPT}#_unlinking_or_renaming_a_database_file_while_in_use",
    ),
    "renamed-while-open": Kind(
        Severity.DANGER,
        "a live database file was renamed away",
        _ORPHAN + " The -wal and the -journal keep their old names and are no longer found.",
        "Close every connection first; for a copy under another name use Connection.backup or VACUUM INTO.",
        f"{_CORRUPT}#_unlinking_or_renaming_a_database_file_while_in_use",
    ),
    "replaced-while-open": Kind(
        Severity.DANGER,
        "a live database file was replaced by another file",
        _ORPHAN + " A -wal that stays behind is replayed into the new main file.",
        "Restore through SQLite, into the open database (Connection.backup the other way round), or close every "
        "connection and replace main file and -wal together.",
        f"{_CORRUPT}#_unlinking_or_renaming_a_database_file_while_in_use",
    ),
    "used-after-fork": Kind(
        Severity.DANGER,
        "a connection was carried across a fork",
        "A child inherits descriptors but no locks. Two processes then write as if one, and the first that closes "
        "deletes the -wal under the other.",
        "Open connections after the fork, in the process that uses them; with multiprocessing use the start method "
        "'spawn' or 'forkserver'.",
        f"{_CORRUPT}#_carrying_an_open_database_connection_across_a_fork_",
    ),
    "two-libraries": Kind(
        Severity.DANGER,
        "two SQLite libraries have the same database open in one process",
        "Each library keeps its own list of who has the file open. When one closes it, the other's POSIX locks are "
        "gone, and it believes itself the last and deletes the -wal.",
        "Use one SQLite library for each file in a process, or open the file in another process.",
        f"{_CORRUPT}#_multiple_copies_of_sqlite_linked_into_the_same_application",
    ),
    "unlocked-uri": Kind(
        Severity.DANGER,
        "immutable=1 or nolock=1 on a database that changes",
        "Such a connection takes no locks and sees no changes. With immutable=1 it also ignores the -wal: it returns "
        "old rows, wrong rows, or 'malformed'. A writer with nolock=1 beside another one damages the file.",
        "Read with mode=ro. Keep immutable=1 for files that nobody writes, such as a copy.",
        "https://sqlite.org/uri.html#uriimmutable",
    ),
    "network-file-system": Kind(
        Severity.DANGER,
        "a database on a network or user-space file system",
        "WAL needs shared memory and locks that every opener sees, and such file systems do not give them: "
        "two openers damage the file within minutes.",
        "Keep the live database on a local disk, and copy backups there.",
        "https://sqlite.org/useovernet.html",
    ),
    "sync-folder": Kind(
        Severity.DANGER,
        "a live database inside a folder that a program synchronises",
        "Main file, -wal and -shm are uploaded and replaced one by one, while SQLite has them open.",
        "Keep the live database outside, and let a backup (Connection.backup, VACUUM INTO) be synchronised.",
        _CORRUPT,
    ),
    "wal-deleted": Kind(
        Severity.DANGER,
        "a -wal was removed before its database was opened",
        "Commits live in the -wal until a checkpoint copies them. Without it the database opens without an error and "
        "is as old as its last checkpoint.",
        "Never remove a -wal by itself. Opening and closing the database with SQLite removes it when nothing "
        "depends on it.",
        "https://sqlite.org/walformat.html",
    ),
    "empty-main": Kind(
        Severity.DANGER,
        "an empty main file beside a -wal with commits",
        "SQLite takes the database for new and deletes the -wal at the first statement. Every commit in it is then "
        "gone for good, and the database looks healthy.",
        "Stop and copy main file, -wal and -shm before anything opens them. Then find out who emptied the main file.",
        "https://sqlite.org/walformat.html",
    ),
    "dropped-transaction": Kind(
        Severity.DANGER,
        "a connection was closed with changes that were never committed",
        "sqlite3 opens a transaction by itself before INSERT, UPDATE and DELETE, and close() does not commit it. "
        "The rows are gone without an error.",
        "Call commit(), or write inside 'with connection:'; to discard on purpose, call rollback() before close().",
        "https://docs.python.org/3/library/sqlite3.html#transaction-control",
    ),
    "synchronous-off": Kind(
        Severity.RISK,
        "writes with synchronous=OFF",
        "A killed process loses nothing, but after a power loss or a crash of the system commits may be gone and the "
        "file may be malformed.",
        "PRAGMA synchronous=NORMAL with WAL costs next to nothing and keeps the file sound; FULL keeps every commit.",
        "https://sqlite.org/pragma.html#pragma_synchronous",
    ),
    "wal-reset": Kind(
        Severity.RISK,
        "two writers on a SQLite with the WAL-reset bug",
        "When one connection checkpoints at the instant another resets the -wal, later frames count as checkpointed "
        "and acknowledged commits disappear.",
        "Use SQLite 3.51.3 or later (or 3.50.7, 3.44.6); until then one connection that writes and checkpoints.",
        "https://sqlite.org/wal.html#walresetbug",
    ),
    "checkpoint-starved": Kind(
        Severity.RISK,
        "checkpoints that never complete",
        "A read transaction keeps checkpoints from getting past its snapshot, and PASSIVE reports that as success. "
        "The -wal grows without end: slow reads, a full disk, a shutdown that takes too long and is killed.",
        "Read cursors to their end, commit or close readers soon, and compare the last two numbers that "
        "PRAGMA wal_checkpoint returns.",
        "https://sqlite.org/wal.html#avoiding_excessively_large_wal_files",
    ),
    "unsynced-rename": Kind(
        Severity.RISK,
        "a file was renamed beside a live database without a sync of the directory",
        "After a power loss the old name may be back although rows already speak of the new one.",
        "After os.replace, open the directory, os.fsync it and close it.",
        "https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai",
    ),
}
"""By id."""
