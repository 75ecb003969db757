"""Crashing recoveries: at each operation of each, and again in some of those that follow.

Every crash state of a recovery, recovered by the program's own start-up and close, must come to the same
logical content as the recovery that was not crashed: the rows of the declared tables, and a database that
`quick_check` finds sound. Kills leave every prefix, with the write under way torn at some byte. Power losses
are added for states that are what a power loss left (those are durable), where the contract promises
something for one. A start-up that adds a row to a declared table each time that it runs does not converge.
"""

import itertools
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

from crashlab.engine.recovery_crashes.counts import RecoveryCrashes, RecoveryLimits, RecoveryMismatch
from crashlab.engine.recovery_crashes.restarter import Disk, Recorded, Restarter, disk_hash, read_disk
from crashlab.log.trace import TraceKind
from crashlab.model.contract import FaultClass
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS
from crashlab.states.recover import Logical
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

__all__ = ["RecoveryCrasher"]

WITNESSES_KEPT = 20
WITNESS_ROWS = 3
UNSEEN_KEPT = 20
POWER_LOSSES_PER_MOMENT = 3


class _Path(NamedTuple):
    """How a disk came about, for a witness."""

    representative: CrashState
    crashes: tuple[str, ...] = ()
    during: tuple[str, ...] = ()

    def then(self, trace: Trace, state: CrashState) -> "_Path":
        during = trace.describe(state.op) if state.op < len(trace) else "when it had ended"
        return _Path(self.representative, (*self.crashes, str(state)), (*self.during, during))


class _Spent(Exception):  # noqa: N818 - no error: the limit of restarts
    """No more restarts are allowed."""


