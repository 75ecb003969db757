"""The unkilled runs: how long the program takes, what it does, and what is wrong with it before anything is killed."""

import os
import re
from pathlib import Path

import msgspec

from crashlab.engine.program.kills.keeper_client import KeeperClient
from crashlab.engine.program.kills.moments import Timing
from crashlab.engine.program.kills.orders import Judged, KeeperOrder, Reference
from crashlab.engine.program.kills.survey import reference_of
from crashlab.errors import LabError, LimitError
from crashlab.writers.tree.confine import confinement_problem
from crashlab.writers.tree.run import TIME_LIMIT

__all__ = ["Learned", "learn"]

PLAIN_RUNS = 2
AGAIN_BELOW_S = 3.0
"""A program that takes longer is run once less, twice less if it is no Python; the first run is a guarded one."""
_DATABASE_LIKE = re.compile(r"(/[^\s:=]+\.(?:db3?|sqlite3?))$")


class Learned(msgspec.Struct, frozen=True):
    """What the unkilled runs showed. `reference`: None where there is nothing to judge, and `missed` says why.

    `notes`: what is to be told.
    """

    reference: Reference | None
    missed: str
    timing: Timing
    notes: tuple[str, ...]


def learn(keeper: KeeperClient, order: KeeperOrder) -> Learned:
    """Run the program without a kill: once guarded, then plainly if it is a Python or does not take long.

    Raises:
        LabError: what it does cannot be judged, or is not to be done; the message says what to do.
        LimitError: it met a limit other than that of its time.
    """
    order = msgspec.structs.replace(order, signal=0, reference=None)
    first = keeper.run(msgspec.structs.replace(order, area=f"{order.area}-first", hooked=True, restart=()))
    _refuse(first, order)
    runs = [first]
    long = first.ran.end_us > AGAIN_BELOW_S * 1e6
    if not long or first.pythons or order.restart:
        for number in range(1 if long else PLAIN_RUNS):
            runs.append(keeper.run(msgspec.structs.replace(order, area=f"{order.area}-{number}")))
            _refuse(runs[-1], order)
    last = runs[-1]
    timing = _timing([each for each in runs if not each.pythons] or runs)
    ran, seen = last.ran, last.survey
    if seen is None:
        raise LabError("an unkilled run was not surveyed; this is a defect of crashlab")
    if seen.unsound:
        name, problem = seen.unsound[0]
        raise LabError(f"{name} is malformed after a run that nobody killed: {problem}; the lab judges kills")
    if not seen.changed:
        return Learned(None, _missed(last, order), timing, ())
    if last.findings:
        raise LabError(f"after a run that nobody killed {last.findings[0].message}; give a restart that works then")
    if last.problem:
        raise LabError(last.problem)
    surveys = [each.survey for each in runs if each.survey is not None]
    reference = reference_of(surveys, acked=bool(ran.acked))
    return Learned(reference, "", timing, _notes(first, last, order))


def _timing(runs: list[Judged]) -> Timing:
    """Return the earliest of each moment: what disturbs a run, and the look at it, makes them later."""
    opened = [each.ran.opened_us for each in runs if each.ran.opened_us >= 0]
    gaps = [(each.ran.end_us - each.ran.acked[0].us) // len(each.ran.acked) for each in runs if each.ran.acked]
    return Timing(
        min(opened, default=-1),
        min(each.ran.end_us for each in runs),
        min((len(each.ran.acked) for each in runs), default=0),
        min(gaps, default=0),
    )


def _refuse(judged: Judged, order: KeeperOrder) -> None:
    """Raise for what is not to be done to the user's data, and for limits."""
    ran = judged.ran
    mapped = "point it into its working directory, by {dir} in the command or by --map"
    databases = [(path, what) for path, what in judged.refused if "database" in what]
    if confinement_problem():
        databases = list(judged.refused)  # nothing else keeps the killed runs from it
    if databases:
        path, what = databases[0]
        raise LabError(
            f"the program's {path} was to be {what}, outside the private copy, and was refused: {mapped} "
            f"{path}={Path(path).name}"
        )
    if ran.elsewhere:
        path = ran.elsewhere[0]
        raise LabError(
            f"the program opened the database {path}, outside the private copy, and was ended: {mapped} "
            f"{path}={Path(path).name}"
        )
    if ran.limit and not ran.limit.startswith(TIME_LIMIT):
        raise LimitError(f"the program without a kill: {ran.limit}; give it less to do, or let it write less")
    if judged.work_gone:
        raise LabError("the program removed its working directory, and with it all that could be judged")
    changed = judged.survey is not None and any(name in judged.survey.check for name in judged.survey.changed)
    if ran.code and not ran.limit and not changed and (judged.survey is None or not judged.survey.unsound):
        raise LabError(_failed(judged, order))


def _failed(judged: Judged, order: KeeperOrder) -> str:
    ran = judged.ran
    said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
    how = f"exit code {ran.code}" if ran.code > 0 else f"signal {-ran.code}"
    text = f"the program fails without a kill, with {how}: {said}; it gets an empty standard input and no terminal"
    if not confinement_problem():
        text += ", and may write below its working directory and TMPDIR only"
    if judged.refused:
        text += f" ({judged.refused[0][0]} was to be {judged.refused[0][1]})"
    for word in (*order.argv, *os.environ.values()):
        found = _DATABASE_LIKE.search(word)
        if found and not found[1].startswith(order.theirs):
            text += f"; {found[1]} is outside: write {{dir}}/{Path(found[1]).name}"
            break
    return text


def _missed(judged: Judged, order: KeeperOrder) -> str:
    ran = judged.ran
    text = "the program committed nothing to a database in its working directory; there is nothing to judge"
    elsewhere = [path for path in ran.opened if f"/{order.area.rpartition('/')[2]}" in path and "/tmp/" in path]
    if elsewhere:
        text += f" (it used {Path(elsewhere[0]).name} in its TMPDIR, which is not judged)"
    elif ran.opened:
        text += f" (it opened {Path(ran.opened[0]).name})"
    return text + (f"; {ran.limit}" if ran.limit else f"; it ended after {ran.end_us / 1000:.1f} ms")


def _notes(first: Judged, last: Judged, order: KeeperOrder) -> tuple[str, ...]:
    ran = last.ran
    notes = []
    if ran.limit:
        notes.append(f"without a kill {ran.limit}; the kills fall within that time")
    elif ran.code:
        said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        notes.append(f"without a kill the program ends with exit code {ran.code}: {said}")
    if ran.left:
        notes.append("the program leaves processes behind; it counts as running until the last has ended")
    if first.refused:
        path, what = first.refused[0]
        notes.append(f"{path} was to be {what}, outside the private copy, and was refused")
    if confinement_problem():
        notes.append(
            f"{confinement_problem()}, so nothing keeps the program from writing elsewhere"
            "; the lab looks at which databases it has open"
        )
    if order.ack_on and not ran.acked:
        notes.append(f"no line of output matched --ack-on {order.ack_on!r} without a kill, so no ack is judged")
    return tuple(notes)
