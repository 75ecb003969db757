"""Migrations: after a crash at any point, is the program's next start able to finish them?"""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crashlab.api.explored import ExploreResult
from crashlab.engine.workspace import Workspace
from crashlab.engine.writer.record import CHILD, Run
from crashlab.recipes import acts
from crashlab.recipes.ledger import DATABASE
from crashlab.recipes.traced import RESULTS, STATES_DEFAULT, How, play
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.writers.function.places import bind
from crashlab.writers.function.ship import pack
from crashlab.writers.program.launch import Launch, launch

__all__ = ["migration"]

AGAIN_S = 20.0


def migration(
    function: Callable[[Path], Any],
    *,
    make: Callable[[Path], Any],
    faults: str | Sequence[str] = ("kill", "power"),
    states: int = STATES_DEFAULT,
    seed: int = 1,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
    replay: str | Path | None = None,
) -> ExploreResult:
    """Crash `function(path)`, which migrates the database that `make(path)` makes, at every point.

    After each crash the function is called again, as the program's next start would. Invariant `finishes`: it
    succeeds, and the database is then the same (schema, rows, user_version) as without a crash.

    Raises:
        SubjectError: the function, or `make`, itself failed.
    """
    return play(
        "migration",
        function,
        acts.migrating,
        lambda space, run: _Again(space, run, function).judge,
        arguments={"make": make},
        database=DATABASE,
        how=How(faults, states, seed, timeout, results, replay),
    )


class _Again:
    """Runs the migration again on what a crash has left, once for each different content."""

    def __init__(self, space: Workspace, run: Run, function: Callable[..., Any]) -> None:
        self._space = space
        self._call = space.root / "again.call"
        self._call.write_bytes(pack(acts.again, bind(acts.again, {"function": function})))
        self._known: dict[object, Mapping[str, str]] = {}
        laid = space.root / "migrated"
        laid.mkdir()
        with Materialiser(run.trace, space.root / "migrated-states") as files:
            files.export(CrashState(KILL, len(run.trace)), laid)
        self._wanted = _content(laid / DATABASE)

    def judge(self, directory: Path, acked: list[Any]) -> Mapping[str, str]:
        if not acked:
            return {}
        content = _content(directory / DATABASE)
        if content not in self._known:
            self._known[content] = self._run(directory)
        return self._known[content]

    def _run(self, directory: Path) -> Mapping[str, str]:
        area = self._space.make_run()
        work = area / "work"
        try:
            shutil.copytree(directory, work)
            argv = (sys.executable, str(CHILD), str(self._call), str(area / "tmp" / "acked"))
            ran = launch(Launch(argv, str(area), str(work), AGAIN_S, record=False))
            content = _content(work / DATABASE)
        finally:
            shutil.rmtree(area, ignore_errors=True)
        if ran.limit:
            return {"finishes": f"the migration, started again after the crash, does not end: {ran.limit}"}
        if ran.code:
            said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
            return {"finishes": f"the migration, started again after the crash, fails: {said}"}
        if content != self._wanted:
            return {"finishes": "the migration, started again after the crash, ends with another schema or other rows"}
        return {}


def _content(path: Path) -> object:
    """Return schema, rows and version of a private copy, or SQLite's complaint."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        return str(error)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        schema = sorted(map(repr, connection.execute("SELECT type, name, sql FROM sqlite_schema")))
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
        rows = [
            (
                name,
                tuple(sorted(map(repr, connection.execute(f'SELECT * FROM "{name.replace(chr(34), chr(34) * 2)}"')))),
            )
            for name in sorted(tables)
        ]
        check = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    finally:
        connection.close()
    return version, tuple(schema), tuple(rows), check
