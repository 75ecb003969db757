"""One recorded run, measured: exposure over time, what the main file alone would be, what recovery costs.

Runs in a process of its own; see `crashlab.decide.study.measurer`.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from crashlab.decide.study.axes import AUTOCHECKPOINT, CADENCE, EVERY_PREFIX, OFF
from crashlab.decide.study.distribution import Clock, Distribution, Spell, measured, over_time
from crashlab.decide.study.grid import Planned
from crashlab.decide.study.results import CellResult
from crashlab.decide.study.states import Sampled, sample_states
from crashlab.decide.study.track import Rest, Track, follow
from crashlab.engine.road import DATABASE
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, read_marks
from crashlab.model.history import Ended, EndKind
from crashlab.model.seed import rng_for
from crashlab.states.trace import load_trace
from crashlab.writers.load import extend_path, load_workload

__all__ = ["MeasureTask", "measure"]

TIMELINE_POINTS = 400
ADVANCES_MIN = 3
"""So often the checkpoints must be seen to move on before the exposure counts as bounded, or have failed to."""


class MeasureTask(msgspec.Struct, frozen=True):
    """A recording in `directory` of a cell; `scratch` and `disk`: directories that do not exist yet.

    `steps`: that were asked for. `samples`: states looked at of each kind. `recoveries`: of so many the recovery is
    timed, on `disk`.
    """

    planned: Planned
    seed: int
    workload: str
    path: tuple[str, ...]
    directory: str
    scratch: str
    disk: str
    steps: int
    samples: int = 40
    recoveries: int = 10


def measure(task: MeasureTask) -> CellResult:
    """Measure a recording.

    Raises:
        LabError: the recording has no operations between its first step and its end.
        RecordError: it is damaged.
    """
    extend_path(task.path)
    tables = load_workload(task.workload).tables
    bases = log_bases(task.directory)
    trace = load_trace(bases)
    records = read_marks(bases)
    history = build_history("study", records, Ended(EndKind.EXITED, 0))
    track = follow(trace, records, history, DATABASE)
    cell = task.planned.cell
    sampled = sample_states(
        trace,
        track,
        history,
        tables,
        scratch=Path(task.scratch),
        disk=Path(task.disk),
        rng=rng_for(task.seed, "states"),
        samples=task.samples,
        recoveries=task.recoveries,
    )
    acked = [step for step in history.acked if not step.process]
    seen = track.rests[-1].end if track.rests else 0.0
    bounded = _bounded(track, task)
    growth = track.rests[-1].frames / seen * 3600 if bounded == "no" and seen else 0.0
    remarks = [note.text for note in history.notes if note.text.startswith("clock: ")]
    refused = sum(1 for step in history.steps if step.error)
    if refused:
        remarks.append(f"{refused} steps were refused")
    if len(acked) + refused < task.steps:
        remarks.append(
            f"{len(acked) + refused} steps instead of {task.steps}; the study's setting `steps` names the parameter "
            "that says how many"
        )
    if track.odd:
        remarks.append(f"{track.odd} operations of an unusual shape were passed over")
    distributions = _exposures(track.rests, rng_for(task.seed, "bootstrap"))
    return CellResult(
        cell,
        task.planned.designs,
        Clock.STEPPED,
        seen,
        len(acked),
        sum(len(step.effects) for step in acked),
        track.crash_points,
        track.checkpoints,
        sum(track.completions.values()),
        dict(sorted(track.completions.items())),
        bounded,
        round(growth, 3),
        *distributions,
        track.wal_bytes_max,
        sum(last - first + 1 for first, last in track.backfills),
        sampled.resting,
        sampled.backfill,
        _rows_lost(sampled),
        sampled.killed,
        _recovery(sampled),
        sampled.recovery_frames,
        _timeline(track.rests),
        tuple(remarks),
    )


def _exposures(rests: Sequence[Rest], rng: Random) -> tuple[Distribution, Distribution, Distribution, Distribution]:
    frames = [_flat(rest, rest.frames) for rest in rests]
    rows = [_flat(rest, rest.rows) for rest in rests]
    power = [_flat(rest, rest.unsynced) for rest in rests]
    ages = [
        Spell(rest.end - rest.start, rest.start - rest.oldest, rest.end - rest.oldest, rest.cycle)
        if rest.oldest is not None
        else _flat(rest, 0)
        for rest in rests
    ]
    return (
        over_time(frames, "frames", rng),
        over_time(rows, "rows", rng),
        over_time(ages, "s", rng),
        over_time(power, "rows", rng),
    )


def _flat(rest: Rest, value: float) -> Spell:
    return Spell(rest.end - rest.start, value, value, rest.cycle)


def _bounded(track: Track, task: MeasureTask) -> str:
    """`yes` when the checkpoints kept moving on, `no` when they did not in spite of time enough, else `unresolved`."""
    if track.advances >= ADVANCES_MIN:
        return "yes"
    if track.advances:
        return "unresolved"
    axes, cell = task.planned.cell.axes, task.planned.cell
    seen = track.rests[-1].end if track.rests else 0.0
    cadence = axes.get(CADENCE, OFF)
    due = 0.0
    if cadence.startswith(EVERY_PREFIX):
        due = seen / (int(cadence[len(EVERY_PREFIX) :]) * cell.tick_s)
    elif cadence != OFF:
        due = seen / float(cadence)
    frames = int(float(axes.get(AUTOCHECKPOINT, "0")))
    by_itself = track.committed / frames if frames > 0 else 0.0
    drivers = [each for each in (due, by_itself) if each]
    return "no" if not drivers or max(drivers) >= ADVANCES_MIN else "unresolved"


def _rows_lost(sampled: Sampled) -> Distribution | None:
    if not sampled.rows_lost:
        return None
    over = f"{len(sampled.rows_lost)} states that are not malformed, drawn by time"
    return measured(sampled.rows_lost, "rows", over, Clock.COMPUTED)


def _recovery(sampled: Sampled) -> Distribution | None:
    if not sampled.recovery_ms:
        return None
    over = f"{len(sampled.recovery_ms)} openings of states drawn by time, files in the page cache"
    return measured(sampled.recovery_ms, "ms", over)


def _timeline(rests: Sequence[Rest]) -> tuple[tuple[float, int, int, float], ...]:
    """At most `TIMELINE_POINTS` rests, evenly, and the one with most frames."""
    stride = max(1, -(-len(rests) // (TIMELINE_POINTS - 1)))
    chosen = set(range(0, len(rests), stride)) | {max(range(len(rests)), key=lambda at: rests[at].frames)}
    return tuple(
        (
            round(rests[at].end, 6),
            rests[at].frames,
            rests[at].rows,
            round(rests[at].end - oldest, 6) if (oldest := rests[at].oldest) is not None else 0.0,
        )
        for at in sorted(chosen)
    )
