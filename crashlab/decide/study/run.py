"""A whole study: recorded runs on the stepped clock, runs in real time, comparisons, a recommendation."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import msgspec

from crashlab.decide.study.axes import CADENCE, EVERY_PREFIX, OFF, Axes, Cell, find_axes
from crashlab.decide.study.compare import all_effects
from crashlab.decide.study.distribution import measured
from crashlab.decide.study.grid import Planned, default_grid, full_grid, latency_grid
from crashlab.decide.study.latency import Round, run_in_real_time
from crashlab.decide.study.measure import MeasureTask
from crashlab.decide.study.measurer import Measurers
from crashlab.decide.study.recommend import recommend
from crashlab.decide.study.results import CellResult, Kind, LatencyResult, StudyResult
from crashlab.decide.study.settings import StudyConfig
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.judge import clear_run
from crashlab.engine.recording import record
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError, LabError
from crashlab.model.case import Case, Param
from crashlab.writers.order import ClockKind

__all__ = ["Study", "StudyOptions"]

WAKES_MAX = 2000
"""So often a loop may wake in one stepped run: a cadence far shorter than the tick gets fewer steps."""

STEPS_MIN = 40
CADENCES_SEEN = 5
LATENCY_SHARE = 0.45
ROUND_OVERHEAD_S = 0.6
BUSY_MAX = 0.7
"""From this share of the processors' time on, something else ran beside a run in real time."""

BUSY = "other work kept the processors busy: times here are not this machine's own, compare them with each other only"


class StudyOptions(msgspec.Struct, frozen=True):
    """How a study runs. `chosen`: axis → values, instead of the default grid; `also`: parameters that are axes, too.

    `seconds` bounds it; `workers` runs are recorded and measured at once. `workspace`: where recorded runs go,
    `rounds` of every cell in real time; 0 for none.
    """

    seed: int = 1
    seconds: float = 300.0
    workers: int = 0
    workspace: str = ""
    chosen: dict[str, tuple[str, ...]] = {}
    also: tuple[str, ...] = ()
    full: bool = False
    rounds: int = 3


