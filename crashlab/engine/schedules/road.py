"""The road of threads: one schedule of a workload's lanes, from a fresh copy of a template to its findings.

The lanes of process 0 are actors, and so is each thread that the program starts. Actor 0 is the program's main thread:
it opens the instance, plays the first lane, and closes when all lanes are done. Opening is not part of the schedule; a
close is where the program has threads of its own, which may be at work then. Lanes of other processes are left out.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import msgspec

from crashlab.engine.schedules.faults import POWER, fault_class_of
from crashlab.engine.schedules.faults_power import judge_states, power_losses
from crashlab.engine.schedules.faults_threads import STRUCK, Died, MemoryLog, ThreadFaults
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.harm import Harm
from crashlab.engine.schedules.judge import Seen, judge
from crashlab.engine.schedules.one_core import OneCore
from crashlab.engine.schedules.phases import Phases
from crashlab.engine.schedules.play import Play
from crashlab.engine.schedules.ran import Ran
from crashlab.engine.schedules.telling import Teller
from crashlab.engine.schedules.template import Templates, make_ready
from crashlab.engine.schedules.watchdog import DEFAULT_LIMITS, RunLimits, wait_for_end
from crashlab.model.case import Param
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.model.schedule import Script, Segment
from crashlab.model.seed import subseed
from crashlab.sqlite.library import find_library
from crashlab.sqlite.tap import Recorder, Seed, Tap
from crashlab.writers.order import Order
from crashlab.writers.schedule.context import ScheduledContext
from crashlab.writers.schedule.decide import Decide, Mark
from crashlab.writers.schedule.gate import PointGate
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.turns import Turns

__all__ = ["DATABASE", "ThreadsRoad"]

DATABASE = "state.db"
DIGEST_BYTES = 12


class ThreadsRoad:
    """Runs schedules of one workload in this process; a context manager. Takes the process for itself.

    `workload` has been imported inside `crashlab.writers.schedule.locks.patched_threading` of the same `turns`, or has
    no locks. `module`: whose SQLite. `root`: an empty directory.

    Raises, from `__enter__`: TapUnavailableError.
    """

    name = "threads"

    def __init__(
        self,
        workload: Any,
        subject: str,
        root: Path,
        *,
        module: ModuleType = sqlite3,
        limits: RunLimits = DEFAULT_LIMITS,
        turns: Turns | None = None,
    ) -> None:
        self.workload = workload
        self.subject = subject
        self.turns = turns or Turns()
        self._root = root
        self._module = module
        self._limits = limits
        self._opened: list[Any] = []
        self._phases = Phases(self.turns, module)
        # Each lane of the generic workload has a connection of its own, so nobody has to look who is inside it.
        self._connect = module.Connection if subject == GENERIC else None
        (root / "templates").mkdir()
        self._templates = Templates(root / "templates", self._make_template, alike=subject == GENERIC)
        self._runs = itertools.count()
        self._clean: Path | None = None
        self._log = MemoryLog()
        self._recorder: Recorder | None = None
        self._core = OneCore()
        self._harm: Harm | None = None
        if subject != GENERIC:  # its lanes do nothing to the files but through SQLite
            self.turns.handles = Handles()
            self._harm = Harm(self.turns.handles)
        library = find_library(module)
        waits = library.has("ENABLE_SETLK_TIMEOUT")
        self._randomness = Seed(0)  # a program may write what `randomblob()` gives; the generic workload does not
        self._tap = Tap(self._randomness, gate=PointGate(self.turns, waits_in_the_system=waits), module=module)
        self.engine = f"{library.version} {library.source_id}"

    def __enter__(self) -> Self:
        self._tap.install()
        self._core.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.__exit__(kind, error, trace)
        self._tap.uninstall()

    def run(self, script: Script, decide: Decide, *, tell: bool = False, keep: Path | None = None) -> Ran:
        """Run one schedule; see `crashlab.engine.schedules.ran.Road`."""
        directory = self._clean or self._root / f"run-{next(self._runs)}"
        self._clean = None
        params = {**self.workload.params, **script.params}
        self._templates.copy(params, directory)
        order = self._order(directory, script.seed, params)
        if getattr(decide, "records", False) and self._recorder is None:  # from then on all runs are recorded
            self._tap.uninstall()
            self._recorder = Recorder(self._log, self._root)  # type: ignore[arg-type]
            self._tap = Tap(self._randomness, gate=PointGate(self.turns), recorder=self._recorder, module=self._module)
            self._tap.install()
        self._log.records.clear()
        if self._harm is not None:
            self._harm.forget()
        if self.subject != GENERIC:
            self._randomness.attached(self._tap)
        self._phases = Phases(self.turns, self._module)
        context = ScheduledContext(order, 0, self._open, self.turns)
        try:
            play, course = self._play(script, decide, context, tell=tell)
            ran = self._judged(script, order, play)
            if keep is not None:
                for path in sorted(directory.iterdir()):
                    if path.is_file():
                        shutil.copyfile(path, keep / path.name)
        finally:
            if not self.turns.alive:  # a run that is stuck has its files still open
                self._tidy(directory)
        return Ran(**ran, course=course)

    def lanes(self, params: Mapping[str, Param], seed: int = 0) -> tuple[str, ...]:
        """The names of the lanes that are actors here: those of process 0."""
        order = self._order(self._root, seed, {**self.workload.params, **params})
        context = ScheduledContext(order, 0, self._open, self.turns)
        return tuple(lane.name for lane in self.workload.lanes(context) if lane.process == 0)

    def _play(self, script: Script, decide: Decide, context: ScheduledContext, *, tell: bool) -> tuple[Play, Any]:
        turns = self.turns
        if not tell:
            play = Play(self.workload, script, turns, context, self._phases, decide, self._harm)
            self._faults = self._faults_of(play, context)
            if self.subject == GENERIC and self._recorder is None:
                self._tap.hold_back()
                play.begins, play.ended = self._tap.take_hold, self._let_go
            turns.start(play.bodies(), self._limits.points_max, plain=self.subject == GENERIC)
            wait_for_end(turns, self._limits)
            return play, ()
        teller = Teller(turns)

        def begun(*ask: Any) -> Any:
            if ask[1] < 0:
                teller.begins()
            return decide(*ask)

        play = Play(self.workload, script, turns, context, self._phases, begun, self._harm)
        self._faults = self._faults_of(play, context)
        label = getattr(self.workload, "label", None)
        play.beginning = lambda actor, place: teller.marked(
            Mark.STEP,
            f"step {place}" + (f" ({label(script.actors[actor].lane, place, context.params)})" if label else ""),
        )
        self._tap.uninstall()
        try:
            turns.passed_on, turns.marked = teller.passed_on, teller.marked
            with Tap(self._randomness, teller, gate=PointGate(turns), recorder=self._recorder, module=self._module):
                turns.start(play.bodies(), self._limits.points_max)
                wait_for_end(turns, self._limits)
        finally:
            turns.passed_on = turns.marked = None
            self._tap.install()
        return play, tuple(teller.course)

    def _judged(self, script: Script, order: Order, play: Play) -> dict[str, Any]:
        turns = self.turns
        if turns.broke is not None:
            raise turns.broke
        died = self._faults.died
        history = died.history if died else play.history()
        raised = [f"actor {chr(97 + actor)}: {text}" for actor, text in turns.errors]
        deadlock = f"all actors wait for one another: {turns.waiting}" if turns.gave_up == "deadlock" else ""
        problem = ""
        if not play.opened:
            problem = f"the program does not open: {raised[0] if raised else turns.gave_up}"
        elif turns.strangers:
            problem = "threads that take no turns use SQLite: made without `threading`, or before the lab came"
        elif turns.gave_up == "points":
            problem = f"no end after {turns.points} points"
        self._close_what_is_open()
        findings: tuple[Finding, ...] = ()
        segments = tuple(Segment(*segment) for segment in turns.segments)
        digest = hashlib.blake2b(turns.told, digest_size=DIGEST_BYTES).hexdigest()
        fault_class = fault_class_of(segments)
        if died:
            seen = Seen(history, play.reads, fault_class=fault_class, trace=turns.told, harmed=play.harmed)
            findings = self._judged_dead(order, died, seen, digest)
        elif not problem:
            raised = raised if fault_class is not FaultClass.IO_ERROR else []  # a program may end when its disk fails
            seen = Seen(history, play.reads, play.wal_index, raised, deadlock, fault_class, turns.told, play.harmed)
            sidecars = {} if self.subject == GENERIC else _sidecars(order)
            self._tap.look_away()
            try:
                findings = tuple(judge(self.workload, self.subject, order, self._module.connect, seen, sidecars))
            finally:
                self._tap.look_again()
        refusals = tuple(dict.fromkeys(step.error for step in history.steps if step.error))
        return {
            "segments": segments,
            "trace": turns.told,
            "points": turns.points_told,
            "digest": digest,
            "findings": findings,
            "problem": problem,
            "actors": len(script.actors) + turns.adopted,
            "acked": len(history.acked),
            "refused": sum(1 for step in history.steps if step.error),
            "refusals": refusals[:5],
        }

    def _faults_of(self, play: Play, context: ScheduledContext) -> ThreadFaults:
        faults = ThreadFaults(self.turns, context.database, lambda: play.history(died=True), self._log)
        self.turns.strike = faults.strike
        return faults

    def _judged_dead(self, order: Order, died: Died, seen: Seen, digest: str) -> tuple[Finding, ...]:
        """Judge what a kill has left, or a power loss could have left."""

        def judge_one(there: Order) -> list[Finding]:
            return judge(self.workload, self.subject, there, self._module.connect, seen, {})

        directory = Path(order.directory)
        if died.fault != POWER:
            left = directory / STRUCK
            return tuple(judge_one(msgspec.structs.replace(order, directory=str(left), database=str(left / DATABASE))))
        with tempfile.TemporaryDirectory(dir=self._root) as scratch:
            prepare = partial(self._templates.copy, order.params)
            return judge_states(
                power_losses(died.records, directory.name, prepare, Path(scratch), digest), order, judge_one
            )

    def _tidy(self, directory: Path) -> None:
        """Remove a run's directory, or leave it to the next run, which writes its template over it."""
        if self.subject == GENERIC and self._recorder is None and os.listdir(directory) == [DATABASE]:
            self._clean = directory
        else:
            shutil.rmtree(directory, ignore_errors=True)

    def _let_go(self) -> None:
        self._tap.let_go()
        self.turns.mapped.clear()

    def _close_what_is_open(self) -> None:
        """Close what the program left open: the next run must not find its locks."""
        for connection in self._opened:
            with contextlib.suppress(Exception):
                connection.close()
        self._opened.clear()

    def _open(self, *args: Any, **kwargs: Any) -> Any:
        connection = (self._connect or self._phases.connect)(*args, **kwargs)
        self._opened.append(connection)
        return connection

    def _order(self, directory: Path, seed: int, params: Mapping[str, Param]) -> Order:
        return Order(str(directory), f"{directory}/{DATABASE}", "", seed, dict(params))

    def _make_template(self, directory: Path, params: Mapping[str, Param]) -> None:
        order = self._order(directory, subseed(0, "template"), params)
        context = ScheduledContext(order, 0, self._open, self.turns)
        make_ready(self.workload, context)
        self._opened.clear()


def _sidecars(order: Order) -> dict[str, int]:
    """What lies beside the database when everybody has closed."""
    paths = [Path(f"{order.database}{suffix}") for suffix in ("-wal", "-journal")]
    return {path.name: path.stat().st_size for path in paths if path.exists()}
