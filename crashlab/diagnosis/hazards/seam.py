"""Hearing of every connection that SQLite opens and closes, without a part in anything else it does.

`sqlite3_auto_extension` calls back for each new connection (https://sqlite.org/c3ref/auto_extension.html),
`sqlite3_trace_v2` with SQLITE_TRACE_CLOSE when one is about to be closed, before its transaction is rolled back
(https://sqlite.org/c3ref/c_trace.html). Nothing is called for a statement, a commit or a checkpoint, so those cost
nothing. No method of the VFS is replaced: a callback that a signal strikes loses a notice, never a call of SQLite.
"""

import contextlib
import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crashlab.errors import TapUnavailableError
from crashlab.sqlite.tap.library import find_bindings

_TRACE_STATEMENT, _TRACE_CLOSE = 0x01, 0x08
_ROW, _OK = 100, 0
_TXN_WRITE = 2
_SCHEMA_USED = 2
_P, _INT = ctypes.c_void_p, ctypes.c_int
_ENTRY = ctypes.CFUNCTYPE(_INT, _P, _P, _P)
_TRACE = ctypes.CFUNCTYPE(_INT, ctypes.c_uint, _P, _P, _P)

# Name: (result, arguments). All are called with the GIL held: none of them waits for another Python thread.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "auto_extension": (_INT, (_P,)),
    "cancel_auto_extension": (_INT, (_P,)),
    "trace_v2": (_INT, (_P, ctypes.c_uint, _P, _P)),
    "db_filename": (ctypes.c_char_p, (_P, ctypes.c_char_p)),
    "uri_boolean": (_INT, (_P, ctypes.c_char_p, _INT)),
    "get_autocommit": (_INT, (_P,)),
    "total_changes": (_INT, (_P,)),
    "txn_state": (_INT, (_P, ctypes.c_char_p)),
    "db_status": (_INT, (_P, _INT, _P, _P, _INT)),
    "set_authorizer": (_INT, (_P, _P, _P)),
    "progress_handler": (None, (_P, _INT, _P, _P)),
    "prepare_v2": (_INT, (_P, ctypes.c_char_p, _INT, _P, _P)),
    "step": (_INT, (_P,)),
    "column_int": (_INT, (_P, _INT)),
    "finalize": (_INT, (_P,)),
    "db_mutex": (_P, (_P,)),
    "mutex_try": (_INT, (_P,)),
    "mutex_leave": (None, (_P,)),
}


class Opening(NamedTuple):
    """A connection that SQLite has just opened. `path`: of its main file, empty for memory and temporary ones."""

    pointer: int
    path: str


class Closing(NamedTuple):
    """A connection that is about to be closed.

    `changes`: rows changed through it in its life. `unfinished`: it has a write transaction of its own making.
    `at_exit`: the program ends without having closed it.
    """

    pointer: int
    changes: int
    unfinished: bool
    at_exit: bool = False


