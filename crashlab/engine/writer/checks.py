"""The user's own checks: plain functions on a recovered copy of the database."""

import inspect
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

import msgspec

from crashlab.engine.writer.record import Run
from crashlab.errors import SubjectError, UsageError, did_you_mean
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.writers.function.answers import ask

__all__ = ["ORACLE", "Check", "Checks", "make_checks"]

ORACLE = "check"
_GIVES: Mapping[str, str] = {
    **dict.fromkeys(("db", "connection", "conn", "con"), "connection"),
    **dict.fromkeys(("path", "database", "db_path"), "path"),
    **dict.fromkeys(("directory", "tmp_path"), "directory"),
    **dict.fromkeys(("acked", "acks"), "acked"),
    "fault": "fault",
}
_NOT_YET = ("no such table", "no such column")


class Check(msgspec.Struct, frozen=True):
    """A check: its name, the function, and what each of its parameters gets."""

    name: str
    function: Callable[..., Any]
    gets: dict[str, str]

    @property
    def sees_rows_only(self) -> bool:
        """The same rows and acks give it the same answer; one that looks at other files is asked every time."""
        return "directory" not in self.gets.values()


def make_checks(checks: Callable[..., Any] | Iterable[Callable[..., Any]]) -> tuple[Check, ...]:
    """Look at the signatures of checks.

    Raises:
        UsageError: no function, a name twice, or a parameter that nothing is known for.
    """
    found = [_check(function) for function in ((checks,) if callable(checks) else checks)]
    names = [check.name for check in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"checks: {name!r} is there twice; a finding is told by its check's name")
    return tuple(found)


def _check(function: Any) -> Check:
    if not callable(function):
        raise UsageError(f"checks: {function!r}: expected a function that takes the recovered database")
    name = str(getattr(function, "__name__", type(function).__name__))
    gets = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in _GIVES:
            gets[parameter.name] = _GIVES[parameter.name]
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise UsageError(
                f"check {name}: nothing is known for its parameter {parameter.name!r}; there are: "
                f"{', '.join(_GIVES)}{did_you_mean(parameter.name, _GIVES)}"
            )
    return Check("check" if name == "<lambda>" else name, function, gets)


class Checks:
    """Runs checks on crash states of one run; `scratch` must not exist yet.

    `applied`: how often each check had something to look at. Before anything is acked a check that meets no table
    yet has not.
    """

    def __init__(self, run: Run, checks: tuple[Check, ...], database: str, subject: str, scratch: Path) -> None:
        self.applied = dict.fromkeys((check.name for check in checks), 0)
        self._run, self._checks, self._database, self._subject = run, checks, database, subject
        self._scratch = scratch
        self._known: dict[tuple[str, bytes, int, str], str] = {}

    def require_sound(self) -> None:
        """Run every check on what the writer left without a crash.

        Raises:
            SubjectError: one fails there.
        """
        end = CrashState(KILL, len(self._run.trace))
        for finding in self.judge(end, b"", FaultClass.PROCESS_DEATH):
            raise SubjectError(
                f"check {finding.identity.invariant} fails on the database as the writer left it, with no fault: "
                f"{finding.message}"
            )
        for name, times in self.applied.items():
            if not times:
                raise SubjectError(f"check {name} finds nothing to look at, even after the writer's end")

    def judge(self, state: CrashState, digest: bytes, fault_class: FaultClass) -> list[Finding]:
        """Run the checks on a state, recovered in a directory of its own; `digest` stands for its rows, b"" unknown."""
        found = []
        acked = self._run.acked(state.op)
        fault = "kill" if fault_class is FaultClass.PROCESS_DEATH else "power"
        for check in self._checks:
            key = (check.name, digest, len(acked), fault)
            problem = self._known.get(key) if digest and check.sees_rows_only else None
            if problem is None:
                problem = self._known[key] = self._one(check, state, acked, fault)
            else:
                self.applied[check.name] += 1
            if problem:
                found.append(Finding(Identity(ORACLE, check.name, self._subject, fault_class.value), problem))
        return found

    def _one(self, check: Check, state: CrashState, acked: list[Any], fault: str) -> str:
        laid = self._scratch / "laid"
        laid.mkdir(parents=True)
        try:
            with Materialiser(self._run.trace, self._scratch / "states") as files:
                files.export(state, laid)
            return self._call(check, laid, acked, fault)
        finally:
            rmtree(self._scratch, ignore_errors=True)

    def _call(self, check: Check, laid: Path, acked: list[Any], fault: str) -> str:
        path = laid / self._database
        gives: dict[str, Any] = {"path": path, "directory": laid, "acked": list(acked), "fault": fault}
        connection = sqlite3.connect(path, isolation_level=None)
        gives["connection"] = connection
        try:
            if "connection" not in check.gets.values():
                connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
                connection.close()
            return ask(check.function, check.gets, gives)
        except Exception as error:
            early = isinstance(error, sqlite3.OperationalError) and str(error).startswith(_NOT_YET)
            if early and not acked:
                self.applied[check.name] -= 1
                return ""
            return f"it raised {type(error).__name__}: {error}"
        finally:
            self.applied[check.name] += 1
            connection.close()
