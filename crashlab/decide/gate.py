"""The gate: environment → controls → real-kill campaign → decision."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from crashlab.decide.config import GateConfig
from crashlab.decide.duration import parse_duration
from crashlab.decide.evidence import GateReport, Row, campaign_row, control_row, last_words, planted_row
from crashlab.decide.interference import GROUP as INTERFERENCE
from crashlab.decide.interference import ROW, damage_cases, promises_to_notice
from crashlab.decide.params import check_params
from crashlab.decide.plan import REQUIRED_PHASES, phase_cases, plan_cases
from crashlab.decide.planted import Planted, run_planted
from crashlab.decide.policy import decide
from crashlab.decide.requirements import requirement_rows
from crashlab.decide.schedule_rows import ScheduleRows
from crashlab.decide.surroundings import environment_rows, preflight_row
from crashlab.decide.trace_rows import TraceRows
from crashlab.engine.audit import Audited
from crashlab.engine.campaign import Limits, StopReason, Tally, run_campaign
from crashlab.engine.casedir import replay_command
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.road import RealRoad
from crashlab.engine.source import commit_of
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import LimitError, SubjectError
from crashlab.gallery.controls.run import run_controls
from crashlab.gallery.controls.run_trace import run_trace_controls
from crashlab.model.case import Case, Param
from crashlab.model.contract import FaultClass
from crashlab.model.event import EventKind
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome
from crashlab.model.phase import Phase
from crashlab.writers.launcher import can_hang_up
from crashlab.writers.order import OnHangUp

FAILURES_MAX = 25
"""After so many failures the decision is known; the rest of the budget would only repeat it."""

PHASE_TRIES = 400
MARGIN_S = 10.0
"""What a short row may still take when the campaign has used up the budget."""

PLANTED_S = 60.0
"""What one planted bug may take to be caught, and its twin again."""

PARTIAL = (StopReason.INTERRUPTED, StopReason.DISK_FULL, StopReason.ERRORS)
"""Ends that nobody planned: what was found so far is kept and labelled, and is never a GO."""


class GateOptions(msgspec.Struct, frozen=True):
    """What a caller chooses: seed, seconds in all, trials in flight, where records go, a preflight.

    `config` is the configuration file that a replay has to name, empty if the nearest one is meant.
    """

    seed: int = 1
    seconds: float = 90.0
    slots: int = 0
    records: str = ""
    database: str = ""
    workspace: str = ""
    config: str = ""


class Gate:
    """One run of the gate over one subject. `rows()` yields each row as it is known; `report()` decides.

    `planted`: bugs of the subject's own kind, which the gate must catch like the lab's own controls. `lanes`: the
    subject whose lanes are explored, if it is another one.
    """

    def __init__(
        self,
        subject: Subject,
        config: GateConfig,
        options: GateOptions,
        emitter: Emitter,
        *,
        planted: tuple[Planted, ...] = (),
        lanes: Subject | None = None,
    ) -> None:
        self._planted = planted
        self._lanes = lanes or subject
        self._subject = subject
        self._config = config
        self._options = options
        self._emitter = emitter
        self._rows: list[Row] = []
        self._tally = Tally()
        self._environment: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        self._started = time.monotonic()
        self._stop = StopReason.DONE
        self._kept: list[str] = []
        self._declared: dict[str, Param] = {}
        self._audited = Audited()
        self._states = 0
        self._batches = itertools.count()
        self._slots = options.slots or (os.cpu_count() or 2) + 1

    def rows(self) -> Iterator[Row]:
        """Run the gate, yielding rows. May be interrupted; `report()` then tells what there is so far.

        Raises:
            SubjectError, UsageError: the subject cannot be loaded, or has no such parameter.
            LimitError: the lab's own disk is full before anything could run. Later that is a stop reason.
        """
        options = self._options
        with (
            Workspace(options.workspace or None) as workspace,
            ThreadPoolExecutor(self._slots, thread_name_prefix="trial") as executor,
        ):
            self._environment = environment_stamp(workspace.root)
            self._emitter.emit(
                EventKind.GATE_STARTED,
                subject=self._subject.name,
                seed=options.seed,
                trials=self._config.trials,
                seconds=options.seconds,
                phase_hits_min=self._config.policy.phase_hits_min,
                environment=self._environment,
                config=options.config,
                **msgspec.structs.asdict(commit_of(self._subject.path[0] if self._subject.path else ".")),
            )
            try:
                if options.database:
                    yield self._done(preflight_row(Path(options.database)))
                yield from self._probe(workspace)
                yield from self._controls(workspace, executor)
                yield from self._interference(workspace, executor)
                yield from self._trace(workspace, executor)
                yield from self._schedules(workspace)
                yield from self._campaign(workspace, executor)
                for row in requirement_rows(self._audited, self._rows):
                    yield self._done(row)
            except LimitError:
                if not self._rows:
                    raise
                self._stopped(StopReason.DISK_FULL)
            except KeyboardInterrupt:
                self._stopped(StopReason.INTERRUPTED)
                raise

    def _stopped(self, why: StopReason) -> None:
        """Keep what there is so far."""
        self._stop = why
        self._rows = [row for row in self._rows if row.group != FaultClass.PROCESS_DEATH]
        self._rows += self._campaign_rows()

    def report(self) -> GateReport:
        """Decide on what there is."""
        hits = {
            phase.value: self._tally.phases.get(phase.value, 0)
            for phase in REQUIRED_PHASES
            if self._reachable_somewhere(phase)
        }
        judged = sum(row.judged for row in self._rows if row.group == FaultClass.PROCESS_DEATH)
        rows = tuple(self._rows)
        decision, reasons = decide(
            rows,
            hits,
            judged,
            self._config.policy,
            partial=self._stop.value if self._stop in PARTIAL else "",
        )
        failing = [*(o.case_dir for o in self._tally.outcomes if o.case_dir), *self._kept][:3]
        report = GateReport(
            decision.value,
            reasons,
            self._subject.name,
            self._options.seed,
            rows,
            hits,
            self._config.policy.phase_hits_min,
            sum(self._tally.verdicts.values()),
            sum(1 for o in self._tally.outcomes if o.verdict in (Verdict.PASS, Verdict.FAIL) and o.ended.code == 9),
            time.monotonic() - self._started,
            self._stop.value,
            self._environment,
            self._settings,
            self._options.records,
            tuple(replay_command(directory, self._options.config) for directory in failing),
            self._states,
        )
        with contextlib.suppress(LimitError):  # nowhere to record it; the answer is there all the same
            self._emitter.emit(EventKind.GATE_FINISHED, report=msgspec.to_builtins(report))
        return report

    def _done(self, row: Row) -> Row:
        self._rows.append(row)
        self._emitter.emit(EventKind.ROW_FINISHED, row=msgspec.to_builtins(row))
        return row

    def _controls(self, workspace: Workspace, executor: ThreadPoolExecutor) -> Iterator[Row]:
        """The lab proves that it can see: every broken subject caught, every twin left in peace."""
        workspace.check_room()
        seed, slots = self._options.seed, self._slots
        results = run_controls(lambda subject: RealRoad(subject, workspace), executor, seed, Emitter(), slots=slots)
        if self._config.trace.enabled:
            computed = run_trace_controls(
                lambda subject, plan: TraceRoad(subject, workspace, plan=plan), seed, slots=slots
            )
            seen = {result.control: result for result in computed}
            results = tuple(seen.get(result.control, result) for result in results)
        if not all(result.sound for result in results):
            workspace.check_room()  # a full disk is no blindness of the lab
        for result in results:
            yield self._done(control_row(result))
        for found in run_planted(
            self._planted, workspace, path=self._subject.path, seed=seed, slots=slots, seconds=PLANTED_S
        ):
            yield self._done(planted_row(found))

    def _probe(self, workspace: Workspace) -> Iterator[Row]:
        """One run without a fault, to see that the subject runs and which settings are in force."""
        name, given = self._subject.name, self._subject.params
        road = RealRoad(msgspec.structs.replace(self._subject, params={}), workspace, probe=True)
        try:
            self._declared = declared = road.declared_params()
            self._audited = road.audit()
            check_params(name, declared, {key: (value,) for key, value in given.items()}, f"subjects.{name}.params")
            check_params(name, declared, self._config.grid, "gate.grid")
            outcome = road.run(Case(name, self._options.seed, "none", dict(given)), "probe", keep=False)
        finally:
            road.close()
        if outcome.verdict is not Verdict.PASS and outcome.verdict is not Verdict.FAIL:
            workspace.check_room()
            why = last_words(outcome.error or outcome.fired)
            raise SubjectError(f"subject {name!r} does not run even without a fault: {why}")
        self._settings = outcome.settings
        for row in environment_rows(workspace.root, outcome.settings, self._config.policy):
            yield self._done(row)

    def _campaign(self, workspace: Workspace, executor: ThreadPoolExecutor) -> Iterator[Row]:
        options = self._options
        road = RealRoad(self._subject, workspace, keep=self._cases_directory, environment=self._environment)
        try:
            # The phases first: a machine too slow for the whole plan has then still hit each of them.
            for phase in REQUIRED_PHASES:
                self._aim_at(phase, road, executor, workspace)
            if self._stop is StopReason.DONE:
                limits = Limits(seconds=self._left(), slots=self._slots, failures_max=FAILURES_MAX)
                cases = plan_cases(self._config, self._subject.name, options.seed, hangup=can_hang_up())
                self._run(road, cases, executor, limits, workspace)
        finally:
            road.close()
        for row in self._campaign_rows():
            yield self._done(row)

    def _trace(self, workspace: Workspace, executor: ThreadPoolExecutor) -> Iterator[Row]:
        """Compute what kills, power losses and I/O errors could have left, and judge it."""
        if not self._config.trace.enabled:
            return
        rows = TraceRows(
            self._subject,
            self._config.trace,
            workspace,
            seed=self._options.seed,
            declared=self._declared,
            keep=self._cases_directory,
            environment=self._environment,
            emitter=self._emitter,
        )
        for row in rows.rows(executor, self._slots):
            workspace.check_room()
            yield self._done(row)
        self._kept += rows.outcome.case_dirs
        self._states = rows.outcome.states

    def _schedules(self, workspace: Workspace) -> Iterator[Row]:
        """Let the lanes run in many orders, one at a time."""
        config = self._config.schedules
        if not config.enabled:
            return
        seconds = min(parse_duration(config.budget), max(1.0, self._options.seconds / 10))
        rows = ScheduleRows(
            self._lanes, config, workspace, seed=self._options.seed, seconds=seconds, keep=self._cases_directory
        )
        for row in rows.rows():
            workspace.check_room()
            yield self._done(row)
        self._kept += rows.case_dirs

    def _interference(self, workspace: Workspace, executor: ThreadPoolExecutor) -> Iterator[Row]:
        """Damage the file of a program that promises to notice."""
        road = RealRoad(self._subject, workspace, keep=self._cases_directory, environment=self._environment)
        try:
            if not promises_to_notice(road.contract()):
                return
            tally = Tally()
            cases = damage_cases(self._subject.name, self._options.seed)
            limits = Limits(seconds=max(self._left(), MARGIN_S), slots=self._slots)
            run_campaign(road, cases, executor, limits, self._emitter, name="damage", tally=tally)
        finally:
            road.close()
        self._kept += [outcome.case_dir for outcome in tally.outcomes if outcome.case_dir]
        yield self._done(campaign_row(INTERFERENCE, ROW, FaultClass.INTERFERENCE, tally.outcomes))

    def _run(
        self, road: RealRoad, cases: Iterator[Case], executor: ThreadPoolExecutor, limits: Limits, workspace: Workspace
    ) -> None:
        batch = next(self._batches)
        run_campaign(
            road,
            cases,
            executor,
            limits,
            self._emitter,
            name=f"gate-{batch}" if batch else "gate",
            check_room=workspace.check_room,
            tally=self._tally,
        )
        self._stop = self._tally.stop

    def _aim_at(self, phase: Phase, road: RealRoad, executor: ThreadPoolExecutor, workspace: Workspace) -> None:
        """Give a phase that was not hit often enough more kills, until it is or the tries are used up."""
        wanted = self._config.policy.phase_hits_min
        tries = phase_cases(self._config, self._subject.name, self._options.seed, phase, PHASE_TRIES)
        while (
            self._stop is StopReason.DONE
            and self._tally.phases.get(phase.value, 0) < wanted
            and (batch := [case for case, _ in zip(tries, range(wanted), strict=False)])
        ):
            limits = Limits(seconds=self._left(), slots=self._slots, failures_max=FAILURES_MAX)
            self._run(road, iter(batch), executor, limits, workspace)

    @property
    def _cases_directory(self) -> Path | None:
        return Path(self._options.records) / "cases" if self._options.records else None

    def _left(self) -> float:
        return max(1.0, self._options.seconds - (time.monotonic() - self._started))

    def _reachable_somewhere(self, phase: Phase) -> bool:
        """True if at least one cell of the grid can enter the phase (and there is a grid at all)."""
        blocked = self._config.unreachable.get(phase.value, {})
        return all(any(value != blocked[name] for value in self._config.grid.get(name, [])) for name in blocked)

    def _campaign_rows(self) -> Iterator[Row]:
        by_name: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in self._tally.outcomes:
            by_name.setdefault(self._row_of(outcome), []).append(outcome)
        for (_, name), outcomes in sorted(by_name.items(), key=lambda item: item[0]):
            yield campaign_row(FaultClass.PROCESS_DEATH, name, FaultClass.PROCESS_DEATH, outcomes)

    def _row_of(self, outcome: Outcome) -> tuple[str, str]:
        case = outcome.case
        kind = case.fault.partition("@")[0]
        if kind == "hangup":
            on = next((w[3:] for w in case.fault.split() if w.startswith("on=")), OnHangUp.DEFAULT.value)
            return "2", _hangup_name(on)
        if kind == "none":
            return "0", _NO_FAULT
        names = self._config.rows_by or sorted(self._config.grid)
        order = [self._config.grid[name].index(case.params[name]) for name in names]
        return "1" + "".join(f".{index:03d}" for index in order), _kill_name({n: case.params[n] for n in names})


def planned_rows(config: GateConfig, *, hangup: bool) -> tuple[str, ...]:
    """Return the names of the rows that a gate's campaign can have, known from the grid before anything runs.

    A short campaign may leave some out. `hangup=False` where there is no terminal to hang up.
    """
    names = config.rows_by or sorted(config.grid)
    columns = []
    for name in names:
        weights = config.weights.get(name) or [1.0] * len(config.grid[name])
        columns.append([value for value, weight in zip(config.grid[name], weights, strict=True) if weight])
    kills = [_kill_name(dict(zip(names, values, strict=True))) for values in itertools.product(*columns)]
    hangups = [_hangup_name(on.value) for on in OnHangUp] if hangup else []
    return (_NO_FAULT, *dict.fromkeys(kills), *hangups)


_NO_FAULT = "no fault, clean close"


def _hangup_name(on: str) -> str:
    return f"terminal hang-up, program: {on}"


def _kill_name(cell: dict[str, Param]) -> str:
    return f"kill  {'  '.join(f'{name}={value}' for name, value in cell.items())}".rstrip()
