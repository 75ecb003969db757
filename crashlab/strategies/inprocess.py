"""Recording and judging in this process: thousands of small runs, each with any crash state of it.

A run is made under the tap, single-threaded and seeded, so the same case gives the same bytes and every
outcome is the same again: what Hypothesis needs. The workload must close what it opens, since no file of a
database may be read while this process has it open. No kill happens here, and no process is started.
"""

import shutil
from collections import OrderedDict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from crashlab.engine.judge import JudgeOrder, clear_run, judge_trial
from crashlab.engine.recording import Recording
from crashlab.engine.road import DATABASE
from crashlab.engine.timeline import annotate_case
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError, LabError, UsageError
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import parse_fault
from crashlab.log.writer import LogWriter
from crashlab.model.case import Case, Param
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.model.phase import MARK_CLOSE, MARK_START_UP
from crashlab.sqlite.tap import Tap
from crashlab.states.replay import require_same
from crashlab.states.trace import Trace
from crashlab.strategies.workload import plan_workload
from crashlab.writers.connection import ConnectMaker
from crashlab.writers.context import RunContext
from crashlab.writers.marks import Marks
from crashlab.writers.order import Order, TapPlan, log_base
from crashlab.writers.tapped import build_tap

RECORDINGS_MAX = 64
"""Recorded runs kept on disk at a time; an older one is made again when it is asked for."""

LOG_BYTES_MAX = 64 << 20


class InProcess:
    """A trace road of this process; a context manager. See `crashlab.engine.trace_road.TraceRoad`.

    `workload`: the object, not its name; by default the one that runs plans. `directory`: where runs go,
    in memory (tmpfs) if not given and there is one; what is made in it is removed. One at a time may record
    in a process. Only workloads of one lane, and of their files only SQLite's are recorded.
    """

    def __init__(self, workload: Any = plan_workload, *, directory: Path | None = None) -> None:
        self.workload = workload
        self._space = Workspace(None if directory is None else str(directory))
        self._recordings: OrderedDict[bytes, tuple[Recording, Trace]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything."""
        self._recordings.clear()
        self._space.close()

    def recording(self, case: Case) -> Recording:
        """Return the recorded run of a case, whatever its fault; made if there is none yet.

        Raises:
            LabError: it could not be recorded here, or the recording is not whole.
            UsageError: a parameter that the workload does not declare.
        """
        return self._recorded(case)[0]

    def trace(self, case: Case) -> Trace:
        """Return the operations of the recorded run of a case; see `recording`."""
        return self._recorded(case)[1]

    def run(self, case: Case, *, keep: Path | None = None) -> Outcome:
        """Judge a case's crash state. `keep`: a failing case's directory goes below it, with its texts.

        Raises:
            LabError: it could not be recorded, or the lab broke; never a silent pass.
        """
        if not isinstance(parse_fault(case.fault), CrashStateFault):
            raise UsageError(f"fault {case.fault!r} hits a real process; here only kill@op=… and power-loss@op=… run")
        recording = self.recording(case)
        order = msgspec.structs.replace(recording.order, **self._place(), tap=None, probe=False)
        kept = "" if keep is None else str(keep)
        ended = Ended(EndKind.SIGNALLED, 9)
        task = JudgeOrder("in-process", case, order, ended, kept, {}, recording.directory)
        try:
            outcome = judge_trial(self.workload, task, lambda stage: None)
        finally:
            clear_run(order.directory)
        if outcome.error:
            raise LabError(f"case {case.case_id}, {case.fault}: {outcome.error}")
        if outcome.case_dir:
            annotate_case(Path(outcome.case_dir))
        return outcome

    def _place(self) -> dict[str, str]:
        directory = self._space.make_run()
        return {"directory": str(directory), "database": str(directory / DATABASE)}

    def _recorded(self, case: Case) -> tuple[Recording, Trace]:
        key = msgspec.structs.replace(case, fault="none").encode()
        found = self._recordings.get(key)
        if found is None:
            found = self._recordings[key] = self._record(case)
            if len(self._recordings) > RECORDINGS_MAX:
                clear_run(self._recordings.popitem(last=False)[1][0].directory)
        self._recordings.move_to_end(key)
        return found

    def _record(self, case: Case) -> tuple[Recording, Trace]:
        place = self._place()
        order = Order(
            place["directory"],
            place["database"],
            type(self.workload).__qualname__,
            case.seed,
            self._params(case),
            deadline_s=case.deadline_s,
            steps_max=case.steps_max,
            probe=True,
            tap=TapPlan(record=True, seed=case.subseed("sqlite")),
            log_bytes_max=LOG_BYTES_MAX,
        )
        try:
            run_here(self.workload, order)
        except CrashlabError:
            raise
        except Exception as error:
            raise LabError(
                f"case {case.case_id}: the run that was to be recorded broke ({type(error).__name__}: {error})"
            ) from error
        recording = Recording(order.directory, order)
        trace = recording.trace()
        scratch = Path(order.directory) / "replayed"
        scratch.mkdir()
        try:
            require_same(trace, Path(order.directory), scratch)
        finally:
            shutil.rmtree(scratch)
        return recording, trace

    def _params(self, case: Case) -> dict[str, Param]:
        declared = dict(self.workload.params)
        for name in case.params:
            if name not in declared:
                known = ", ".join(sorted(declared)) or "none"
                raise UsageError(f"case {case.case_id} has a parameter {name!r}; the workload declares: {known}")
        return {**declared, **case.params}


def run_here(workload: Any, order: Order) -> None:
    """Run a workload of one lane from open to close in this process, under the tap, with everything in the log.

    Raises:
        UsageError: it has several lanes, or another tap is installed here.
        TapUnavailableError: this process's SQLite cannot be tapped.
    """
    log = LogWriter(log_base(order.directory, 0), bytes_max=order.log_bytes_max)
    marks = Marks(log, None, lambda trigger: None)
    maker = ConnectMaker(marks)
    context = RunContext(order, 0, maker.connect, log)
    tap = build_tap(order.tap, log, order.directory, marks.current_phase) or Tap()
    try:
        with tap:
            with marks.inside(MARK_START_UP):
                instance = workload.open(context)
            try:
                for name, value in maker.effective_settings().items():
                    log.setting(name, value)
                _run_steps(workload, instance, context, marks, order)
                marks.enter(MARK_CLOSE)
            finally:
                instance.close()
            marks.leave(MARK_CLOSE)
    finally:
        log.close()


def _run_steps(workload: Any, instance: Any, context: RunContext, marks: Marks, order: Order) -> None:
    lanes = workload.lanes(context)
    if len(lanes) != 1 or lanes[0].process:
        raise UsageError(f"{len(lanes)} lanes: in this process only workloads of one lane run; use the trace road")
    (lane,) = lanes
    for step in islice(workload.steps(lane, instance, context), order.steps_max):
        marks.log.begin(lane.name, step.seq, step.effects)
        marks.step_begins()
        try:
            happened = step.do()
        except Exception as error:
            marks.log.refused(lane.name, step.seq, f"{type(error).__name__}: {error}"[:500])
        else:
            marks.log.ack(lane.name, step.seq, None if happened is None else tuple(happened))
            marks.acked()
        context.stepped.tick()
