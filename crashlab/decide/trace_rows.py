"""The gate's rows of the trace road: every kill point, power loss, I/O errors, recovery crashes."""

import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

import msgspec

from crashlab.decide.config import TraceConfig
from crashlab.decide.evidence import Row, RowResult
from crashlab.engine.campaign import Tally
from crashlab.engine.events import Emitter
from crashlab.engine.explore import Explored
from crashlab.engine.io_sweep import Swept, sweep
from crashlab.engine.recovery_crashes import RecoveryCrashes
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError, LabError
from crashlab.model.case import Case, Param
from crashlab.model.contract import FaultClass
from crashlab.model.event import EventKind
from crashlab.model.finding import Identity
from crashlab.model.outcome import Outcome
from crashlab.states.models import Model, Policy

GROUP = "trace road"
KILL_ROW = "every kill point, computed"
RECOVERY_ROW = "crashes during recovery"
SWEEP_ROW = "I/O errors at every call"
EXAMPLES_MAX = 2
"""So many failing trials of each finding go into the sweep's event."""


class TraceOutcome(msgspec.Struct):
    """What the trace rows showed beside their rows: crash states looked at, directories of failing cases."""

    states: int = 0
    case_dirs: list[str] = []


class TraceRows:
    """Runs the explorations side by side and yields a row for each.

    `declared`: the subject's parameters and their defaults; the configuration's that are not among them are left
    out. `config.seconds` bounds each exploration and the sweep.
    """

    def __init__(
        self,
        subject: Subject,
        config: TraceConfig,
        workspace: Workspace,
        *,
        seed: int,
        declared: dict[str, Param],
        keep: Path | None,
        environment: dict[str, str],
        emitter: Emitter | None = None,
    ) -> None:
        self._subject = subject
        self._config = config
        self._workspace = workspace
        self._seed = seed
        self._declared = declared
        self._keep = keep
        self._environment = environment
        self._emitter = emitter or Emitter()
        self.outcome = TraceOutcome()
        self._recovery: RecoveryCrashes | None = None

    def rows(self, executor: Executor, slots: int) -> Iterator[Row]:
        """Explore, sweep, and yield the rows in order."""
        config = self._config
        road = TraceRoad(self._subject, self._workspace, keep=self._keep, environment=self._environment)
        try:
            kill = (Model(Policy.KILL, states_max=config.kill_states, direct_max=config.direct_max),)
            power = (
                Model(Policy.SUBSET, states_max=config.power_states * 3 // 4, direct_max=config.direct_max),
                Model(Policy.TORN, states_max=config.power_states // 4, direct_max=config.direct_max),
            )
            jobs: list[tuple[str, FaultClass, Future[Explored]]] = []
            for setting in self._settings():
                name = f"power loss, synchronous={setting}" if setting else "power loss, at its own synchronous"
                jobs.append((name, FaultClass.POWER_LOSS, self._start(executor, road, setting, power)))
            first = next(iter(self._settings()))
            jobs.insert(0, (KILL_ROW, FaultClass.PROCESS_DEATH, self._start(executor, road, first, kill)))
            for name, fault_class, job in jobs:
                yield self._row(name, fault_class, job)
            if self._recovery is not None:
                yield _recovery_row(self._recovery)
        finally:
            road.close()
        yield self._sweep_row(executor, slots)

    def _settings(self) -> tuple[str, ...]:
        """The values of `synchronous` to record under; one empty one where the subject has no such parameter."""
        return ("FULL", "NORMAL") if self._config.synchronous in self._declared else ("",)

    def _case(self, setting: str) -> Case:
        params = {name: value for name, value in self._config.params.items() if name in self._declared}
        if setting:
            params[self._config.synchronous] = setting
        return Case(self._subject.name, self._seed, "none", params, steps_max=self._config.steps_max)

    def _start(
        self, executor: Executor, road: TraceRoad, setting: str, models: tuple[Model, ...]
    ) -> "Future[Explored]":
        return executor.submit(
            road.explore,
            self._case(setting),
            models,
            seconds=self._config.seconds,
            recovery=self._config.recovery,
        )

    def _row(self, name: str, fault_class: FaultClass, job: "Future[Explored]") -> Row:
        try:
            explored = job.result()
        except CrashlabError as error:
            return Row(GROUP, name, RowResult.INCONCLUSIVE, fault_class, detail=str(error)[:400])
        self._emitter.emit(
            EventKind.EXPLORED, row=name, fault_class=fault_class.value, explored=msgspec.to_builtins(explored)
        )
        generated = sum(coverage.generated for coverage in explored.coverage)
        distinct = sum(coverage.distinct for coverage in explored.coverage)
        recoveries = sum(coverage.recoveries for coverage in explored.coverage)
        self.outcome.states += generated
        self.outcome.case_dirs += [outcome.case_dir for outcome in explored.outcomes if outcome.case_dir]
        if explored.recovery is not None:
            crashed = explored.recovery
            self._recovery = crashed if self._recovery is None else self._recovery.plus(crashed)
        classes = sum(coverage.classes for coverage in explored.coverage)
        disks = sum(coverage.disks for coverage in explored.coverage)
        checked = sum(coverage.cross_checked for coverage in explored.coverage)
        detail = (
            f"{generated:,} crash states of {explored.steps_acked} acked steps: {classes} classes and {disks} single "
            f"disks, {recoveries:,} real recoveries, {checked:,} of them cross-checks, 0 mismatches"
        )
        if explored.lost_steps_max:
            detail += f"; a power loss may take up to {explored.lost_steps_max} acked steps, as the contract allows"
        if explored.undone_last:
            detail += "; with a rollback journal the last commit may come back undone (synchronous=EXTRA closes that)"
        if explored.failures:
            detail += f"; {explored.failures} of {explored.judged} classes and disks failed"
        return Row(
            GROUP,
            name,
            RowResult.FAIL if explored.failures else RowResult.OK,
            fault_class,
            distinct,
            explored.states_failed,
            detail=detail,
            invariants=tuple(sorted({identity.partition(" · ")[0] for identity in explored.identities})),
        )

    def _sweep_row(self, executor: Executor, slots: int) -> Row:
        """Fail every call of a short run in turn; the road's own executor threads wait for the writers."""
        road = RealRoad(self._subject, self._workspace, keep=self._keep, environment=self._environment)
        tally = Tally()
        case = self._case(next(iter(self._settings())))
        case = msgspec.structs.replace(
            case, steps_max=self._config.io_steps, params={**case.params, **self._io_params()}
        )
        swept: list[Swept] = []
        until = time.monotonic() + self._config.seconds
        try:
            for one in sweep(road, case, executor, slots, tally):
                swept.append(one)
                if time.monotonic() > until:
                    break
        except LabError as error:
            return Row(GROUP, SWEEP_ROW, RowResult.INCONCLUSIVE, FaultClass.IO_ERROR, detail=str(error)[:400])
        finally:
            road.close()
        self.outcome.case_dirs += [outcome.case_dir for outcome in tally.outcomes if outcome.case_dir]
        sites = sum(one.sites for one in swept)
        failures = sum(one.failures for one in swept)
        errors = sum(one.errors for one in swept)
        unfinished = [f"{one.selector} {one.error} {one.mode}: {one.stop}" for one in swept if not one.exhausted]
        detail = f"{len(swept)} kinds of error, each call of {case.steps_max} steps failed in turn until none was left"
        if unfinished:
            detail = f"not every call was reached: {'; '.join(unfinished[:3])}"
        self._emitter.emit(
            EventKind.SWEPT,
            row=SWEEP_ROW,
            fault_class=FaultClass.IO_ERROR.value,
            kinds=msgspec.to_builtins(swept),
            identities={str(identity): count for identity, count in tally.identities.items()},
            outcomes=[msgspec.to_builtins(outcome) for outcome in _examples(tally)],
        )
        thin = bool(unfinished or errors or time.monotonic() > until)
        return Row(
            GROUP,
            SWEEP_ROW,
            RowResult.FAIL if failures else RowResult.INCONCLUSIVE if thin else RowResult.OK,
            FaultClass.IO_ERROR,
            sites - errors,
            failures,
            errors=errors,
            detail=detail,
            invariants=tuple(sorted({f"{i.oracle}/{i.invariant}" for i in tally.identities})),
        )

    def _io_params(self) -> dict[str, Param]:
        return {name: value for name, value in self._config.io_params.items() if name in self._declared}


def _examples(tally: Tally) -> Iterator[Outcome]:
    """The first failing trials of each identity."""
    seen: dict[Identity, int] = {}
    for outcome in tally.outcomes:
        if any(seen.get(finding.identity, 0) < EXAMPLES_MAX for finding in outcome.findings):
            seen.update((finding.identity, seen.get(finding.identity, 0) + 1) for finding in outcome.findings)
            yield outcome


def _recovery_row(crashes: RecoveryCrashes) -> Row:
    """Recovery crashed at each of its operations: every path must come to the same content."""
    return Row(
        GROUP,
        RECOVERY_ROW,
        RowResult.FAIL if crashes.mismatches else RowResult.OK,
        FaultClass.PROCESS_DEATH,
        crashes.points + crashes.points_deeper,
        crashes.mismatches,
        detail=str(crashes),
        invariants=("recovery/converges",) if crashes.mismatches else (),
    )
