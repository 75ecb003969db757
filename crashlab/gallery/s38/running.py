"""Running S38: a real writer on a real terminal, the close, the evidence, and four ways to treat it."""

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from crashlab.errors import LabError, UsageError
from crashlab.faults.hangup import HangUpFault
from crashlab.faults.text import split_fault
from crashlab.gallery.s38.result import (
    COPIED_WHOLE,
    INTERRUPTED,
    MAIN_ALONE,
    RESTARTED,
    WAL_DELETED,
    Fate,
    OnDisk,
    Plan,
    Reproduction,
    Run,
)
from crashlab.gallery.s38.writer import FILLS, WORKLOAD, engine
from crashlab.log.history import build_history
from crashlab.log.reader import read_log
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind, History
from crashlab.model.seed import rng_for, subseed
from crashlab.sqlite.check import MainKind, integrity_check, main_alone, quick_check
from crashlab.sqlite.exposure import measure_exposure
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.library import find_library
from crashlab.sqlite.wal import parse_wal
from crashlab.writers.context import RunContext
from crashlab.writers.launcher import Launcher, make_launcher
from crashlab.writers.order import HangUp, Moment, OnHangUp, Order, log_base

RUNS_MAX = 1000
GRACE_S_MIN = 0.001
GRACE_S_MAX = 60.0
EVIDENCE_BYTES_MAX = 256 << 20
_CHECK_S = 30.0
_SLACK_S = 10.0
_OPCODES = 10_000  # SQLite's virtual-machine steps between two looks at the clock


def draw_plan(
    seed: int,
    run: int,
    *,
    on: OnHangUp = OnHangUp.DEFAULT,
    grace_s: float = 5.0,
    auto_checkpoint: int = 1000,
    close_s: float = 0.0,
) -> Plan:
    """Draw one run's plan from the seed: how many rows, how many of them settled, how large the open transaction."""
    own = seed if run == 0 else subseed(seed, "run", run)
    rows = rng_for(own, "rows").randint(600, 900)
    hold_s = grace_s + 5.0
    return Plan(
        seed=own,
        rows=rows,
        settled=rng_for(own, "settled").randint(100, 200),
        batch=rng_for(own, "batch").randint(40, 80),
        auto_checkpoint=auto_checkpoint,
        fault=str(HangUpFault(Moment.ACK, n=rows, on=on, grace_us=round(grace_s * 1e6))),
        close_s=close_s,
        hold_s=hold_s,
        deadline_s=hold_s + close_s + _SLACK_S,
    )


