"""The agent's memory: what it declares is what it does, the same for the same seed; the good log passes."""

import sqlite3
from collections.abc import Iterator
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
from crashlab.model.history import Ended, EndKind, History, NoteRecord, StepRecord, StepState
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.run import EXIT_CRASHED, run_process
from harness.workloads.agent_memory import DEFAULTS, AgentMemory, workload
from harness.workloads.agent_memory.invariants import checkpoint_failures_surface
from harness.workloads.agent_memory.lanes import torn
from harness.workloads.agent_memory.texts import MESSAGES, SESSIONS, TABLES
from harness.workloads.watch import rounds
from store import MessageLog
from store.message_log import fts_disagreements

SLOTS = 2


def order(directory: Path, **params: Param) -> Order:
    return Order(str(directory), str(directory / "state.db"), "unused", 7, {**DEFAULTS, **params})


def run_here(directory: Path, **params: Param) -> History:
    """Run process 0 in this very process and read its log."""
    directory.mkdir(exist_ok=True)
    assert run_process(workload, order(directory, **params), 0, lambda _trigger: None) == 0
    logs = [list(read_log(base)) for base in log_bases(str(directory))]
    return build_history("test", merge(logs), Ended(EndKind.EXITED, 0))


SUBJECT = Subject("memory", "harness.workloads.agent_memory:workload")


@pytest.fixture(scope="module")
def road() -> Iterator[RealRoad]:
    with Workspace() as workspace:
        made = RealRoad(SUBJECT, workspace)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize(("ended_ns", "told"), [(20, True), (0, False)])
def test_a_failed_checkpoint_must_be_logged_unless_a_handler_raised_in_its_step(ended_ns: int, told: bool) -> None:
    state = StepState.ACKED if ended_ns else StepState.OPEN
    steps = (
        StepRecord("main", 0, 0, state, (), 10, 0, ended_ns),
        StepRecord("main", 0, 1, StepState.ACKED, (), 30, 1, 40),
    )
    failed = NoteRecord(15, 0, "checkpoint TRUNCATE 1 60 11")
    history = History("test", steps, (), (failed,), Ended(EndKind.EXITED, 0))
    lines = list(checkpoint_failures_surface(None, None, history))  # type: ignore[arg-type]
    assert lines == (["1 checkpoints failed in the run, 0 records were logged"] if told else [])


def test_two_runs_of_one_seed_do_the_same(tmp_path: Path) -> None:
    first, second = (
        [(s.lane, s.seq, s.state, s.effects) for s in run_here(tmp_path / name, upgrade_at=10, restore_at=40).steps]
        for name in "ab"
    )
    assert first == second
    assert len(first) == DEFAULTS["steps"]


def test_a_kill_leaves_the_same_bytes_in_two_runs_of_one_seed() -> None:
    slots = Slots(SUBJECT)
    try:
        with Workspace() as workspace:
            case = Case("memory", 5, "none", {"steps": 60, "upgrade_at": 8, "checkpoint_every": 10})
            bridged = bridge(slots, workspace, case, 12)
    finally:
        slots.close()
    bridged.require_equal()
    assert bridged.prefixes == bridged.prefixes_equal == 12


@pytest.mark.parametrize("extra", [{}, {"upgrade_at": 12, "restore_at": 60, "steps": 200}], ids=["plain", "all"])
def test_declared_effects_are_what_the_database_holds(tmp_path: Path, extra: dict[str, Param]) -> None:
    history = run_here(tmp_path, **extra)
    expected: dict[tuple[str, object], object] = {}
    for step in history.acked:
        expected |= {(effect.table, effect.key): effect.value for effect in step.effects}
    with MessageLog(tmp_path / "state.db") as log:
        found: dict[tuple[str, object], object] = {(SESSIONS, (s[0],)): tuple(s[1:]) for s in log.sessions()}
        for session in log.sessions():
            found |= {(MESSAGES, (m[0],)): tuple(m[1:]) for m in log.messages(session.session_id)}
        assert log.fts_disagreements() == []
    assert found == {key: value for key, value in expected.items() if value is not None}
    assert all(step.state is StepState.ACKED for step in history.steps)
    roles = {effect.value[1] for step in history.steps for effect in step.effects if effect.value is not None}
    assert {"user", "assistant", "tool", "summary"} <= roles
    assert any(effect.value is None for step in history.steps for effect in step.effects)


