"""One schedule of processes, from a fresh copy of a template to its findings.

The workload's processes open in the order of their numbers, one after another, and close so; in between its lanes
take turns. A lane lives in the process that the workload names for it; two lanes of one process are two threads of it.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import msgspec

from crashlab.engine.schedules.faults import KILL, POWER, fault_class_of, known_fault, result_of_call
from crashlab.engine.schedules.faults_foreign import Neighboured
from crashlab.engine.schedules.faults_power import judge_states, power_losses
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.judge import Seen, judge
from crashlab.engine.schedules.one_core import OneCore
from crashlab.engine.schedules.processes.part import NOBODY, PartOrder, WorkloadPart
from crashlab.engine.schedules.processes.tale import Tale, read_tale
from crashlab.engine.schedules.ran import Ran, StuckError
from crashlab.engine.schedules.template import Templates, make_ready
from crashlab.engine.schedules.watchdog import DEFAULT_LIMITS, RunLimits
from crashlab.errors import SubjectError, did_you_mean
from crashlab.model.case import Param
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.model.schedule import Script, Segment
from crashlab.model.seed import subseed
from crashlab.sqlite.library import find_library
from crashlab.sqlite.tap import Tap
from crashlab.writers.context import SIGNAL_PREFIX, RunContext
from crashlab.writers.order import Order
from crashlab.writers.schedule.decide import Decide
from crashlab.writers.schedule.gate import PointGate
from crashlab.writers.schedule.handles import Handles
from crashlab.writers.schedule.processes.crew import KILLED, Course, Crew
from crashlab.writers.schedule.processes.memory import Shared
from crashlab.writers.schedule.processes.turns import ProcessTurns

__all__ = ["ProcessesRoad", "process_turns"]

DATABASE = "state.db"
DIGEST_BYTES = 12


def process_turns(limits: RunLimits = DEFAULT_LIMITS) -> ProcessTurns:
    """Make the turns of a road of processes, before the workload is imported: its locks ask them."""
    return ProcessTurns(Shared(4 * limits.points_max))


class ProcessesRoad:
    """Runs schedules of one workload in forks of this process; a context manager. See `Road`.

    This process must have no threads, and no database open. `turns`: of `process_turns`; `module`: whose SQLite;
    `root`: an empty directory.

    Raises, from `__enter__`: TapUnavailableError. From `run`: SubjectError if there is only one process.
    """

    name = "processes"

    def __init__(
        self,
        workload: Any,
        subject: str,
        root: Path,
        *,
        module: ModuleType = sqlite3,
        limits: RunLimits = DEFAULT_LIMITS,
        turns: ProcessTurns | None = None,
    ) -> None:
        self.workload = workload
        self.subject = subject
        self.turns = turns or process_turns(limits)
        self.opened: list[Any] = []
        self._root = root
        # A process of the generic workload has one lane, so nobody has to look who is inside its connection.
        self._connect = module.Connection if subject == GENERIC else module.connect
        (root / "templates").mkdir()
        self._templates = Templates(root / "templates", self._make_template, alike=subject == GENERIC)
        self._runs = itertools.count()
        if subject != GENERIC or isinstance(workload, Neighboured):
            self.turns.handles = Handles()
        gate: Any = PointGate(self.turns)  # type: ignore[arg-type]
        self._tap = Tap(gate=gate, module=module)
        library = find_library(module)
        self.engine = f"{library.version} {library.source_id}"
        part = WorkloadPart(workload, self.turns, self, self._tap, module)
        self.crew = Crew(self.turns, part, points_max=limits.points_max, grant_s=limits.stall_s, strike=_strike)
        self._recording = False
        self._core = OneCore()

    def __enter__(self) -> Self:
        self._tap.install()
        self._core.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.crew.close()
        self.turns.close()
        self._tap.uninstall()
        self._core.__exit__(kind, error, trace)

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Connect, and remember the connection until the schedule is over."""
        connection = self._connect(*args, **kwargs)
        self.opened.append(connection)
        return connection

    def run(self, script: Script, decide: Decide, *, tell: bool = False, keep: Path | None = None) -> Ran:
        """Run one schedule; see `crashlab.engine.schedules.ran.Road`."""
        directory = self._root / f"run-{next(self._runs)}"
        params = {**self.workload.params, **script.params}
        order = self._order(directory, script.seed, params)
        self._templates.copy(params, directory)
        self._recording = self._recording or getattr(decide, "records", False)
        try:
            numbers, homes = self._processes(script, order)
            orders = [
                msgspec.msgpack.encode(PartOrder(order, number, script, record=self._recording, tell=tell))
                for number in numbers
            ]
            course = self.crew.run(homes, orders, decide)
            if getattr(self.workload, "fresh", False):
                self.crew.members.kill_all()
            tale = read_tale(self.turns.shared)
            if keep is not None:
                for path in sorted(directory.iterdir()):
                    if path.is_file():
                        shutil.copyfile(path, keep / path.name)
            return self._judged(order, course, tale, params)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def lanes(self, params: Mapping[str, Param], seed: int = 0) -> tuple[str, ...]:
        """The names of the lanes: all are actors here."""
        order = self._order(self._root, seed, {**self.workload.params, **params})
        return tuple(lane.name for lane in self.workload.lanes(RunContext(order, 0, self.connect)))

    def _processes(self, script: Script, order: Order) -> tuple[list[int], list[int]]:
        """Return the workload's numbers of the processes that take part, and for each actor its place among them."""
        known = {lane.name: lane for lane in self.workload.lanes(RunContext(order, 0, self.connect))}
        for actor in script.actors:
            if actor.lane not in known:
                raise SubjectError(
                    f"the schedule has a lane {actor.lane!r}, the workload has: {', '.join(known) or 'none'}"
                    f"{did_you_mean(actor.lane, known)}"
                )
        if len({lane.process for lane in known.values()}) < 2:
            raise SubjectError(
                f"all lanes of {self.subject} are in one process ({', '.join(known)}): --actors threads explores them"
            )
        of_actor = [known[actor.lane].process for actor in script.actors]
        numbers = sorted({0, *of_actor})
        return numbers, [numbers.index(process) for process in of_actor]

    def _judged(self, order: Order, course: Course, tale: Tale, params: Mapping[str, Param]) -> Ran:
        how, _, what = course.gave_up.partition(": ")
        if how in ("spins", "waits"):
            raise StuckError(how, what)
        trace = self.turns.shared.trace()
        digest = hashlib.blake2b(trace, digest_size=DIGEST_BYTES).hexdigest()
        segments = tuple(Segment(*segment) for segment in course.segments)
        problem = ""
        if course.gave_up == "points":
            problem = f"no end after {course.points} points"
        elif course.gave_up == "livelock":
            problem = "all actors wait for time to pass, again and again, and none completes a step"
        fault_class = fault_class_of(segments)
        alone = [how for how in course.ends if NOBODY in how]
        if alone and fault_class is FaultClass.NONE:
            problem = f"{alone[0].removeprefix('raised: ')}: lanes that wait for one another need all steps, --steps 0"
        raised = [f"actor {chr(97 + a)}: {how}" for a, how in enumerate(course.ends) if how not in ("", KILLED)]
        seen = Seen(
            tale.history,
            tale.reads,
            tale.wal_index,
            raised if fault_class is not FaultClass.IO_ERROR else (),  # a program may end when its disk fails
            "all actors wait for one another" if course.gave_up == "deadlock" else "",
            fault_class,
            trace,
            tale.harmed,
        )
        findings: Sequence[Finding] = ()
        if course.gave_up == POWER:
            with tempfile.TemporaryDirectory(dir=self._root) as scratch:
                run = Path(order.directory).name
                left = power_losses(tale.records, run, partial(self._templates.copy, params), Path(scratch), digest)
                findings = judge_states(left, order, lambda there: self._judge(there, seen))
        elif not problem:
            findings = self._judge(order, seen)
        steps = tale.history.steps
        refusals = tuple(dict.fromkeys(step.error for step in steps if step.error))
        return Ran(
            segments=segments,
            trace=trace,
            points=course.points,
            digest=digest,
            findings=tuple(findings),
            problem=problem,
            actors=len(course.ends),
            acked=len(tale.history.acked),
            refused=sum(1 for step in steps if step.error),
            refusals=refusals[:5],
            course=tale.course,
        )

    def _judge(self, order: Order, seen: Seen) -> list[Finding]:
        # Processes that close at once may each see the other and leave the WAL to it: no sidecar is a finding.
        found = judge(self.workload, self.subject, order, self.connect, seen, {})
        self._close_what_is_open()
        return found

    def _order(self, directory: Path, seed: int, params: Mapping[str, Param]) -> Order:
        name = getattr(self.workload, "database", DATABASE)
        return Order(str(directory), str(directory / name), "", seed, dict(params))

    def _close_what_is_open(self) -> None:
        for connection in self.opened:
            with contextlib.suppress(Exception):
                connection.close()
        self.opened.clear()

    def _make_template(self, directory: Path, params: Mapping[str, Param]) -> None:
        context = RunContext(self._order(directory, subseed(0, "template"), params), 0, self.connect)
        make_ready(self.workload, context)
        self._close_what_is_open()
        for path in directory.glob(f"{SIGNAL_PREFIX}*"):
            os.unlink(path)  # in a schedule nobody has signalled yet


def _strike(crew: Crew, actor: int, fault: str, call: int) -> bool:
    if known_fault(fault) == KILL:
        crew.kill(actor)
    elif fault == POWER:
        crew.stop_here(POWER)
    else:
        told = result_of_call(fault, call)
        if told is None:
            return False
        crew.answer(actor, told)
    return True