class RecoveryCrasher:
    """Crashes the recoveries of a trace's crash states.

    `power_loss`: the states are what a power loss left, and another may follow in their recovery. `stop()` is
    asked before each representative. What a disk recovers to is remembered: equal disks are started once.
    """

    def __init__(
        self,
        restarter: Restarter,
        rng: Random,
        limits: RecoveryLimits,
        *,
        fault_class: FaultClass,
        power_loss: bool,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self._restarter = restarter
        self._rng = rng
        self._limits = limits
        self._fault_class = fault_class
        self._power_loss = power_loss
        self._stop = stop or (lambda: False)
        self._known: dict[bytes, Logical] = {}
        self._unseen: set[str] = set()
        self._witnesses: list[RecoveryMismatch] = []
        self._stops: dict[str, None] = {}
        self._count = dict.fromkeys(
            ("representatives", "unsound", "recordings", "operations", "points", "points_deeper", "mismatches"), 0
        )
        self.diverged: set[CrashState] = set()
        """Representatives of which a crashed recovery did not converge."""

    def run(self, trace: Trace, representatives: list[CrashState], scratch: Path) -> RecoveryCrashes:
        """Crash the recoveries of representatives of a trace's crash states, within the limits.

        Raises:
            LabError: a recovery can't be recorded whole, or SQLite can't be tapped.
        """
        exist = len(representatives)
        most = self._limits.representatives
        chosen = sorted(representatives, key=lambda state: state.op)
        if exist > most:
            self._stops[f"{most} of {exist} representatives, evenly spread"] = None
            chosen = [chosen[number * exist // most] for number in range(most)]
        with Materialiser(trace, scratch) as states:
            for state in chosen:
                if self._stop():
                    self._stops["it was told to stop"] = None
                    break
                disk = read_disk(states.show(state))
                try:
                    self._representative(state, disk)
                except _Spent:
                    self._stops[f"the limit of {self._limits.restarts} restarts"] = None
                    break
        return RecoveryCrashes(
            exist=exist,
            **self._count,
            disks=len(self._known),
            restarts=self._restarter.restarts,
            witnesses=tuple(self._witnesses),
            stops=tuple(self._stops),
            unseen=tuple(sorted(self._unseen)[:UNSEEN_KEPT]),
        )

    def _representative(self, state: CrashState, disk: Disk) -> None:
        self._spend()
        recorded = self._restarter.record(disk)
        try:
            if not recorded.logical.sound and "refused" not in recorded.logical.error:
                self._count["unsound"] += 1
                return
            self._count["representatives"] += 1
            path, wanted = _Path(state), recorded.logical
            # The first point is before the first operation: the same disk, recovered without the tap, is its control.
            first = self._crash(recorded, path, wanted, self._points(recorded.trace), "points")
            for crash, inner in self._rng.sample(first, min(len(first), self._limits.deeper)):
                self._deeper(path.then(recorded.trace, crash), inner, wanted)
        finally:
            shutil.rmtree(recorded.directory, ignore_errors=True)

    def _deeper(self, path: _Path, disk: Disk, wanted: Logical) -> None:
        self._spend()
        recorded = self._restarter.record(disk)
        try:
            points = _sampled(_kills(recorded.trace, self._rng), self._limits.deeper_points, self._rng)
            self._crash(recorded, path, wanted, points, "points_deeper")
        finally:
            shutil.rmtree(recorded.directory, ignore_errors=True)

    def _crash(
        self, recorded: Recorded, path: _Path, wanted: Logical, points: list[CrashState], counted: str
    ) -> list[tuple[CrashState, Disk]]:
        """Crash a recovery at points and compare; return those whose disks had not been seen before."""
        trace = recorded.trace
        self._unseen |= recorded.unseen
        self._count["recordings"] += 1
        self._count["operations"] += sum(kind in DATA_KINDS or kind in ENTRY_KINDS for kind in trace.kinds)
        fresh: list[tuple[CrashState, Disk]] = []
        with Materialiser(trace, recorded.directory / "states") as states:
            for point in points:
                disk = read_disk(states.show(point))
                self._count[counted] += 1
                key = disk_hash(disk)
                found = self._known.get(key)
                if found is None:
                    self._spend()
                    found = self._known[key] = self._restarter.restart(disk)
                    fresh.append((point, disk))
                if found.digest != wanted.digest:
                    self._mismatch(path.then(trace, point), wanted, found)
        return fresh

    def _points(self, trace: Trace) -> list[CrashState]:
        points = _kills(trace, self._rng)
        if self._power_loss:
            moments = len(trace) + 1
            for policy, share in ((Policy.SYNCED_ONLY, 1), (Policy.TORN, POWER_LOSSES_PER_MOMENT)):
                model = Model(policy, states_max=share * moments)
                points += crash_states(trace, model, self._rng)
        points = list(dict.fromkeys(points))
        if len(points) > self._limits.points:
            self._stops[f"{self._limits.points} points of a recovery that had more, sampled"] = None
        return _sampled(points, self._limits.points, self._rng)

    def _spend(self) -> None:
        if self._restarter.restarts >= self._limits.restarts:
            raise _Spent

    def _mismatch(self, path: _Path, wanted: Logical, found: Logical) -> None:
        self._count["mismatches"] += 1
        self.diverged.add(path.representative)
        if len(self._witnesses) < WITNESSES_KEPT:
            self._witnesses.append(
                RecoveryMismatch(
                    str(path.representative),
                    self._fault_class.value,
                    path.crashes,
                    path.during,
                    _only_in(wanted, found),
                    _only_in(found, wanted),
                )
            )


def _kills(trace: Trace, rng: Random) -> list[CrashState]:
    """A kill before and after each operation that changes a file, and inside each write at some byte."""
    points = [CrashState(KILL, 0)]
    for op, kind in enumerate(trace.kinds):
        if kind == TraceKind.WRITE and trace.lengths[op] > 1:
            points.append(CrashState(KILL, op, rng.randrange(1, trace.lengths[op])))
        if kind in DATA_KINDS or kind in ENTRY_KINDS:
            points.append(CrashState(KILL, op + 1))
    return points


def _sampled(points: list[CrashState], most: int, rng: Random) -> list[CrashState]:
    """At most so many of the points, in the order of their moments."""
    chosen: Iterable[CrashState] = points if len(points) <= most else rng.sample(points, most)
    return sorted(chosen, key=lambda state: state.op)


def _only_in(one: Logical, other: Logical) -> str:
    """Say what is in one content and not in the other."""
    if one.error:
        return one.error
    if one.problems:
        return f"quick_check: {'; '.join(one.problems[:WITNESS_ROWS])}"[:500]
    parts: list[str] = []
    for number, mine in enumerate(one.results):
        theirs = other.results[number] if number < len(other.results) else ()
        if mine == theirs:
            continue
        if isinstance(mine, str):
            parts.append(f"table {number + 1}: {mine}")
            continue
        left = set() if isinstance(theirs, str) else set(theirs)
        rows = [row for row in mine if row not in left]
        doubled = len(mine) - len(set(mine))
        shown = ", ".join(map(repr, itertools.islice(rows, WITNESS_ROWS)))
        more = f" (only here: {len(rows)}, e.g. {shown})" if rows else ""
        parts.append(f"table {number + 1}: {len(mine)} rows{f', {doubled} doubled' if doubled else ''}{more}")
    return ("; ".join(parts) or "a sound database with the same rows")[:500]