def test_a_text_that_is_not_right_is_seen_alone(tmp_path: Path) -> None:
    check = TABLES[0].verify
    assert check is not None
    for step in run_here(tmp_path).steps:
        for effect in step.effects:
            if effect.table == MESSAGES and effect.value is not None:
                session, role, content, *rest = effect.value
                assert check(effect.key, effect.value)
                assert not check(effect.key, (session, role, content.replace("i", "j", 1), *rest))


@pytest.mark.parametrize("mode", ["PASSIVE", "TRUNCATE"])
def test_the_write_counter_brings_on_the_checkpoints(tmp_path: Path, mode: str) -> None:
    modes = [done.mode for done in rounds(run_here(tmp_path, checkpoint_mode=mode, vacuum_every=0))]
    assert modes == [mode, mode, "TRUNCATE"]


def test_a_torn_snapshot_is_seen(tmp_path: Path) -> None:
    run_here(tmp_path)
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    assert list(torn(connection)) == []
    assert fts_disagreements(connection) == []
    connection.execute("DROP TRIGGER messages_fts_insert")
    connection.execute(
        "INSERT INTO messages SELECT NULL, session_id, role, 'x y 12345678', NULL, 0 FROM messages LIMIT 1"
    )
    assert len(list(torn(connection))) == 2
    connection.close()


@pytest.mark.parametrize(("name", "value"), [("reader", "pined"), ("synchronous", "MOSTLY")])
def test_a_parameter_out_of_range_is_named(tmp_path: Path, name: str, value: Param) -> None:
    assert run_process(workload, order(tmp_path, **{name: value}), 0, lambda _trigger: None) == EXIT_CRASHED
    with pytest.raises(ValueError, match="unknown parameters \\['cadence'\\]"):
        AgentMemory(cadence=1)


def test_settings_of_the_case_are_in_force(tmp_path: Path) -> None:
    agent = workload.restart(
        RunContext(order(tmp_path, synchronous="NORMAL", wal_autocheckpoint=0), 0, sqlite3.connect)
    )
    try:
        connection = agent.store._require()
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "wal_autocheckpoint")]
        assert found == [1, 0]
    finally:
        agent.close()


VARIANTS: tuple[dict[str, Param], ...] = (
    {"checkpoint_every": 10, "reader": "threads"},
    {"checkpoint_every": 10, "checkpoint_mode": "TRUNCATE", "reader": "process"},
    {"checkpoint_every": 10, "checkpoint_mode": "TRUNCATE", "reader": "pinned", "wal_autocheckpoint": 0},
    {"upgrade_at": 9, "restore_at": 30, "synchronous": "NORMAL"},
    {"rival": True, "busy_s": 0.0, "fail_checkpoint": 1, "checkpoint_every": 10},
)
FAULTS = (
    "none",
    "kill@ack#{k} delay={d}us",
    "kill@phase=commit#{k} delay={d}us",
    "kill@phase=commit-ack#{k}",
    "kill@phase=checkpoint#1 delay={d}us",
    "kill@phase=start-up#1 delay={d}us",
    "kill@phase=close-truncate#1 delay={d}us",
    "hangup@ack#{k} on=handle grace=20ms",
)


def check_kills(road: RealRoad, rounds_each: int) -> None:
    cases = [
        Case(
            "memory",
            seed=i,
            fault=fault.format(k=1 + 13 * i % 50, d=1 + 23 * i % 130),
            params=VARIANTS[i % len(VARIANTS)],
        )
        for i in range(rounds_each * len(VARIANTS))
        for fault in FAULTS
    ]
    with ThreadPoolExecutor(SLOTS) as pool:
        outcomes = list(pool.map(lambda numbered: road.run(numbered[1], f"t-{numbered[0]}"), enumerate(cases)))
    bad = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert not bad, [(o.case.fault, o.case.params, o.error, o.findings) for o in bad[:3]]
    missed = [(o.case.fault, o.case.params, o.fired) for o in outcomes if o.verdict is Verdict.MISSED]
    assert len(missed) <= len(cases) // 8, missed[:5]


def test_the_good_log_passes_kills(road: RealRoad) -> None:
    check_kills(road, 1)


@pytest.mark.slow
def test_the_good_log_passes_many_kills(road: RealRoad) -> None:
    check_kills(road, 12)


@pytest.mark.parametrize("fault", ["damage@main+3", "damage@main.page#2 bit=4", "damage@main+4096 op=truncate"])
def test_damage_that_start_up_can_see_is_refused(road: RealRoad, fault: str) -> None:
    outcome = road.run(Case("memory", seed=1, fault=fault), "t-damage")
    assert outcome.verdict is Verdict.PASS, outcome.error or outcome.findings
    assert outcome.found == 0, "the log started on the damaged file"
