"""Telling a failing trial in little data: its steps and what became of them, phases, syncs, the WAL as it was left."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from crashlab.model.history import History, StepRecord, StepState
from crashlab.model.step import Row
from crashlab.model.story import (
    OPERATIONS_MAX,
    PHASES_MAX,
    RUNS_MAX,
    STEPS_MAX,
    FrameRun,
    Story,
    StoryOperation,
    StoryPhase,
    StoryStep,
    WalMap,
)
from crashlab.sqlite.exposure import exposed_frames
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.shm import parse_shm
from crashlab.sqlite.wal import parse_wal

__all__ = ["tell_story", "wal_map"]

WAL_BYTES_MAX = 64 << 20
COMMITS_MAX = 200
_DETAIL_MAX = 60


def tell_story(
    history: History,
    rows: dict[str, dict[Row, Row]] | None,
    evidence: Triplet,
    *,
    operations: Iterable[tuple[int, str]] = (),
) -> Story:
    """Tell a trial. `rows`: what came back, None if nothing is known of it. `operations`: (ns, what) of a recorded run.

    `evidence` is a copy of the files as the fault left them; a WAL over 64 MiB is not mapped.
    """
    did = list(operations)
    times = [step.begin_ns for step in history.steps] + [phase.enter_ns for phase in history.phases]
    start = min(times + [ns for ns, _ in did], default=history.last_ns)

    def since(ns: int) -> int:
        return max(0, ns - start) // 1000

    steps = sorted(history.steps, key=lambda step: (step.begin_ns, step.begin_seq))
    backs = _backs(steps, rows)
    told = [
        StoryStep(
            step.lane[:_DETAIL_MAX],
            step.seq,
            step.state.value,
            since(step.begin_ns),
            since(step.end_ns) if step.end_ns else -1,
            back,
            step.process,
        )
        for step, back in zip(steps, backs, strict=True)
    ]
    phases = [
        StoryPhase(
            phase.name,
            since(phase.enter_ns),
            since(phase.leave_ns) if phase.leave_ns else -1,
            phase.detail[:_DETAIL_MAX],
            phase.process,
        )
        for phase in history.phases
    ]
    counts = {
        "steps": len(told) - STEPS_MAX,
        "phases": len(phases) - PHASES_MAX,
        "operations": len(did) - OPERATIONS_MAX,
    }
    return Story(
        since(history.last_ns),
        tuple(told[-STEPS_MAX:]),
        tuple(phases[-PHASES_MAX:]),
        tuple(StoryOperation(since(ns), what[:_DETAIL_MAX]) for ns, what in did[-OPERATIONS_MAX:]),
        wal_map(evidence),
        {name: count for name, count in counts.items() if count > 0},
    )


def _backs(steps: list[StepRecord], rows: dict[str, dict[Row, Row]] | None) -> list[str]:
    """What became of each step's rows, the steps in the order in which they began."""
    if rows is None:
        return ["" for _ in steps]
    written: dict[tuple[str, Row], list[tuple[int, Row | None]]] = {}
    for number, step in enumerate(steps):
        for effect in () if step.state is StepState.REFUSED else step.effects:
            written.setdefault((effect.table, effect.key), []).append((number, effect.value))
    backs = []
    for number, step in enumerate(steps):
        seen = set()
        for effect in () if step.state is StepState.REFUSED else step.effects:
            found = rows.get(effect.table, {}).get(effect.key)
            later = (value for other, value in written[(effect.table, effect.key)] if other > number)
            seen.add("there" if found == effect.value else "over" if any(found == value for value in later) else "gone")
        if len(seen) > 1:
            seen.discard("over")  # what is left tells more
        backs.append("part" if len(seen) > 1 else next(iter(seen), ""))
    return backs


def wal_map(evidence: Triplet) -> WalMap | None:
    """Map the WAL of copied files; None where there is none, none with frames, or one that is too large."""
    if not evidence.wal.exists() or not 32 < evidence.wal.stat().st_size <= WAL_BYTES_MAX:
        return None
    main = evidence.main.read_bytes() if evidence.main.exists() else b""
    data = evidence.wal.read_bytes()
    wal = parse_wal(data)
    if not wal.page_size:
        return None
    only_here = set(exposed_frames(main, data, wal))
    fates = [
        "uncommitted" if frame >= wal.committed else "wal" if frame in only_here else "main"
        for frame in range(wal.valid)
    ]
    runs = list(_runs(fates))
    generations: dict[tuple[int, int], int] = {}
    for run in wal.tail:
        number = 0 if run.current else generations.setdefault(run.salts, len(generations) + 1)
        runs.append(FrameRun(run.first_frame, run.frames, "torn" if run.current else "old", number))
    index = parse_shm(evidence.shm.read_bytes()) if evidence.shm.exists() else None
    return WalMap(
        wal.valid + wal.tail_frames,
        wal.page_size,
        wal.committed,
        tuple(runs[:RUNS_MAX]),
        wal.end.value,
        wal.commits[-COMMITS_MAX:],
        index.backfilled if index is not None and index.header is not None else -1,
        1 + len(generations),
    )


def _runs(fates: list[str]) -> Iterator[FrameRun]:
    first = 0
    for fate, members in groupby(fates):
        count = sum(1 for _ in members)
        yield FrameRun(first, count, fate)
        first += count