def reproduce(
    seed: int = 0,
    runs: int = 1,
    *,
    on: OnHangUp = OnHangUp.DEFAULT,
    grace_s: float = 5.0,
    auto_checkpoint: int = 1000,
    close_s: float = 0.0,
    deadline_s: float = 120.0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Reproduction:
    """Close the terminal on `runs` writers, one after another, and say what each close and its aftermath did.

    Nothing is left behind: all files lie in a temporary directory. `deadline_s` bounds the whole; no run is
    begun after it and `stopped` says so; Ctrl-C keeps the runs that are done. `progress(done, of)` is called after
    each run.

    Raises:
        UsageError: a number out of range, or no pseudo-terminals on this platform.
        LabError: the lab itself broke before the first run had an answer.
    """
    if close_s and on is not OnHangUp.HANDLE:
        raise UsageError(
            f"close takes {close_s:g} s, but a writer of kind {on.value!r} never gets to close(); use 'handle'"
        )
    _validate(runs=runs, grace_s=grace_s, auto_checkpoint=auto_checkpoint, close_s=close_s, deadline_s=deadline_s)
    require_terminal()
    until = time.monotonic() + deadline_s
    done: list[Run] = []
    stopped = ""
    with _scratch() as directory:
        with closing(make_launcher(WORKLOAD)) as launcher:
            for index in range(runs):
                left = until - time.monotonic()
                if done and left <= 0:
                    stopped = f"the deadline of {deadline_s:g} s was reached after {len(done)} of {runs} runs"
                    break
                plan = draw_plan(seed, index, on=on, grace_s=grace_s, auto_checkpoint=auto_checkpoint, close_s=close_s)
                plan = msgspec.structs.replace(plan, deadline_s=min(plan.deadline_s, max(1.0, left)))
                place = Path(directory) / f"run{index}"
                place.mkdir()
                try:
                    done.append(run_once(plan, launcher, place))
                    progress(len(done), runs)
                except LabError as error:
                    if not done:
                        raise
                    stopped = f"the lab broke in run {index + 1} of {runs}: {error}"
                    break
                except KeyboardInterrupt:
                    if not done:
                        raise
                    stopped = f"{INTERRUPTED} after {len(done)} of {runs} runs"
                    break
                finally:
                    shutil.rmtree(place, ignore_errors=True)
        environment = _environment(directory)
    return Reproduction(seed, runs, tuple(done), stopped, environment)


def require_terminal() -> None:
    """Refuse by name where a terminal can't be closed on a forked writer.

    Raises:
        UsageError: not on this platform.
        LabError: the platform has pseudo-terminals, but none is to be had.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"s38 can't be reproduced on {sys.platform}: it needs a writer forked onto a pseudo-terminal, which "
            "crashlab does on Linux only; what it shows holds here too (on Windows the console's close is a "
            "TerminateProcess after about 5 s)"
        )
    try:
        ends = os.openpty()
    except OSError as error:
        raise LabError(f"s38 needs a pseudo-terminal and none is to be had ({error}); is /dev/pts mounted?") from error
    for end in ends:
        os.close(end)


def run_once(plan: Plan, launcher: Launcher, place: Path) -> Run:
    """Run one plan in `place`, an empty directory of its own.

    Raises:
        LabError: the launcher broke, or the evidence could not be copied.
    """
    fault = _fault(plan)
    home = place / "engine"
    home.mkdir()
    order = _order(plan, fault.hangup(), home)
    ended = launcher.launch(order)
    history = build_history(f"s38-{plan.seed}", list(read_log(log_base(order.directory, 0))), ended)
    firing = fault.fired(ended, history, "")
    if ended.kind is EndKind.DEADLINE:
        return Run(plan, Verdict.ERROR, f"the writer was still running at its deadline of {plan.deadline_s:g} s")
    if not firing.fired:
        return Run(plan, Verdict.MISSED, firing.how + _last_words(ended), settings=history.settings)
    evidence = Triplet.of(order.database).copy_into(_new(place / "evidence"), max_bytes=EVIDENCE_BYTES_MAX)
    acked = {effect.key[0]: step.end_ns for step in history.acked for effect in step.effects}
    alone = main_alone(evidence.main, [FILLS.name], scratch=place)
    fates = _treat(order, evidence, place, set(acked))
    on_disk = _on_disk(evidence, alone.kind, alone.rows.get(FILLS.name, 0), fates[-1], history, acked)
    problems = find_problems(fates, on_disk)
    verdict = Verdict.FAIL if problems else Verdict.PASS
    return Run(plan, verdict, firing.how, len(acked), on_disk, fates, problems, history.settings)


def find_problems(fates: tuple[Fate, ...], on_disk: OnDisk) -> tuple[str, ...]:
    """Say what contradicts SQLite's promise for process death; nothing is promised for the other two treatments."""
    problems: list[str] = []
    for fate in fates:
        if fate.fault_class != FaultClass.PROCESS_DEATH:
            continue
        if fate.error:
            problems.append(f"{fate.done}: could not be opened and read ({fate.error})")
            continue
        if fate.lost:
            problems.append(f"{fate.done}: lost {fate.lost} acked rows, {fate.lost_first} to {fate.lost_last}")
        if fate.unacked:
            problems.append(f"{fate.done}: {fate.unacked} rows that were never committed are there")
        if fate.damaged:
            problems.append(f"{fate.done}: {fate.damaged} rows fail their own checksum")
        problems += (f"{fate.done}: {line}" for line in (*fate.quick_check, *fate.integrity_check))
    lone = next(fate for fate in fates if fate.name == MAIN_ALONE)
    here = lone.acked - lone.lost
    if on_disk.main_alone == MainKind.READABLE and here != on_disk.main_alone_rows:
        problems.append(f"two ways to read the main file alone disagree: {on_disk.main_alone_rows} rows and {here}")
    return tuple(problems)


def _treat(order: Order, evidence: Triplet, place: Path, acked: set[int]) -> tuple[Fate, ...]:
    """Open the evidence in four ways, each on files of its own; the first are the writer's own files."""
    hang_up, interference = "process death by hang-up", "interference: sidecar deleted"
    control, copied = "control: everything copied", "copy without its WAL"
    death, meddling = FaultClass.PROCESS_DEATH, FaultClass.INTERFERENCE
    whole = evidence.copy_into(_new(place / COPIED_WHOLE))
    without = evidence.copy_into(_new(place / WAL_DELETED))
    without.wal.unlink(missing_ok=True)
    alone = Triplet.of(_new(place / MAIN_ALONE) / evidence.main.name)
    shutil.copyfile(evidence.main, alone.main)
    own = Triplet.of(order.database)
    return (
        _open(order, own, acked, Fate(RESTARTED, "restarted, files untouched", hang_up, death, len(acked))),
        _open(order, whole, acked, Fate(COPIED_WHOLE, "everything copied (control)", control, death, len(acked))),
        _open(order, without, acked, Fate(WAL_DELETED, "-wal deleted, restarted", interference, meddling, len(acked))),
        _open(order, alone, acked, Fate(MAIN_ALONE, "main file copied alone", copied, meddling, len(acked))),
    )


def _open(order: Order, files: Triplet, acked: set[int], fate: Fate) -> Fate:
    """Open files by the program's own restart path and compare what is there with what was acked."""
    there = msgspec.structs.replace(order, database=str(files.main), directory=str(files.main.parent))
    until = time.monotonic() + _CHECK_S
    try:
        with closing(engine.restart(RunContext(there, 0, sqlite3.connect)).connection) as connection:
            connection.set_progress_handler(lambda: int(time.monotonic() > until), _OPCODES)
            rows = connection.execute(FILLS.query).fetchall()
            (ended,) = connection.execute("SELECT count(*) FROM session WHERE ended IS NOT NULL").fetchone()
            quick, integrity = quick_check(connection), integrity_check(connection)
    except sqlite3.Error as error:
        return msgspec.structs.replace(fate, error=str(error), lost=len(acked))
    found = {row[0] for row in rows}
    lost = acked - found
    verify = FILLS.verify or (lambda _key, _value: True)
    return msgspec.structs.replace(
        fate,
        found=len(found & acked),
        lost=len(lost),
        lost_first=min(lost, default=0),
        lost_last=max(lost, default=0),
        lost_gap=bool(lost) and max(found & acked, default=0) > min(lost),
        unacked=len(found - acked),
        damaged=sum(not verify((row[0],), tuple(row[1:])) for row in rows),
        ended_mark=bool(ended),
        quick_check=quick,
        integrity_check=integrity,
    )


def _on_disk(
    evidence: Triplet, alone: MainKind, alone_rows: int, lone: Fate, history: History, acked: dict[int, int]
) -> OnDisk:
    main = evidence.main.read_bytes() if evidence.main.exists() else b""
    log = evidence.wal.read_bytes() if evidence.wal.exists() else b""
    wal = parse_wal(log)
    exposure = measure_exposure(main, log, wal)
    # Once a transaction has rewritten a frame in place, SQLite leaves the salts of its later frames zero until the
    # commit (walEncodeFrame in wal.c), so those are of this round too.
    unread = sum(run.frames for run in wal.tail if run.current or run.salts == (0, 0))
    oldest_ns = acked.get(lone.lost_first, 0)
    return OnDisk(
        sizes=evidence.sizes(),
        frames_committed=wal.committed,
        frames_uncommitted=wal.uncommitted,
        commits=len(wal.commits),
        chain_end=str(wal.end) if log else "",
        frames_unread=unread,
        frames_old=wal.tail_frames - unread,
        exposed_frames=exposure.frames,
        exposed_pages=exposure.pages,
        exposed_bytes=exposure.bytes,
        exposed_commits=exposure.commits,
        exposed_rows=lone.lost,
        exposed_s=round((history.ended.end_ns - oldest_ns) / 1e9, 3) if lone.lost and oldest_ns else 0.0,
        main_alone=str(alone),
        main_alone_rows=alone_rows,
    )


def _fault(plan: Plan) -> HangUpFault:
    return HangUpFault.parse(split_fault(plan.fault))


def _order(plan: Plan, hangup: HangUp, home: Path) -> Order:
    return Order(
        directory=str(home),
        database=str(home / "engine.db"),
        workload=WORKLOAD,
        seed=plan.seed,
        params={
            "rows": plan.rows,
            "settled": plan.settled,
            "batch": plan.batch,
            "auto_checkpoint": plan.auto_checkpoint,
            "hold_s": plan.hold_s,
            "close_s": plan.close_s,
        },
        trigger=_fault(plan).trigger(),
        hangup=hangup,
        deadline_s=plan.deadline_s,
        probe=True,
    )


def _validate(*, runs: int, grace_s: float, auto_checkpoint: int, close_s: float, deadline_s: float) -> None:
    if not 1 <= runs <= RUNS_MAX:
        raise UsageError(f"runs is {runs}, expected 1 to {RUNS_MAX}")
    if not GRACE_S_MIN <= grace_s <= GRACE_S_MAX:
        raise UsageError(f"grace is {grace_s:g} s, expected {GRACE_S_MIN:g} to {GRACE_S_MAX:g}")
    if not 0 <= close_s <= GRACE_S_MAX:
        raise UsageError(f"close takes {close_s:g} s, expected 0 to {GRACE_S_MAX:g}")
    if not 0 <= auto_checkpoint <= 1_000_000:
        raise UsageError(f"auto-checkpoint is {auto_checkpoint}, expected 0 (off) to 1000000 frames")
    if not 0 < deadline_s <= 86_400:
        raise UsageError(f"deadline is {deadline_s:g} s, expected more than 0 and at most 86400")


def _scratch() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="crashlab-s38-", ignore_cleanup_errors=True)
    except OSError as error:
        raise LabError(f"can't make a temporary directory ({error}); set TMPDIR to one that is writable") from error


def _last_words(ended: Ended) -> str:
    lines = ended.stderr.strip().splitlines()
    return f"; its last words: {lines[-1][:200]}" if lines else ""


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _environment(directory: str) -> dict[str, str]:
    library = find_library()
    return {
        "sqlite": library.version,
        "sqlite_source_id": library.source_id,
        "python": platform.python_version(),
        "system": platform.system(),
        "file_system": filesystem_of(directory).kind,
    }


__all__ = ["draw_plan", "find_problems", "reproduce", "require_terminal", "run_once"]
