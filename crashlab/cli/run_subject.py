"""`crashlab run` of a subject: a campaign, new or taken up again where its records end."""

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from crashlab.cli.budgets import SECONDS, Budget
from crashlab.cli.executors import ExecutorChoice
from crashlab.cli.options import Output, console_for_people, open_config, parse_params, pick_subject
from crashlab.cli.run_report import report_run
from crashlab.decide.params import check_params, typed_params
from crashlab.diagnosis.autopsy.listener import CaseAutopsies
from crashlab.engine.campaign import Limits, Tally, run_campaign
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.remote.order import own_versions
from crashlab.engine.remote.road import RemoteRoad
from crashlab.engine.results.append import RecordsFile, open_records, reopen_records
from crashlab.engine.results.cases import annotate_cases, clear_unfinished
from crashlab.engine.results.plan import RunPlan, own_version, require_same
from crashlab.engine.results.resume import Numbers, Recorded, read_recorded
from crashlab.engine.road import RealRoad, Road
from crashlab.engine.roads import BothRoads, is_computed
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.engine.source import commit_of
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import SubjectError, UsageError
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.event import EventKind
from crashlab.model.seed import subseed
from crashlab.report.ndjson import RECORDS, NdjsonWriter
from crashlab.report.progress import ProgressListener

TRIALS = 100


class RunOptions(msgspec.Struct, frozen=True):
    """What the command line said; `resume` is the run to take up again, which then tells all that decides trials."""

    config: Path | None
    subject: str | None
    faults: tuple[str, ...]
    trials: int | None
    params: tuple[str, ...]
    seed: int
    budget: Budget
    slots: int
    executor: ExecutorChoice
    results: Path | None
    workspace: str | None
    resume: Path | None = None


def run_subject(options: RunOptions, output: Output) -> int:
    """Run the campaign and report; return the exit code."""
    if options.resume is not None:
        return _resume(options, options.resume, output)
    config = open_config(options.config)
    chosen = config.subject(pick_subject(config, options.subject))
    parsed = [parse_fault(text) for text in options.faults]
    trials = options.trials or (len(parsed) if all(map(is_computed, parsed)) else TRIALS)
    texts = parse_params(options.params)
    directory = make_run_directory(options.results or config.results_directory, "run")
    sitting = _Sitting(options, output, chosen, directory, Tally(keep=False))
    try:
        with open_records(directory) as stream, sitting.lab(stream, 0, trials) as space:
            stamp = environment_stamp(space.root)
            with sitting.real_road(space) as real:
                given = _params(chosen, real, texts)
                again = "" if options.config is None else str(options.config)
                plan = RunPlan("run", chosen.name, options.seed, tuple(map(str, parsed)), trials, given, stamp, again)
                plan = _present(plan, chosen, real, stamp)
                sitting.emitter.emit(EventKind.RUN_STARTED, **msgspec.to_builtins(plan))
                sitting.run(plan, space, real)
    except (UsageError, SubjectError):
        if not sitting.tally.verdicts:
            drop_run_directory(directory, RECORDS)
        raise
    return sitting.report(plan)


def _resume(options: RunOptions, path: Path, output: Output) -> int:
    with reopen_records(path) as stream:
        found = read_recorded(path)
        directory = Path(stream.name).parent
        config = open_config(options.config or (Path(found.plan.config) if found.plan.config else None))
        chosen = config.subject(found.plan.subject)
        sitting = _Sitting(options, output, chosen, directory, found.tally, found.done)
        trials = options.trials or found.plan.trials
        with sitting.lab(stream, found.seq, max(0, trials - len(found.done))) as space:
            stamp = environment_stamp(space.root)
            with sitting.real_road(space) as real:
                plan = _present(found.plan, chosen, real, stamp)
                require_same(found.plan, plan, str(directory))
                plan = msgspec.structs.replace(plan, trials=trials)
                click.echo(f"crashlab: {_taken_up(directory, found, trials)}", err=True)
                stream.cut(found.whole)
                clear_unfinished(directory)
                sitting.emitter.emit(
                    EventKind.RUN_RESUMED,
                    recorded=len(found.done),
                    torn=found.torn,
                    trials=trials,
                    commit=plan.commit,
                    environment=stamp,
                )
                sitting.run(plan, space, real)
    return sitting.report(plan)


def _taken_up(directory: Path, found: Recorded, trials: int) -> str:
    torn = f"a torn last line of {found.torn} bytes is cut off; " if found.torn else ""
    doubled = f"{found.doubled} outcomes of trials that had one are not counted; " if found.doubled else ""
    return (
        f"{directory}: {len(found.done)} of {trials} trials are recorded; {torn}{doubled}"
        f"{max(0, trials - len(found.done))} to go"
    )


