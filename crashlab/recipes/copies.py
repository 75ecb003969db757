"""Backups, folders kept in sync, and restores: is the *copy* what it claims to be?"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crashlab.api.explored import ExploreResult
from crashlab.recipes import acts
from crashlab.recipes.acts import BEGIN, DONE, ROWS
from crashlab.recipes.ledger import DATABASE, read
from crashlab.recipes.traced import RESULTS, STATES_DEFAULT, How, play

__all__ = ["backup", "restore", "sync_folder"]


def backup(
    function: Callable[[Path, Path], Any],
    *,
    faults: str | Sequence[str] = ("kill", "power"),
    states: int = STATES_DEFAULT,
    seed: int = 1,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
    replay: str | Path | None = None,
) -> ExploreResult:
    """Crash `function(source, target)`, which backs up a database that another process is writing to, at every point.

    Invariants: `claimed`: once it has returned, the backup is there. `acked-rows`: then it is sound, and has every
    row that was acked before it began. `complete`: one that was interrupted has not its final name, or is
    complete. `states`: crash states under each fault.

    Raises:
        SubjectError: the function itself failed.
    """
    return play(
        "backup",
        function,
        acts.copying,
        lambda _space, _run: lambda directory, acked: _judge_copy(directory / "copy" / DATABASE, acked),
        arguments={"source": f"live/{DATABASE}", "target": f"copy/{DATABASE}", "times": 1},
        database=f"live/{DATABASE}",
        how=How(faults, states, seed, timeout, results, replay),
    )


def sync_folder(
    function: Callable[[Path, Path], Any],
    *,
    faults: str | Sequence[str] = ("kill", "power"),
    states: int = STATES_DEFAULT,
    seed: int = 1,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
    replay: str | Path | None = None,
) -> ExploreResult:
    """Crash `function(source, target)`, which brings one directory with a live database to another, twice in a row.

    Invariants as of `backup`, for the database of the same name in the target; an interrupted second time may leave
    the first one's.

    Raises:
        SubjectError: the function itself failed.
    """
    return play(
        "sync_folder",
        function,
        acts.copying,
        lambda _space, _run: lambda directory, acked: _judge_copy(directory / "copy" / DATABASE, acked),
        arguments={"source": "live", "target": "copy", "times": 2},
        database=f"live/{DATABASE}",
        how=How(faults, states, seed, timeout, results, replay),
    )


def restore(
    function: Callable[[Path, Path], Any],
    *,
    faults: str | Sequence[str] = ("kill", "power"),
    states: int = STATES_DEFAULT,
    seed: int = 1,
    timeout: float = 60.0,
    results: str | Path | None = RESULTS,
    replay: str | Path | None = None,
) -> ExploreResult:
    """Crash `function(backup, target)`, which puts a backup in the place of a database, at every point.

    The database has a WAL beside it, as a killed program leaves one. Invariants: `restored`: once the function has
    returned, the database holds the backup's rows and no other. `one-or-the-other`: before, it holds its old rows
    or the backup's, never a mixture.

    Raises:
        SubjectError: the function itself failed.
    """
    return play(
        "restore",
        function,
        acts.restoring,
        lambda _space, _run: _judge_restored,
        arguments={},
        database=DATABASE,
        how=How(faults, states, seed, timeout, results, replay),
    )


def _judge_copy(copy: Path, acked: list[Any]) -> Mapping[str, str]:
    begun = [known for word, known in acked if word == BEGIN]
    done = [known for word, known in acked if word == DONE]
    if not begun:
        return {}
    if not copy.exists():
        return {"claimed": f"the function has returned, and there is no {copy.name}"} if done else {}
    wanted = done[-1] if done else begun[0]
    there = read(copy)
    lacking = wanted - sum(number <= wanted for number in there.ids)
    problem = there.problem
    if not problem and lacking:
        problem = f"it lacks {lacking} of the {wanted} rows that were acked before the copy began"
    if not problem and there.ids != tuple(range(1, len(there.ids) + 1)):
        problem = f"its rows have gaps: {len(there.ids)} rows up to number {there.ids[-1]}"
    if not problem:
        return {}
    if done and len(done) == len(begun):
        return {"acked-rows": f"the function has returned, and {copy.name} is no copy: {problem}"}
    return {"complete": f"an interrupted copy has the final name {copy.name}, and is none: {problem}"}


def _judge_restored(directory: Path, acked: list[Any]) -> Mapping[str, str]:
    if not acked:
        return {}
    path = directory / DATABASE
    if not path.exists():
        return {"restored" if len(acked) > 1 else "one-or-the-other": f"there is no {DATABASE}"}
    saved = read(path, "saved")
    if not saved.problem and saved.ids == tuple(range(1, ROWS + 1)):
        return {}
    old = read(path, "old")
    if len(acked) > 1:
        what = "still holds its old rows" if not old.problem else saved.problem or f"has {len(saved.ids)} rows"
        return {"restored": f"the function has returned, and {DATABASE} {what}; expected the backup's {ROWS} rows"}
    if not old.problem and old.ids == tuple(range(1, 2 * ROWS + 1)):
        return {}
    return {
        "one-or-the-other": f"{DATABASE} is neither the old one nor the backup: {old.problem or 'rows are missing'}"
    }
