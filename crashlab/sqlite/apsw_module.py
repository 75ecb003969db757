"""`apsw` in the shape of `sqlite3`, so that a workload runs on another SQLite than this Python's.

apsw's wheels carry a SQLite of their own, linked in statically (https://pypi.org/project/apsw/): the version is the
directory's. Only what a workload uses of the DB-API is here; errors are those of `sqlite3`, by SQLite's own code, so
that a program that catches `sqlite3.OperationalError` does. Not here: converters, row factories, user functions.
"""

import ctypes
import functools
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, Self, TypeVar

from crashlab.errors import UsageError
from crashlab.sqlite.tap.layout import Vfs

__all__ = ["ApswBindings", "has_apsw", "import_apsw", "load_apsw"]

_FCNTL_VFS_POINTER = 27  # https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html
_OPERATIONAL = frozenset({1, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 17, 22, 23})
_CONSTRAINT, _MISUSE = 19, 21
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_apsw: Any = None


def load_apsw(directory: str) -> ModuleType:
    """Import apsw from a directory (made with `pip install --target`), and return it in the shape of `sqlite3`.

    Raises:
        UsageError: there is no apsw in it, or another one is loaded already.
    """
    global _apsw
    _apsw = import_apsw(directory)
    if Path(_apsw.__file__).resolve().parent.parent != Path(directory).resolve():
        raise UsageError(f"{directory}: another apsw is loaded already, from {Path(_apsw.__file__).parent.parent}")
    module = sys.modules[__name__]
    vars(module).update(sqlite_version=_apsw.sqlite_lib_version(), sqlite_source_id=_apsw.sqlite3_sourceid())
    return module


def has_apsw(directory: str) -> bool:
    """Whether an apsw was put into a directory (`pip install --target DIR apsw`)."""
    return (Path(directory) / "apsw").is_dir()


def import_apsw(directory: str, *, beside: bool = False) -> Any:
    """Import apsw itself from a directory. `beside`: though another one is loaded, which keeps its name.

    Raises:
        UsageError: there is none.
    """
    path = str(Path(directory).resolve())
    if not has_apsw(path):
        raise UsageError(f"{directory}: no apsw here; expected a directory made with `pip install --target DIR apsw`")
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if beside and name.partition(".")[0] == "apsw"}
    sys.path.insert(0, path)
    try:
        return import_module("apsw")
    except ImportError as error:
        raise UsageError(f"{directory}: apsw does not import ({error})") from None
    finally:
        sys.path.remove(path)
        sys.modules.update(others)


threadsafety = 1
Error = sqlite3.Error


def _translated(call: Callable[_P, _R]) -> Callable[_P, _R]:
    @functools.wraps(call)
    def translated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return call(*args, **kwargs)
        except _apsw.Error as error:
            raise _as_sqlite3(error) from None

    return translated


def _as_sqlite3(error: Any) -> sqlite3.Error:
    code = getattr(error, "result", _MISUSE)
    kind: type[sqlite3.Error] = sqlite3.DatabaseError
    if code in _OPERATIONAL:
        kind = sqlite3.OperationalError
    elif code == _CONSTRAINT:
        kind = sqlite3.IntegrityError
    elif code == _MISUSE:
        kind = sqlite3.ProgrammingError
    found = kind(str(error).partition(": ")[2] or str(error))
    found.sqlite_errorcode = getattr(error, "extendedresult", code)
    found.sqlite_errorname = type(error).__name__
    return found