class Study:
    """One study of one subject; a context manager that ends all its processes.

    `plan()` first, which raises for what the user got wrong, then `run(emitter)`, once.
    """

    def __init__(self, subject: Subject, settings: StudyConfig, options: StudyOptions) -> None:
        self.subject = subject
        self._settings = settings
        self._options = options
        self._slots = Slots(subject)
        self._left_out: list[str] = []
        self._cells: list[CellResult] = []
        self._rounds: list[tuple[Planned, list[Round]]] = []

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self._slots.close()

    def plan(self) -> None:
        """Find the subject's axes and lay out the grid.

        Raises:
            SubjectError: the subject does not import.
            UsageError: it has no axis for its checkpoints, or an axis or value that was asked for does not exist.
        """
        options = self._options
        with self._slots.use() as slot:
            declared = self._slots.params(slot.judge, {})
        self.axes: Axes = find_axes(self.subject.name, declared, self._settings, options.also)
        chosen = {name: self.axes.check(name, values) for name, values in options.chosen.items()}
        if chosen or options.full:
            self.stepped = full_grid(self.axes, chosen, all_axes=options.full)
        else:
            self.stepped = default_grid(self.axes)
        asked = {**(self.axes.values if options.full else {}), **chosen} if chosen or options.full else None
        self.timed = latency_grid(self.axes, chosen=asked) if options.rounds else []

    def run(self, emitter: Emitter, directory: str) -> StudyResult:
        """Run what was planned, within the budget, and tell what comes of it as it comes.

        Runs in real time and timed recoveries are in a directory of their own in `directory`, on a real disk.

        An interrupt ends the study early: what was found by then is the result, which says so.
        """
        begin = time.monotonic()
        until = begin + self._options.seconds
        axes, options = self.axes, self._options
        with Workspace(options.workspace or None) as space, Workspace(directory) as disk:
            environment, at_disk = environment_stamp(space.root), environment_stamp(disk.root)
            designs = _designs([*self.stepped, *self.timed])
            emitter.emit(
                Kind.STARTED,
                subject=self.subject.name,
                seed=options.seed,
                axes=axes.values,
                base=axes.base,
                cells=len(self.stepped),
                latency_cells=len(self.timed),
                designs=designs,
                left_out=[],
                environment=environment,
                disk=at_disk,
            )
            stop = "completed"
            try:
                reserve = min(
                    LATENCY_SHARE * options.seconds,
                    len(self.timed) * options.rounds * (self._settings.latency_s + ROUND_OVERHEAD_S),
                )
                for cell in self._run_stepped(space, disk, until - reserve):
                    self._cells.append(cell)
                    emitter.emit(Kind.CELL, **msgspec.to_builtins(cell))
                self._run_timed(disk, until)
            except KeyboardInterrupt:
                stop = "interrupted"
        latencies = [_latency(planned, rounds) for planned, rounds in self._rounds if rounds]
        for latency in latencies:
            emitter.emit(Kind.LATENCY, **msgspec.to_builtins(latency))
        if stop == "completed" and any(line.startswith("budget: ") for line in self._left_out):
            stop = "budget"
        samples = {str(planned.cell): rounds for planned, rounds in self._rounds}
        effects = tuple(all_effects(axes, self._cells, latencies, samples, options.seed))
        for effect in effects:
            emitter.emit(Kind.EFFECT, **msgspec.to_builtins(effect))
        advice = recommend(axes, self._cells, latencies, effects) if self._cells else None
        if advice is not None:
            emitter.emit(Kind.RECOMMENDATION, **msgspec.to_builtins(advice))
        seconds = round(time.monotonic() - begin, 1)
        left_out = tuple(self._left_out)
        emitter.emit(
            Kind.FINISHED,
            seconds=seconds,
            cells=len(self._cells),
            latency_cells=len(latencies),
            stop=stop,
            left_out=left_out,
        )
        return StudyResult(
            self.subject.name, options.seed, axes.values, axes.base, environment, at_disk, tuple(self._cells),
            tuple(latencies), effects, advice, seconds, stop, left_out, designs,
        )  # fmt: skip

    def _run_stepped(self, space: Workspace, disk: Workspace, until: float) -> Iterator[CellResult]:
        """Record and measure the cells, several at once; yields them in the plan's order."""
        workers = self._options.workers or max(1, os.cpu_count() or 1)
        numbers = count()
        with Measurers() as measurers, ThreadPoolExecutor(workers) as recorders:
            stopped = False

            def one(planned: Planned) -> CellResult | str:
                if stopped or time.monotonic() > until:
                    return ""
                directory, steps = "", self._steps(planned.cell)
                try:
                    recording = record(
                        self._slots,
                        space,
                        self._case(planned.cell, steps),
                        clock=ClockKind.RENDEZVOUS,
                        tick_s=planned.cell.tick_s,
                    )
                    directory = recording.directory
                    number = next(numbers)
                    task = MeasureTask(
                        planned,
                        self._options.seed,
                        self.subject.workload,
                        self.subject.path,
                        directory,
                        str(space.root / f"states{number}"),
                        str(disk.root / f"recovered{number}"),
                        steps,
                    )
                    return measurers.measure(task)
                except CrashlabError as error:
                    return f"{planned.cell}: {' '.join(str(error).split())[:300]}"
                finally:
                    if directory:
                        clear_run(directory)

            futures: list[Future[CellResult | str]] = [recorders.submit(one, planned) for planned in self.stepped]
            skipped = 0
            try:
                for future in futures:
                    done = future.result()
                    if isinstance(done, CellResult):
                        yield done
                    elif done:
                        self._left_out.append(done)
                    else:
                        skipped += 1
            except BaseException:
                self._slots.close()  # what runs now is not waited for
                measurers.close()
                raise
            finally:
                stopped = True
                for future in futures:
                    future.cancel()
        if skipped:
            self._left_out.append(f"budget: {skipped} of {len(self.stepped)} stepped cells")

    def _run_timed(self, disk: Workspace, until: float) -> None:
        """Run the cells in real time, one after another, round after round, so that a slow minute hits all."""
        options = self._options
        self._rounds = [(planned, []) for planned in self.timed]
        broken: set[str] = set()
        for number in range(options.rounds):
            for planned, rounds in self._rounds:
                if str(planned.cell) in broken:
                    continue
                if time.monotonic() > until:
                    self._left_out.append(
                        f"budget: {len(self.timed)} cells in real time have {number} of {options.rounds} rounds"
                    )
                    return
                cell = planned.cell
                case = self._case(cell, max(1, round(self._settings.latency_s / cell.tick_s)), latency=True)
                try:
                    rounds.append(run_in_real_time(self._slots, disk, case, cell.tick_s))
                except LabError as error:
                    broken.add(str(cell))
                    self._left_out.append(f"in real time, {cell}: {' '.join(str(error).split())[:300]}")

    def _case(self, cell: Cell, steps: int, *, latency: bool = False) -> Case:
        settings = self._settings
        params: dict[str, Param] = dict(cell.params)
        if latency:
            params.update(settings.latency_params)
        if settings.steps in self.axes.declared:
            params[settings.steps] = steps
        deadline = 60.0 + 0.1 * steps
        return Case(self.subject.name, self._options.seed, "none", params, deadline, steps)

    def _steps(self, cell: Cell) -> int:
        """Steps of a stepped run: enough to see the cadence several times, and few enough to be quick."""
        steps = self._settings.writes
        cadence = cell.axes.get(CADENCE, OFF)
        if cadence == OFF:  # SQLite's auto-checkpoint alone takes some hundred steps each time
            return 2 * steps
        if cadence.startswith(EVERY_PREFIX):
            return steps
        per_cadence = float(cadence) / cell.tick_s
        if CADENCES_SEEN * per_cadence > steps:
            return min(math.ceil(CADENCES_SEEN * per_cadence), 2 * steps)
        return max(STEPS_MIN, min(steps, math.floor(WAKES_MAX * per_cadence)))


def _latency(planned: Planned, rounds: Sequence[Round]) -> LatencyResult:
    seconds = sum(each.seconds for each in rounds)
    checkpoints = [value for each in rounds for value in each.checkpoint_ms]
    over = f"{len(rounds)} rounds"
    return LatencyResult(
        planned.cell,
        planned.designs,
        "real",
        len(rounds),
        round(seconds, 3),
        sum(each.steps for each in rounds),
        measured(checkpoints, "ms", f"checkpoints in {over}") if checkpoints else None,
        measured(stalls, "ms", f"steps in {over}") if (stalls := [v for r in rounds for v in r.stall_ms]) else None,
        measured(commits, "ms", f"commits in {over}")
        if (commits := [v for r in rounds for v in r.commit_ms])
        else None,
        sum(checkpoints) / 1000.0 / seconds if seconds else 0.0,
        max(each.wal_bytes_max for each in rounds),
        (BUSY,) if sum(each.busy for each in rounds) > BUSY_MAX * len(rounds) else (),
    )


def _designs(planned: Sequence[Planned]) -> dict[str, str]:
    counted: dict[str, int] = {}
    for each in planned:
        for name in each.designs:
            counted[name] = counted.get(name, 0) + 1
    return {name: f"{cells} cells" for name, cells in counted.items()}
