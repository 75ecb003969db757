"""Connections that several actors share: one of them is inside SQLite at a time, and between statements others may run.

SQLite holds a connection's mutex from the start of a call to its end. An actor that was stopped inside holds it, and
who then really waited for it would stop the whole schedule, where nobody sees it wait. So in a process that runs
schedules the connections that `sqlite3.connect` makes with `check_same_thread=False`, the only ones that two actors
can use, know who is inside. Before each of their statements lies a point: within a transaction a statement may make
no call at all, and what others do between two of them is what a shared connection is feared for.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crashlab.writers.schedule.decide import Mark
from crashlab.writers.schedule.turns import Turns

__all__ = ["patched_connect"]

_SAME_THREAD, _FACTORY = 4, 5  # where they stand in sqlite3.connect's arguments


class _Inside:
    """Who is inside one connection."""

    __slots__ = ("_turns", "actor")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.actor = -1

    def run(self, call: Callable[..., Any], *arguments: Any, point: bool = True, **options: Any) -> Any:
        """Make a call of the connection once nobody else is inside."""
        turns = self._turns
        if not turns.mine or self.actor == turns.current:
            return call(*arguments, **options)
        if point:
            turns.pass_point(Mark.STATEMENT)
        while self.actor >= 0:
            turns.wait(Mark.LOCK, lambda: self.actor < 0, timed=False)
        self.actor = turns.current
        try:
            return call(*arguments, **options)
        finally:
            self.actor = -1


@contextmanager
def patched_connect(turns: Turns) -> Iterator[None]:
    """Put the guarded `connect` in the place of Python's; a program imported inside uses it."""
    real: Callable[..., sqlite3.Connection] = sqlite3.connect
    classes: dict[type[sqlite3.Connection], type[sqlite3.Connection]] = {}

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        same = kwargs.get("check_same_thread", args[_SAME_THREAD] if len(args) > _SAME_THREAD else True)
        if same:
            return real(*args, **kwargs)
        if len(args) > _FACTORY:
            kwargs["factory"] = args[_FACTORY]
            kwargs |= dict(zip(("cached_statements", "uri"), args[_FACTORY + 1 :], strict=False))
            args = args[:_FACTORY]
        factory = kwargs.pop("factory", sqlite3.Connection)
        if factory not in classes:
            classes[factory] = _guarded(factory, turns)
        return real(*args, factory=classes[factory], **kwargs)

    places: list[Any] = [sqlite3, sqlite3.dbapi2]
    for place in places:
        place.connect = connect
    try:
        yield
    finally:
        for place in places:
            place.connect = real


def _guarded(base: type[sqlite3.Connection], turns: Turns) -> type[sqlite3.Connection]:
    cursors: dict[type[sqlite3.Cursor], type[sqlite3.Cursor]] = {}

    class GuardedConnection(base):  # type: ignore[valid-type,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._inside = _Inside(turns)
            super().__init__(*args, **kwargs)

        def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
            if not isinstance(factory, type):
                return super().cursor(factory)
            if factory not in cursors:
                cursors[factory] = _guarded_cursor(factory)
            return super().cursor(cursors[factory])

        # CPython's own shortcuts make their cursor in C, past the overridden cursor().
        def execute(self, *args: Any) -> Any:
            return self.cursor().execute(*args)

        def executemany(self, *args: Any) -> Any:
            return self.cursor().executemany(*args)

        def executescript(self, *args: Any) -> Any:
            return self.cursor().executescript(*args)

        def commit(self) -> None:
            self._inside.run(super().commit)

        def rollback(self) -> None:
            self._inside.run(super().rollback)

        def backup(self, *args: Any, **kwargs: Any) -> None:
            self._inside.run(super().backup, *args, **kwargs)

        def close(self) -> None:
            self._inside.run(super().close)

        def __exit__(self, *exc_info: Any) -> Any:
            return self._inside.run(super().__exit__, *exc_info)

    return GuardedConnection


def _guarded_cursor(base: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
    class GuardedCursor(base):  # type: ignore[valid-type,misc]
        def execute(self, *args: Any) -> Any:
            return self.connection._inside.run(super().execute, *args)

        def executemany(self, *args: Any) -> Any:
            return self.connection._inside.run(super().executemany, *args)

        def executescript(self, *args: Any) -> Any:
            return self.connection._inside.run(super().executescript, *args)

        # Fetching goes on with a statement: a step of it may read pages, and stop there.
        def fetchone(self) -> Any:
            return self.connection._inside.run(super().fetchone, point=False)

        def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
            return self.connection._inside.run(super().fetchmany, *args, point=False, **kwargs)

        def fetchall(self) -> Any:
            return self.connection._inside.run(super().fetchall, point=False)

        def __next__(self) -> Any:
            return self.connection._inside.run(super().__next__, point=False)

    return GuardedCursor
