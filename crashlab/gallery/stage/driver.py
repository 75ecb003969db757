"""The SQLite that an actor uses: the standard library's, or an apsw from a directory of its own.

An apsw put somewhere with ``pip install --target`` brings its own SQLite inside, so one exhibit can be played on
many versions without touching this interpreter's.
"""

import importlib
import sqlite3
import sys
from pathlib import Path
from typing import Any

from crashlab.errors import UsageError

__all__ = ["STDLIB", "Driver", "Problem", "find_driver"]

STDLIB = "stdlib"


class Problem(Exception):  # noqa: N818 - SQLite's answer, not a failure of the lab
    """What SQLite answered instead of a result: its extended code's name, and its message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class Driver:
    """The standard library's sqlite3, in autocommit mode: transactions are begun and ended in SQL."""

    version = sqlite3.sqlite_version

    def connect(self, path: str, *, uri: bool = False, busy_s: float = 0.0) -> Any:
        """Open a connection. Raises Problem."""
        try:
            return sqlite3.connect(path, uri=uri, timeout=busy_s, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _stdlib_problem(error) from None

    def execute(self, connection: Any, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Run one statement to its end and return its rows. Raises Problem."""
        try:
            rows: list[tuple[Any, ...]] = connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _stdlib_problem(error) from None
        return rows

    def close(self, connection: Any) -> None:
        """Close a connection. Raises Problem."""
        try:
            connection.close()
        except sqlite3.Error as error:
            raise _stdlib_problem(error) from None


class ApswDriver(Driver):
    """An apsw, with the SQLite inside it."""

    def __init__(self, apsw: Any) -> None:
        self.apsw = apsw
        self.version = apsw.sqlite_lib_version() if hasattr(apsw, "sqlite_lib_version") else apsw.sqlitelibversion()

    def connect(self, path: str, *, uri: bool = False, busy_s: float = 0.0) -> Any:
        """Open a connection. Raises Problem."""
        flags = self.apsw.SQLITE_OPEN_READWRITE | self.apsw.SQLITE_OPEN_CREATE
        try:
            connection = self.apsw.Connection(path, flags=flags | (self.apsw.SQLITE_OPEN_URI if uri else 0))
            connection.setbusytimeout(round(busy_s * 1000))
        except self.apsw.Error as error:
            raise self._problem(error) from None
        return connection

    def execute(self, connection: Any, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Run one statement to its end and return its rows. Raises Problem."""
        try:
            rows: list[tuple[Any, ...]] = connection.cursor().execute(sql, parameters).fetchall()
        except self.apsw.Error as error:
            raise self._problem(error) from None
        return rows

    def close(self, connection: Any) -> None:
        """Close a connection. Raises Problem."""
        try:
            connection.close()
        except self.apsw.Error as error:
            raise self._problem(error) from None

    def _problem(self, error: Any) -> Problem:
        code = getattr(error, "extendedresult", -1)
        names = {**self.apsw.mapping_result_codes, **self.apsw.mapping_extended_result_codes}
        return Problem(str(names.get(code, type(error).__name__)), str(error))


def _stdlib_problem(error: sqlite3.Error) -> Problem:
    name = getattr(error, "sqlite_errorname", None)
    return Problem(name or type(error).__name__, str(error))


def find_driver(text: str) -> Driver:
    """Return the driver that a text names: ``stdlib`` or ``apsw=DIRECTORY``.

    Raises:
        UsageError: no such driver, or no apsw in that directory.
    """
    if text == STDLIB:
        return Driver()
    kind, _, where = text.partition("=")
    if kind != "apsw" or not where:
        raise UsageError(f"--sqlite {text!r}: expected {STDLIB} or apsw=DIRECTORY (from 'pip install --target')")
    directory = Path(where)
    if not (directory / "apsw").is_dir():
        raise UsageError(f"no apsw in {directory}; put one there: pip install --target {directory} apsw==3.51.3.0")
    sys.path.insert(0, str(directory.resolve()))
    try:
        module = importlib.import_module("apsw")
    except ImportError as error:
        raise UsageError(f"the apsw in {directory} cannot be loaded by this Python: {error}") from None
    finally:
        sys.path.remove(str(directory.resolve()))
    if directory.resolve() not in Path(str(module.__file__)).resolve().parents:
        raise UsageError(f"another apsw is loaded already ({module.sqlitelibversion()}); name one version a run")
    return ApswDriver(module)
