"""Judging one trial: evidence first, then the restart path, then the oracles.

Runs in a process of its own that never had the database open, after the writer was reaped.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from crashlab.engine.casedir import save_case
from crashlab.engine.recover import read_main_alone, restart_and_read
from crashlab.engine.story import tell_story
from crashlab.engine.verdict import judge_view
from crashlab.errors import CrashlabError, LimitError, RecordError
from crashlab.faults.crash_state import CrashStateFault
from crashlab.faults.fault import parse_fault
from crashlab.faults.states import StatesFault
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.log.record import Record
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind, History
from crashlab.model.outcome import Exposure, Outcome
from crashlab.model.phase import death_phases
from crashlab.model.step import Row
from crashlab.oracles.view import View
from crashlab.sqlite.exposure import measure_exposure
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.wal import parse_wal
from crashlab.states.materialise import Materialiser
from crashlab.states.trace import load_trace
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order

EVIDENCE = "evidence"
EVIDENCE_BYTES_MAX = 1 << 30


class JudgeOrder(msgspec.Struct, frozen=True, tag=True):
    """What the judge is told: the trial's case, its run's order, how the writer ended.

    `keep` is the directory for failing cases, empty to keep none. `recording` is the directory of a recorded run
    whose computed crash state is judged instead of what a process left.
    """

    trial_id: str
    case: Case
    order: Order
    ended: Ended
    keep: str = ""
    environment: dict[str, str] = {}
    recording: str = ""


def judge_trial(workload: Any, task: JudgeOrder, stage: Callable[[str], None]) -> Outcome:
    """Judge one trial.

    `stage(name)` is called before each part that may take the process down with it. What goes wrong with
    the lab's own files, or with the workload's description of itself, is an ERROR, never a finding.
    """
    try:
        return _judge(workload, task, stage)
    except (CrashlabError, OSError) as error:
        return Outcome(task.trial_id, task.case, Verdict.ERROR, task.ended, error=str(error))


def _judge(workload: Any, task: JudgeOrder, stage: Callable[[str], None]) -> Outcome:
    started = time.perf_counter_ns()
    case, order, ended = task.case, task.order, task.ended
    directory = Path(order.directory)
    stage("evidence")
    fault = parse_fault(case.fault)
    if isinstance(fault, StatesFault):
        raise RecordError(f"fault {case.fault}: a batch of states is for the trace road, which explores it")
    logs = [list(read_log(base)) for base in log_bases(task.recording or order.directory)]
    records = merge(logs)
    if isinstance(fault, CrashStateFault):
        records = _materialise(fault, task, records)
    history = build_history(case.case_id, records, ended)
    applied = fault.apply(Path(order.database))
    firing = fault.fired(ended, history, applied)
    triplet = Triplet.of(order.database)
    evidence = directory / EVIDENCE
    evidence.mkdir()
    copy = triplet.copy_into(evidence, max_bytes=EVIDENCE_BYTES_MAX)
    phases = ",".join(death_phases(history)) if ended.kind is EndKind.SIGNALLED else ""
    outcome = Outcome(
        task.trial_id,
        case,
        Verdict.PASS,
        ended,
        fired=firing.how,
        phase=phases,
        acked=len(history.acked),
        settings=history.settings,
    )
    if not firing.fired:
        return _unfired(outcome, ended, history)
    copied = time.perf_counter_ns()
    sidecars = _sidecar_sizes(triplet)
    exposure, main_rows = _exposure(copy, directory, workload)
    parsed = time.perf_counter_ns()
    stage("restart")
    context = RunContext(order, 0, sqlite3.connect)
    wal_index = copy.shm.read_bytes() if copy.shm.exists() else b""
    recovered = restart_and_read(workload, context, history, fault.fault_class, wal_index, sidecars)
    stage("oracles")
    restarted = time.perf_counter_ns()
    view = View(
        case.subject,
        fault.fault_class,
        workload.contract,
        workload.tables,
        history,
        recovered,
        history.settings.get("synchronous", "FULL"),
    )
    findings, undone = judge_view(view, history.settings)
    judged = time.perf_counter_ns()
    outcome = msgspec.structs.replace(
        outcome,
        verdict=Verdict.FAIL if findings else Verdict.PASS,
        fired=firing.how + ("; the last commit was undone, as a rollback journal's may be" if undone else ""),
        findings=findings,
        found=sum(len(rows) for rows in recovered.rows.values()),
        exposure=_rows_outside(exposure, history, main_rows),
        timings_us={
            "writer": (ended.end_ns - ended.start_ns) // 1000,
            "evidence": (copied - started) // 1000,
            "exposure": (parsed - copied) // 1000,
            "restart": (restarted - parsed) // 1000,
            "oracles": (judged - restarted) // 1000,
        },
    )
    if findings and task.keep:
        with contextlib.suppress(OSError):  # a story is an extra
            story = tell_story(history, None if recovered.refused else recovered.rows, copy)
            outcome = msgspec.structs.replace(outcome, story=story)
        with contextlib.suppress(LimitError):  # no room to keep it is no reason to lose what was found
            saved = save_case(
                Path(task.keep),
                outcome,
                history,
                task.environment,
                evidence,
                task.recording,
                tables=workload.tables,
            )
            outcome = msgspec.structs.replace(outcome, case_dir=str(saved))
    return outcome


def _materialise(fault: CrashStateFault, task: JudgeOrder, records: list[Record]) -> list[Record]:
    """Write the crash state's files into the run's directory; return the records from before the crash."""
    directory = Path(task.order.directory)
    if not task.recording:
        raise RecordError(f"fault {fault}: a crash state needs the recording that it is a state of")
    trace = load_trace(log_bases(task.recording))
    with Materialiser(trace, directory / "states") as materialiser:
        materialiser.export(fault.state, directory)
    return list(filter(trace.happened_before(fault.state.op), records))


def clear_run(directory: str) -> None:
    """Remove a run's directory; what cannot be removed goes with the workspace."""
    shutil.rmtree(directory, ignore_errors=True)  # goes on where a file has just gone by itself


