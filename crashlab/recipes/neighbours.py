"""A database's neighbours: a forked worker, a second opener in the process, a rotation. Played for real.

What goes wrong here is a matter of locks and names, which no record of writes shows; so each play runs for real, in
processes and a directory of its own, and ends with a kill.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from crashlab.api.explored import CrashFinding, ExploreResult
from crashlab.engine.environment import environment_stamp
from crashlab.engine.program.private_copy import is_database
from crashlab.engine.rundir import make_run_directory
from crashlab.engine.workspace import Workspace
from crashlab.engine.writer.record import CHILD, name_of, own_part, require_outside
from crashlab.errors import SubjectError, UsageError
from crashlab.model.contract import FaultClass
from crashlab.recipes import real_acts
from crashlab.recipes.ledger import DATABASE, read
from crashlab.recipes.real_acts import END, ROWS
from crashlab.writers.function.child import read_acks
from crashlab.writers.function.places import bind
from crashlab.writers.function.ship import pack
from crashlab.writers.program.launch import Launch, launch

__all__ = ["fork", "log_rotation", "second_opener"]

RESULTS = ".crashlab"
PLAYS = 3


def fork(
    function: Callable[[Path, Callable[[Any], None]], Any],
    *,
    plays: int = PLAYS,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
) -> ExploreResult:
    """Play `function(path, job)`, which starts a worker process that calls `job(connection)` and is killed there.

    `job` commits rows on the connection that the worker uses, each acked, while the parent goes on and closes its
    own. Invariant `acked-rows`: every acked row is there afterwards.

    Raises:
        SubjectError: the function itself failed, or never had its worker call `job`.
    """
    return _play("fork", function, real_acts.forking, 2 * ROWS, plays, timeout, results)


def second_opener(
    function: Callable[[Path], Any],
    *,
    plays: int = PLAYS,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
) -> ExploreResult:
    """Play `function(path)`, which looks at a database that the same process has open, as a checksum or a copy does.

    Another program then opens and closes the database, the first one commits more rows and is killed. Invariant
    `acked-rows`: every acked row is there.

    Raises:
        SubjectError: the function itself failed.
    """
    return _play("second_opener", function, real_acts.opening, 2 * ROWS, plays, timeout, results)


def log_rotation(
    function: Callable[[Path], Any],
    *,
    plays: int = PLAYS,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
) -> ExploreResult:
    """Play `function(path)`, which rotates a database that another process has open.

    That process commits more rows, a third program opens the path and commits as well, then the first is killed.
    Invariant `acked-rows`: every acked row is in one of the databases in the directory.

    Raises:
        SubjectError: the function itself failed.
    """
    return _play("log_rotation", function, real_acts.rotating, 2 * ROWS, plays, timeout, results)


def _play(
    recipe: str,
    function: Callable[..., Any],
    act: Callable[..., Any],
    rows: int,
    plays: int,
    timeout: float,
    results: str | Path | None,
) -> ExploreResult:
    __tracebackhide__ = True
    require_outside()
    if not 1 <= plays <= 10_000:
        raise UsageError(f"plays={plays}: expected 1 to 10000")
    subject = f"{recipe}.{name_of(function)}"
    failed = acks = 0
    finding: CrashFinding | None = None
    records: Path | None = None
    with Workspace() as space:
        for _ in range(plays):
            area = space.make_run()
            acked = _run(subject, function, act, rows, area, timeout)
            acks += len(acked)
            problem = _judge(area / "work", acked)
            if problem:
                failed += 1
            if problem and finding is None:
                case = None
                if results is not None:
                    records = make_run_directory(Path(results).absolute(), recipe)
                    case = records / "cases" / "00-recipe-acked-rows"
                    shutil.copytree(area / "kept", case / "evidence")
                finding = CrashFinding(
                    "recipe/acked-rows",
                    FaultClass.INTERFERENCE.value,
                    problem,
                    "kill at the end of the play",
                    f"after the last of {len(acked)} acks",
                    (),
                    DATABASE,
                    1,
                    case,
                )
            shutil.rmtree(area)
        environment = environment_stamp(space.root)
    return ExploreResult(
        subject,
        ("interference",),
        states=plays,
        classes=1,
        recoveries=plays,
        failed=failed,
        acks=acks,
        unit="plays",
        findings=() if finding is None else (replace(finding, states=failed),),
        records=records,
        environment=environment,
    )


def _run(
    subject: str, function: Callable[..., Any], act: Callable[..., Any], rows: int, area: Path, timeout: float
) -> list[Any]:
    """Play once; return the rows that were acked, and in words what went wrong meanwhile."""
    work, call, told = area / "work", area / "play.call", area / "tmp" / "acked"
    work.mkdir()
    call.write_bytes(pack(act, bind(act, {"function": function})))
    argv = (sys.executable, str(CHILD), str(call), str(told))
    ran = launch(Launch(argv, str(area), str(work), timeout, record=False))
    acked = read_acks(told)
    if not acked or acked[-1] != END:
        why = ran.limit or own_part(ran.stderr) or f"exit code {ran.code}"
        raise SubjectError(f"{subject}: the function itself failed:\n{why}")
    if len(acked) - 1 < rows:
        raise SubjectError(
            f"{subject}: {len(acked) - 1} rows were acked, {rows} expected, so the play did not get to its end; fork: "
            f"let the worker call job(connection)\n{own_part(ran.stderr)}"
        )
    shutil.copytree(work, area / "kept")
    return acked[:-1]


def _judge(directory: Path, told: list[Any]) -> str:
    """Return what is wrong with the databases in a directory that nobody has open any more."""
    there: set[int] = set()
    acked = [each for each in told if isinstance(each, int)]
    problems = [f"another program failed on it: {each}" for each in told if isinstance(each, str)]
    for path in sorted(directory.rglob("*")):
        if path.is_file() and (is_database(path) or path.name == DATABASE):
            found = read(path)
            there |= set(found.ids)
            if found.problem and found.problem != "no such table: ledger":
                problems.append(f"{path.name}: {found.problem}")
    lost = [number for number in acked if number not in there]
    if lost:
        problems.insert(0, f"{len(lost)} of {len(acked)} acked rows are nowhere, the first is row {lost[0]}")
    return "; ".join(problems)
