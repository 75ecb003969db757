"""The store's errors: one small tree under `StoreError`."""


class StoreError(Exception):
    """Base of everything the store raises on its own account.

    Errors of SQLite itself during an ordinary read or write (disk full, locked, I/O error) are
    passed on unchanged as `sqlite3.Error`: whether a commit was refused or its outcome is unknown
    is in their `sqlite_errorcode`, and a wrapper would hide it.
    """


class StoreClosed(StoreError):  # noqa: N818
    """The store is not open: it was closed, or `initialize_database()` was never called."""


class StoreDamaged(StoreError):  # noqa: N818
    """The database, or a backup of it, failed a check. The files were left as they were found."""


class StoreIdentity(StoreError):  # noqa: N818
    """The file is not the store's: another program's database, or no longer the file that was opened.

    The latter means that somebody deleted, renamed or replaced the main file, the -wal or the -shm under an
    open store. The store has then stopped for good: it neither reads, writes nor checkpoints. The
    message says where the rows are that it had acknowledged.
    """


class StoreSchemaTooNew(StoreError):  # noqa: N818
    """The database was written by a newer version of this store."""


class StoreValidation(StoreError, ValueError):  # noqa: N818
    """An argument, or a value in a configuration file, is not acceptable."""