class Seam:
    """The callbacks in the SQLite behind Python's `sqlite3`. One for a process, made once, never freed.

    `opened`, `closing`, `used` are what is called; None: nobody listens. They run on SQLite's calling thread, must
    not use any database, and are called with a connection that is valid while they last.

    Raises TapUnavailableError where the library cannot be reached, or does not call back.
    """

    def __init__(self) -> None:
        self.opened: Callable[[Opening], None] | None = None
        self.closing: Callable[[Closing], None] | None = None
        self.used: Callable[[int], None] | None = None
        self._functions = _bind()
        self._set_trace, self._filename = self._functions["trace_v2"], self._functions["db_filename"]
        self._name = ctypes.PYFUNCTYPE(_P, _P, ctypes.c_char_p)(ctypes.cast(self._filename, _P).value or 0)
        self._entry = self._immortal(_ENTRY(self._entered))
        self._trace = self._immortal(_TRACE(self._traced))
        self._prove()

    def start(self) -> None:
        """Hear of connections opened from now on."""
        self._functions["auto_extension"](self._entry)

    def stop(self) -> None:
        """Hear of no new ones. Those that are open keep a callback, which does nothing."""
        self._functions["cancel_auto_extension"](self._entry)
        self.opened = self.closing = self.used = None

    def watch_use(self, pointer: int) -> None:
        """Let `used` be called at the next statement. The connection must be open; nothing happens if it is busy."""
        functions = self._functions
        mutex = functions["db_mutex"](pointer)
        # A child forked while another thread held the mutex would wait for ever.
        if not mutex or functions["mutex_try"](mutex) == _OK:
            functions["trace_v2"](pointer, _TRACE_STATEMENT | _TRACE_CLOSE, self._trace, pointer)
            if mutex:
                functions["mutex_leave"](mutex)

    def flag(self, pointer: int, name: bytes) -> bool:
        """Whether a parameter of an open connection's URI is on."""
        return bool(self._functions["uri_boolean"](self._name(pointer, b"main"), name, 0))

    @contextlib.contextmanager
    def asking(self, pointer: int, *, at_exit: bool = False) -> Iterator[Closing | None]:
        """Hold the mutex of a connection that is open, and stays so meanwhile; None if it is busy."""
        functions = self._functions
        mutex = functions["db_mutex"](pointer)
        if mutex and functions["mutex_try"](mutex) != _OK:
            yield None
            return
        try:
            yield self._facts(pointer, at_exit=at_exit)
        finally:
            if mutex:
                functions["mutex_leave"](mutex)

    # -- called by SQLite -------------------------------------------------------------------------------

    def _entered(self, pointer: int, _error: int, _api: int) -> int:
        opened = self.opened
        if opened is not None:
            self._set_trace(pointer, _TRACE_CLOSE, self._trace, pointer)
            path = self._filename(pointer, b"main")
            if path:
                opened(Opening(pointer, os.fsdecode(path)))
        return 0

    def _traced(self, kind: int, pointer: int, _subject: int, _more: int) -> int:
        if kind == _TRACE_CLOSE:
            closing = self.closing
            if closing is not None:
                closing(self._facts(pointer))
        elif kind == _TRACE_STATEMENT:
            self._functions["trace_v2"](pointer, _TRACE_CLOSE, self._trace, pointer)
            if self.used is not None:
                self.used(pointer)
        return 0

    def _facts(self, pointer: int, *, at_exit: bool = False) -> Closing:
        functions = self._functions
        changes = functions["total_changes"](pointer)
        unfinished = False
        if not functions["get_autocommit"](pointer):
            state = functions.get("txn_state")
            unfinished = state is None or state(pointer, b"main") == _TXN_WRITE
        return Closing(pointer, changes, unfinished, at_exit)

    def synchronous(self, pointer: int, closing: bool, /) -> int | None:
        """Ask a connection whose mutex this thread holds for the setting in force; None if it cannot be told.

        With the schema loaded the answer needs no file and no lock.
        """
        functions = self._functions
        now, highest = ctypes.c_int(), ctypes.c_int()
        functions["db_status"](pointer, _SCHEMA_USED, ctypes.byref(now), ctypes.byref(highest), 0)
        if now.value <= 0:
            return None
        if closing:
            # Python has freed the authorizer and the progress handler by now, and SQLite still knows them.
            functions["set_authorizer"](pointer, None, None)
            functions["progress_handler"](pointer, 0, None, None)
        statement = _P()
        if functions["prepare_v2"](pointer, b"PRAGMA main.synchronous", -1, ctypes.byref(statement), None) != _OK:
            return None
        answer: int | None = None
        if functions["step"](statement) == _ROW:
            answer = functions["column_int"](statement, 0)
        functions["finalize"](statement)
        return answer

    # -- making it --------------------------------------------------------------------------------------

    def _prove(self) -> None:
        seen: list[str] = []
        self.closing = lambda _closing: seen.append("close")
        self.opened = lambda _opening: None
        self.start()
        try:
            sqlite3.connect(":memory:").close()
        finally:
            self.stop()
        if seen != ["close"]:
            raise TapUnavailableError(
                f"SQLite {sqlite3.sqlite_version} does not tell of connections: "
                "it was built without automatic extensions or without tracing"
            )

    @staticmethod
    def _immortal(callback: Any) -> int:
        # A connection that outlives this module is closed while the interpreter ends, and calls it still.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(callback))
        return ctypes.cast(callback, _P).value or 0


def _bind() -> dict[str, Any]:
    library = find_bindings(sqlite3).library  # proven to be the one that sqlite3 uses
    functions: dict[str, Any] = {}
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            address = ctypes.cast(getattr(library, f"sqlite3_{name}"), _P).value
        except AttributeError:
            if name == "txn_state":  # since 3.34.0
                continue
            raise TapUnavailableError(
                f"SQLite {sqlite3.sqlite_version} has no sqlite3_{name}: it was built without it"
            ) from None
        functions[name] = ctypes.PYFUNCTYPE(result, *arguments)(address or 0)
    return functions