def _present(plan: RunPlan, subject: Subject, real: RealRoad, stamp: dict[str, str]) -> RunPlan:
    """The plan under the code and the environment of now."""
    root = subject.path[0] if subject.path else "."
    commit = commit_of(root)
    return msgspec.structs.replace(
        plan,
        environment=stamp,
        workload=subject.workload,
        code=real.code(),
        crashlab=own_version(),
        commit=commit.commit,
        committed=commit.committed,
        dirty=commit.dirty,
    )


def _params(subject: Subject, road: RealRoad, texts: dict[str, str]) -> dict[str, Param]:
    declared = road.declared_params()
    own = {name: (value,) for name, value in subject.params.items()}
    check_params(subject.name, declared, own, f"subjects.{subject.name}.params")
    return {**subject.params, **typed_params(subject.name, declared, texts, "--param")}


class _Sitting:
    """One start of the lab over a campaign."""

    def __init__(
        self,
        options: RunOptions,
        output: Output,
        subject: Subject,
        directory: Path,
        tally: Tally,
        recorded: Numbers | None = None,
    ) -> None:
        self._options = options
        self._output = output
        # The cases carry every parameter, so the road needs none of the subject's own.
        self._subject = msgspec.structs.replace(subject, params={})
        self._directory = directory
        self._recorded = recorded or Numbers()
        self.tally = tally
        self.emitter = Emitter()
        self._interrupted = False

    @contextlib.contextmanager
    def lab(self, stream: RecordsFile, first: int, trials: int) -> Iterator[Workspace]:
        """A workspace, and everybody who listens."""
        self.emitter = Emitter(NdjsonWriter(stream), first=first)
        if self._output.stdout == "ndjson":
            self.emitter.add(NdjsonWriter(sys.stdout.buffer))
        with (
            Workspace(self._options.workspace) as space,
            ProgressListener(console_for_people(stderr=True), trials, "trials") as progress,
        ):
            self.emitter.add(progress)
            self.emitter.add(CaseAutopsies())
            yield space

    @contextlib.contextmanager
    def real_road(self, space: Workspace) -> Iterator[RealRoad]:
        """A road that tells what the subject is."""
        road = RealRoad(self._subject, space)
        try:
            yield road
        finally:
            road.close()

    def run(self, plan: RunPlan, space: Workspace, real: RealRoad) -> None:
        """Run what is left of the plan."""
        options, executor = self._options, self._options.executor
        keep = self._directory / "cases"
        both = BothRoads(self._subject, space, keep=keep, environment=plan.environment)
        try:
            for case in _cases(plan, min(plan.trials, len(plan.faults))):
                both.require_fit(case)
            real.close()
            pool = executor.open_pool(options.slots)
            road: Road = both
            slots = executor.slots(options.slots)
            if pool is not None:
                slots = pool.slots
                road = RemoteRoad(self._subject, pool, own_versions(plan.code), keep=keep)
            budget = options.budget
            limits = Limits(
                trials_max=plan.trials,
                seconds=budget.seconds or SECONDS,
                slots=slots,
                **{
                    name: value
                    for name, value in (
                        ("budget_trials", budget.trials),
                        ("states_max", budget.states),
                        ("findings_max", budget.findings),
                    )
                    if value is not None
                },
            )
            with ThreadPoolExecutor(slots) as threads, contextlib.closing(road):
                run_campaign(
                    road,
                    _cases(plan, plan.trials),
                    threads,
                    limits,
                    self.emitter,
                    check_room=space.check_room,
                    tally=self.tally,
                    recorded=self._recorded,
                )
        except KeyboardInterrupt:
            self._interrupted = True
        finally:
            both.close()

    def report(self, plan: RunPlan) -> int:
        """Tell what there is; return the exit code."""
        annotate_cases(self._directory)
        code = report_run(self.tally, self._output, self._directory, plan.subject, plan.config)
        if self._interrupted:
            raise KeyboardInterrupt
        return code


def _cases(plan: RunPlan, trials: int) -> Iterator[Case]:
    """Each fault in turn. Computed states of one round share a seed, so that they are states of one run."""
    faults = [(text, is_computed(parse_fault(text))) for text in plan.faults]
    for number in range(trials):
        fault, computed = faults[number % len(faults)]
        place = number // len(faults) if computed else number
        yield Case(plan.subject, subseed(plan.seed, "case", place), fault, plan.params)