def _unfired(outcome: Outcome, ended: Ended, history: History) -> Outcome:
    """The fault never hit: MISSED, or ERROR if the writer broke or had to be ended."""
    if ended.kind is EndKind.DEADLINE:
        return msgspec.structs.replace(
            outcome,
            verdict=Verdict.ERROR,
            error=f"the writer was still running at its deadline of {outcome.case.deadline_s} s and was killed",
        )
    if ended.kind is EndKind.EXITED and ended.code:
        crash = next((n.text for n in reversed(history.notes) if n.text.startswith("crashed: ")), ended.stderr)
        return msgspec.structs.replace(
            outcome, verdict=Verdict.ERROR, error=f"the writer exited with code {ended.code}: {crash.strip()[-1500:]}"
        )
    if ended.kind is EndKind.SIGNALLED:
        return msgspec.structs.replace(
            outcome,
            verdict=Verdict.ERROR,
            error=f"the writer died of signal {ended.code}, which this fault did not send",
        )
    return msgspec.structs.replace(outcome, verdict=Verdict.MISSED)


def _sidecar_sizes(triplet: Triplet) -> dict[str, int]:
    sizes = triplet.sizes()
    return {path.name: sizes[path.name] for path in (triplet.wal, triplet.journal) if path.name in sizes}


def _exposure(copy: Triplet, directory: Path, workload: Any) -> tuple[Exposure, dict[str, dict[Row, Row]]]:
    main = copy.main.read_bytes() if copy.main.exists() else b""
    wal = copy.wal.read_bytes() if copy.wal.exists() else b""
    parsed = parse_wal(wal)
    measured = measure_exposure(main, wal, parsed)
    alone = directory / "main-alone.db"
    if copy.main.exists():
        os.link(copy.main, alone)
    kind, rows = read_main_alone(str(alone), workload.tables)
    return (
        Exposure(frames=measured.frames, frames_uncommitted=parsed.uncommitted, wal_bytes=len(wal), main_alone=kind),
        rows,
    )


def _rows_outside(exposure: Exposure, history: History, main_rows: dict[str, dict[Row, Row]]) -> Exposure:
    """Count acked effects that the main file alone does not hold, and the age of the oldest."""
    latest: dict[tuple[str, Row], tuple[Row | None, int]] = {}
    for step in history.acked:
        for effect in step.effects:
            latest[(effect.table, effect.key)] = (effect.value, step.end_ns)
    rows = 0
    oldest = 0
    for (table, key), (value, ns) in latest.items():
        if main_rows.get(table, {}).get(key) != value:
            rows += 1
            oldest = min(oldest or ns, ns)
    seconds = (history.last_ns - oldest) / 1e9 if oldest else 0.0
    return msgspec.structs.replace(exposure, rows=rows, seconds=max(0.0, seconds))
