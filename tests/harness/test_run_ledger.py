"""The run ledger's workload: one plan for all processes, races that do happen, and a good ledger that passes."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crashlab.engine.bridge import bridge
from crashlab.engine.road import RealRoad
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.model.case import Case, Param
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind, History, StepState
from crashlab.writers.context import RunContext
from crashlab.writers.launcher import make_launcher
from crashlab.writers.order import Order
from crashlab.writers.run import EXIT_CRASHED, run_process
from harness.workloads.run_ledger import DEFAULTS, RunLedgers, pause, workload
from harness.workloads.run_ledger.clock import SharedClock
from harness.workloads.run_ledger.journal import changes
from harness.workloads.run_ledger.pause import Pause, tell_pid
from harness.workloads.run_ledger.plan import OWNER, RIVAL, Act, make_cast
from harness.workloads.run_ledger.role import COMPLAINT
from harness.workloads.run_ledger.scenes import SCENES, make_plan
from harness.workloads.run_ledger.stage import GOES_ON, STOPPED

SUBJECT = Subject("ledger", "harness.workloads.run_ledger:workload")
SLOTS = 2
Params = Mapping[str, Param]
NONE: Params = {}
ALONE: Params = {"workers": 1}
forks = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="stops a process that was forked for it")


def order(directory: Path, params: Params = NONE, seed: int = 7) -> Order:
    directory.mkdir(exist_ok=True)
    return Order(str(directory), str(directory / "state.db"), SUBJECT.workload, seed, {**DEFAULTS, **params})


def history_of(directory: Path) -> History:
    logs = [list(read_log(base)) for base in log_bases(str(directory))]
    return build_history("test", merge(logs), Ended(EndKind.EXITED, 0))


def run_alone(directory: Path, params: Params = NONE) -> History:
    """Run all roles in this very process."""
    assert run_process(workload, order(directory, {**ALONE, **params}), 0, lambda _trigger: None) == 0
    return history_of(directory)


def run_together(directory: Path, params: Params, seed: int) -> History:
    """Run every role in a process of its own."""
    launcher = make_launcher(SUBJECT.workload)
    try:
        ended = launcher.launch(order(directory, params, seed))
    finally:
        launcher.close()
    assert (ended.kind, ended.code) == (EndKind.EXITED, 0), ended.stderr
    return history_of(directory)


@pytest.fixture(scope="module")
def road() -> Iterator[RealRoad]:
    with Workspace() as workspace:
        made = RealRoad(SUBJECT, workspace)
        try:
            yield made
        finally:
            made.close()


def judge(road: RealRoad, cases: list[Case]) -> list[Verdict]:
    with ThreadPoolExecutor(SLOTS) as pool:
        outcomes = list(pool.map(lambda numbered: road.run(numbered[1], f"t-{numbered[0]}"), enumerate(cases)))
    bad = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert not bad, [(o.case.fault, o.case.params, o.error, o.findings) for o in bad[:3]]
    return [o.verdict for o in outcomes]


def test_all_processes_draw_one_plan_with_every_scene() -> None:
    cast = make_cast(3, reaper=True)
    plan = make_plan(cast, random.Random(1), len(SCENES))
    assert plan == make_plan(cast, random.Random(1), len(SCENES)) != make_plan(cast, random.Random(2), len(SCENES))
    assert {move.act for moment in plan for move in moment.moves} == set(Act)
    started = [move.job.run_id for moment in plan for move in moment.moves if move.act is Act.START]
    assert len(started) == len(set(started)) > len(SCENES)
    assert {role for moment in plan for role in moment.roles} == set(cast.roles)


def test_two_runs_of_one_seed_do_the_same(tmp_path: Path) -> None:
    first, second = (
        [(s.lane, s.seq, s.state, s.effects) for s in run_alone(tmp_path / name, {"old_file": True}).steps]
        for name in "ab"
    )
    assert first == second
    assert len(first) > 130


def test_a_kill_leaves_the_same_bytes_in_two_runs_of_one_seed() -> None:
    slots = Slots(SUBJECT)
    try:
        with Workspace() as workspace:
            case = Case("ledger", 5, "none", {**ALONE, "scenes": 8, "old_file": True, "wal_autocheckpoint": 30})
            bridged = bridge(slots, workspace, case, 12)
    finally:
        slots.close()
    bridged.require_equal()
    assert bridged.prefixes == bridged.prefixes_equal == 12


def test_only_the_blocked_completion_is_refused(tmp_path: Path) -> None:
    refused = [step for step in run_alone(tmp_path).steps if step.state is not StepState.ACKED]
    assert [step.error for step in refused] == ["OperationalError: database is locked"]


@forks
def test_the_owner_is_stopped_and_both_sides_of_each_race_win(tmp_path: Path) -> None:
    history = run_together(tmp_path, {"workers": 3}, 3)
    assert not [note for note in history.notes if note.text.startswith(COMPLAINT)]
    stops = [note.ns for note in history.notes if note.text == f"{STOPPED}{OWNER}"]
    goes_on = [note.ns for note in history.notes if note.text == f"{GOES_ON}{OWNER}"]
    assert len(stops) == len(goes_on) == 2  # one pause for the reaper, one for the adopter
    own = [ns for step in history.steps if step.process == 0 for ns in (step.begin_ns, step.end_ns)]
    assert not [ns for ns in own for begun, ended in zip(stops, goes_on, strict=True) if begun < ns < ended]
    cast = make_cast(3, reaper=True)
    context = RunContext(order(tmp_path, {"workers": 3}, 3), 0, sqlite3.connect)
    lanes = {lane.name: list(workload.lanes(context)) for lane in workload.lanes(context)}
    assert list(lanes) == list(cast.roles)
    connection = sqlite3.connect(tmp_path / "state.db")
    journal = list(changes(connection))
    connection.close()
    ends = {(change.old_status, change.status) for change in journal}
    assert {("running", "completed"), ("running", "closed"), ("loading", "closed"), ("running", "failed")} <= ends
    adopted = [c for c in journal if c.owner != c.old_owner and c.old_owner == OWNER]
    assert [change.actor for change in adopted] == [f"{RIVAL}.1"]
    assert {change.actor for change in journal} >= {f"{OWNER}.1", f"{OWNER}.2", "worker2.1", "reaper.1"}


def test_the_clock_is_one_for_all_processes_and_never_goes_back(tmp_path: Path) -> None:
    first, second = (
        SharedClock(RunContext(order(tmp_path), process, sqlite3.connect), processes=2) for process in (0, 1)
    )
    before = first()
    second.jump(1.5)
    assert before + 1_500_000_000 < first() < second() < first()
    again = SharedClock(RunContext(order(tmp_path), 1, sqlite3.connect), processes=2)
    assert first() < again()  # a process that restarts goes on from its own part


@forks
def test_a_process_that_holds_the_write_lock_is_let_go_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = RunContext(order(tmp_path), 0, sqlite3.connect)
    monkeypatch.setattr(pause, "_TRIES", 3)
    ready, said = os.pipe()
    child = os.fork()
    if not child:
        try:
            tell_pid(context)
            connection = sqlite3.connect(context.database, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            os.write(said, b"!")
            signal.pause()
        finally:
            os._exit(0)
    try:
        assert os.read(ready, 1) == b"!"
        with pytest.raises(TimeoutError, match="stopped 3 times and held the write lock each time"):
            Pause(context, 0).begin(0)
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        assert state in "SR"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(said)


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("synchronous", "MOSTLY"), ("scenes", 0)])
def test_a_parameter_out_of_range_is_named(tmp_path: Path, name: str, value: Param) -> None:
    assert run_process(workload, order(tmp_path, {name: value}), 0, lambda _trigger: None) == EXIT_CRASHED
    assert any(f"{name}={value!r}, expected" in note.text for note in history_of(tmp_path).notes)
    with pytest.raises(ValueError, match="unknown parameters \\['cap'\\]"):
        RunLedgers(cap=1)


def test_settings_of_the_case_are_in_force(tmp_path: Path) -> None:
    context = RunContext(order(tmp_path, {"synchronous": "NORMAL", "wal_autocheckpoint": 7}), 0, sqlite3.connect)
    process = workload.restart(context)
    try:
        connection = process.ledger._require()
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "wal_autocheckpoint")]
    finally:
        process.close()
    assert found == [1, 7]


VARIANTS: tuple[Params, ...] = (
    {},
    {"workers": 3, "wal_autocheckpoint": 20},
    {"reaper": False, "synchronous": "NORMAL"},
    {"workers": 4, "old_file": True},
    {"workers": 1, "old_file": True},
)


def test_a_run_without_a_fault_passes(road: RealRoad) -> None:
    cases = [Case("ledger", seed, "none", dict(params)) for seed, params in enumerate(VARIANTS)]
    assert judge(road, cases) == [Verdict.PASS] * len(cases)


KILLS = (
    "kill@ack#{k} delay={d}us",
    "kill@phase=commit#{k} delay={d}us",
    "kill@phase=start-up#1 delay={long}us",
    "kill@wal.write#{k}+100",
    "hangup@ack#{k} on=handle grace=20ms",
)


def killed(count: int) -> list[Case]:
    made = []
    for i in range(count):
        text = KILLS[i % len(KILLS)].format(k=1 + 13 * i % 70, d=23 * i % 300, long=97 * i % 6000)
        made.append(Case("ledger", i, text, dict(VARIANTS[i // len(KILLS) % len(VARIANTS)])))
    return made


def test_the_good_ledger_passes_kills(road: RealRoad) -> None:
    assert judge(road, killed(50)).count(Verdict.PASS) >= 45


@pytest.mark.slow
def test_the_good_ledger_passes_many_kills(road: RealRoad) -> None:
    assert judge(road, killed(1000)).count(Verdict.PASS) >= 900


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="locks are looked up in /proc/locks")
@pytest.mark.parametrize("inside", [True, False])
def test_a_pause_sees_whether_the_other_holds_the_write_lock(tmp_path: Path, inside: bool) -> None:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode = WAL').fetchall(); c.execute('CREATE TABLE t (v)')\n"
        "if sys.argv[2] == 'True': c.execute('BEGIN IMMEDIATE')\n"
        "print('there', flush=True); sys.stdin.read()"
    )
    database = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database), str(inside)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        (tmp_path / "pid.0").write_text(str(other.pid), encoding="ascii")
        assert Pause(RunContext(order(tmp_path), 0, sqlite3.connect), 0)._lock_is_free() is not inside