class Cursor:
    """As `sqlite3.Cursor`."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._cursor = connection.apsw_connection.cursor()
        self.rowcount = -1

    @_translated
    def execute(self, sql: str, parameters: Any = ()) -> Self:
        """As `sqlite3.Cursor.execute`; a statement more after the first is run, too."""
        self.connection.begin_before(sql)
        self._cursor.execute(sql, parameters)
        self.rowcount = self.connection.apsw_connection.changes() if _word(sql) in _WRITES else -1
        return self

    @_translated
    def executemany(self, sql: str, parameters: Iterable[Any]) -> Self:
        """As `sqlite3.Cursor.executemany`."""
        self.connection.begin_before(sql)
        self._cursor.executemany(sql, parameters)
        return self

    @_translated
    def fetchone(self) -> Any:
        """As `sqlite3.Cursor.fetchone`."""
        return next(self._cursor, None)

    @_translated
    def fetchall(self) -> list[Any]:
        """As `sqlite3.Cursor.fetchall`."""
        return list(self._cursor)

    @_translated
    def fetchmany(self, size: int = 1) -> list[Any]:
        """As `sqlite3.Cursor.fetchmany`."""
        return [row for _, row in zip(range(size), self._cursor, strict=False)]

    @property
    def lastrowid(self) -> int:
        """As `sqlite3.Cursor.lastrowid`."""
        return int(self.connection.apsw_connection.last_insert_rowid())

    def __iter__(self) -> Iterator[Any]:
        return self

    @_translated
    def __next__(self) -> Any:
        return next(self._cursor)

    def close(self) -> None:
        """As `sqlite3.Cursor.close`."""
        self._cursor.close(True)  # noqa: FBT003 - force


class Connection:
    """As `sqlite3.Connection`."""

    @_translated
    def __init__(
        self, database: Any, timeout: float = 5.0, isolation_level: str | None = "", *, uri: bool = False, **_: Any
    ) -> None:
        flags = _apsw.SQLITE_OPEN_READWRITE | _apsw.SQLITE_OPEN_CREATE | (_apsw.SQLITE_OPEN_URI if uri else 0)
        self.apsw_connection = _apsw.Connection(str(database), flags=flags)
        self.apsw_connection.set_busy_timeout(round(timeout * 1000))
        self.isolation_level = isolation_level

    @property
    def in_transaction(self) -> bool:
        """As `sqlite3.Connection.in_transaction`."""
        return not self.apsw_connection.get_autocommit()

    @_translated
    def begin_before(self, sql: str) -> None:
        """Begin the transaction that `sqlite3` begins before a statement that changes rows."""
        if self.isolation_level is not None and not self.in_transaction and _word(sql) in _WRITES:
            self.apsw_connection.execute(f"BEGIN {self.isolation_level}")

    @_translated
    def cursor(self, factory: Any = Cursor) -> Any:
        """As `sqlite3.Connection.cursor`."""
        return factory(self)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """As `sqlite3.Connection.execute`."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Any:
        """As `sqlite3.Connection.executemany`."""
        return self.cursor().executemany(sql, parameters)

    @_translated
    def executescript(self, sql: str) -> Any:
        """As `sqlite3.Connection.executescript`."""
        self.commit()
        cursor = self.cursor()
        cursor._cursor.execute(sql)
        return cursor

    @_translated
    def commit(self) -> None:
        """As `sqlite3.Connection.commit`."""
        if self.in_transaction:
            self.apsw_connection.execute("COMMIT")

    @_translated
    def rollback(self) -> None:
        """As `sqlite3.Connection.rollback`."""
        if self.in_transaction:
            self.apsw_connection.execute("ROLLBACK")

    @_translated
    def close(self) -> None:
        """As `sqlite3.Connection.close`."""
        self.apsw_connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _trace: Any) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()


def connect(*args: Any, factory: Any = Connection, **kwargs: Any) -> Any:
    """As `sqlite3.connect`."""
    return factory(*args, **kwargs)


class ApswBindings:
    """What the tap needs of apsw's SQLite: it exports no symbols, but hands out its VFS (a file control)."""

    where = "apsw"

    def __init__(self, apsw: Any) -> None:
        self._apsw = apsw
        self.version: str = apsw.sqlite_lib_version()
        with_file = apsw.Connection("")
        try:
            found = ctypes.c_void_p()
            if not with_file.file_control("main", _FCNTL_VFS_POINTER, ctypes.addressof(found)) or not found.value:
                raise UsageError("apsw does not hand out its VFS (SQLITE_FCNTL_VFS_POINTER)")
            self._default = found.value
        finally:
            with_file.close()

    def compiled_with(self, option: str) -> bool:
        """Whether a compile option is set."""
        return any(option.removeprefix("SQLITE_") == given.partition("=")[0] for given in self._apsw.compile_options)

    def restart_randomness(self) -> None:
        """Let SQLite's random number generator start anew."""
        self._apsw.randomness(0)

    def file_vfses(self) -> list[int]:
        """Addresses of the VFSes from the default one on that open files as it does."""
        opener, address, found = Vfs.from_address(self._default).xOpen, self._default, []
        while address and address not in found:
            if Vfs.from_address(address).xOpen == opener:
                found.append(address)
            address = Vfs.from_address(address).pNext
        return found


def tap_bindings() -> ApswBindings:
    """What `Tap` asks a module for whose SQLite has no symbols."""
    return ApswBindings(_apsw)


def _word(sql: str) -> str:
    return sql.split(None, 1)[0].upper() if sql.strip() else ""
