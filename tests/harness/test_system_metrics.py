"""The store's workload: what it declares is what it does, the same for the same seed; the good store passes."""

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.model.case import Case, Param
from crashlab.model.contract import Durability, FaultClass
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind, History, StepState
from crashlab.model.outcome import Outcome
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order
from crashlab.writers.run import EXIT_CRASHED, run_process
from harness.workloads.activity import FILLS, METRICS, STATES, TABLES, Activity
from harness.workloads.system_metrics import DEFAULTS, SystemMetrics, workload
from harness.workloads.watch import rounds
from store import StateManager

SLOTS = 2


def order(directory: Path, **params: Param) -> Order:
    return Order(str(directory), str(directory / "state.db"), "unused", 7, {**DEFAULTS, **params})


def run_here(directory: Path, **params: Param) -> History:
    """Run process 0 in this very process and read its log."""
    assert run_process(workload, order(directory, **params), 0, lambda _trigger: None) == 0
    logs = [list(read_log(base)) for base in log_bases(str(directory))]
    return build_history("test", merge(logs), Ended(EndKind.EXITED, 0))


@pytest.fixture(scope="module")
def road() -> Iterator[RealRoad]:
    with Workspace() as workspace:
        made = RealRoad(Subject("store", "harness.workloads.system_metrics:workload"), workspace)
        try:
            yield made
        finally:
            made.close()


def run_all(road: RealRoad, cases: list[Case]) -> list[Outcome]:
    with ThreadPoolExecutor(SLOTS) as pool:
        return list(pool.map(lambda numbered: road.run(numbered[1], f"t-{numbered[0]}"), enumerate(cases)))


def test_same_seed_gives_the_same_steps() -> None:
    def effects(seed: int, lane: str) -> list[object]:
        activity = Activity(StateManager(":memory:"), 1, lane, seed, itertools.count(1).__next__, 4)
        return [(step.seq, step.effects) for step in activity.steps(200)]

    assert effects(7, "main") == effects(7, "main")
    assert effects(7, "main") != effects(8, "main")
    assert effects(7, "main") != effects(7, "feed")


def test_two_runs_of_one_seed_log_the_same_effects(tmp_path: Path) -> None:
    histories = []
    for name in "ab":
        directory = tmp_path / name
        directory.mkdir()
        histories.append(run_here(directory, steps=60))
    first, second = ([(s.lane, s.seq, s.state, s.effects) for s in history.steps] for history in histories)
    assert first == second
    assert len(first) == 60


def test_declared_effects_are_what_the_database_holds(tmp_path: Path) -> None:
    history = run_here(tmp_path, steps=200, checkpoint_interval_s=0.05)
    expected: dict[tuple[str, object], object] = {}
    for step in history.acked:
        for effect in step.effects:
            expected[(effect.table, effect.key)] = effect.value
    with StateManager(tmp_path / "state.db") as store:
        found = {(METRICS, (m.key,)): (m.name, m.value, m.ts) for m in store.system_metrics()}
        found |= {
            (FILLS, (f.fill_id,)): (f.session_id, f.side, str(f.price), str(f.quantity), f.ts) for f in store.fills()
        }
        found |= {(STATES, (key,)): (value,) for key, value in store.engine_states().items()}
    assert found == {key: value for key, value in expected.items() if value is not None}
    assert all(step.state is StepState.ACKED for step in history.steps)
    kinds = {effect.table for step in history.steps for effect in step.effects}
    assert kinds == {METRICS, FILLS, STATES}
    assert any(effect.value is None for step in history.steps for effect in step.effects), "no delete was drawn"
    assert any(len(step.effects) > 1 for step in history.steps), "no transaction of several rows was drawn"


def test_a_row_that_is_not_right_is_seen_alone() -> None:
    verify = {table.name: table.verify for table in TABLES}
    activity = Activity(StateManager(":memory:"), 1, "main", 7, itertools.count(1).__next__, 4)
    effects = [effect for step in activity.steps(200) for effect in step.effects if effect.value is not None]
    for effect in effects:
        check = verify[effect.table]
        assert check is not None
        assert effect.value is not None
        assert check(effect.key, effect.value)
        at = 0 if effect.table == STATES else 1
        spoilt = list(effect.value)
        spoilt[at] = spoilt[at] + 1 if isinstance(spoilt[at], int) else "x" + spoilt[at][1:] + "?"
        assert not check(effect.key, tuple(spoilt))


def test_the_loop_runs_on_the_stepped_clock(tmp_path: Path) -> None:
    history = run_here(tmp_path, steps=160, checkpoint_interval_s=0.05)
    periodic = [done for done in rounds(history) if done.mode == "PASSIVE"]
    assert 160 // 38 <= len(periodic) <= 160 // 12
    assert all(done.backlog_frames == 0 for done in periodic)


def test_no_loop_without_a_cadence(tmp_path: Path) -> None:
    assert [done.mode for done in rounds(run_here(tmp_path, checkpoint_interval_s=0))] == ["TRUNCATE"]


@pytest.mark.parametrize(("name", "value"), [("reader", "pined"), ("synchronous", "MOSTLY"), ("lanes", 3)])
def test_a_parameter_out_of_range_is_named(tmp_path: Path, name: str, value: Param) -> None:
    assert run_process(workload, order(tmp_path, **{name: value}), 0, lambda _trigger: None) == EXIT_CRASHED
    notes = [note for base in log_bases(str(tmp_path)) for note in build_history_notes(base)]
    assert any(f"{name}={value!r}, expected one of" in note for note in notes)


def build_history_notes(base: str) -> list[str]:
    history = build_history("test", merge([list(read_log(base))]), Ended(EndKind.EXITED, EXIT_CRASHED))
    return [note.text for note in history.notes]


def test_a_workload_of_unknown_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown parameters \\['cadence'\\]"):
        SystemMetrics(cadence=1)


def test_settings_of_the_case_are_in_force(tmp_path: Path) -> None:
    context = RunContext(order(tmp_path, synchronous="NORMAL", wal_autocheckpoint=0), 0, sqlite3.connect)
    engine = workload.restart(context)
    try:
        connection = engine.store._require()
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "wal_autocheckpoint")]
        assert found == [1, 0]
    finally:
        engine.close()


def test_contract_names_each_fault_class() -> None:
    contract = workload.contract
    assert contract.promise(FaultClass.PROCESS_DEATH).durability is Durability.ALL
    assert contract.promise(FaultClass.POWER_LOSS, "FULL").durability is Durability.ALL
    assert contract.promise(FaultClass.POWER_LOSS, "NORMAL").durability is Durability.PREFIX
    assert contract.promise(FaultClass.POWER_LOSS, "OFF").durability is Durability.NONE
    interference = contract.promise(FaultClass.INTERFERENCE)
    assert interference.durability is Durability.ALL
    assert interference.may_refuse


VARIANTS: tuple[dict[str, Param], ...] = (
    {"checkpoint_interval_s": 0.05},
    {"checkpoint_interval_s": 0.05, "wal_autocheckpoint": 0, "lanes": 2},
    {"checkpoint_interval_s": 0.1, "synchronous": "NORMAL", "backup_every": 30},
    {"checkpoint_interval_s": 0.05, "reader": "pinned"},
    {"checkpoint_interval_s": 0.05, "synchronous": "OFF", "fail_round": 1},
)

# The fault's text for the i-th trial, and the phase in which the writer then dies most of the time.
KILLS = {
    "ack": ("kill@ack#{k} delay={d}us", None),
    "commit": ("kill@phase=commit#{k} delay={d}us", None),
    "commit-ack": ("kill@phase=commit-ack#{k}", "commit-ack"),
    "checkpoint": ("kill@phase=checkpoint#{few} delay={d}us", "checkpoint"),
    "close-before": ("kill@phase=close-before#1 delay={d}us", "close-before"),
    "close-truncate": ("kill@phase=close-truncate#1 delay={d}us", "close-truncate"),
    "close-after": ("kill@phase=close-after#1", "close-after"),
    "start-up": ("kill@phase=start-up#1 delay={long}us", "start-up"),
    "hangup": ("hangup@ack#{k} on={on} grace=20ms", None),
}


def cases(kind: str, count: int) -> list[Case]:
    text, _ = KILLS[kind]
    made = []
    for i in range(count):
        values = {"k": 1 + 13 * i % 100, "d": 23 * i % 130, "few": 1 + i % 3, "long": 97 * i % 4000}
        on = ("default", "ignore", "print", "handle")[i % 4]
        made.append(Case("store", seed=i, fault=text.format(on=on, **values), params=VARIANTS[i % len(VARIANTS)]))
    return made


def check_kills(road: RealRoad, kind: str, count: int) -> None:
    outcomes = run_all(road, cases(kind, count))
    bad = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert not bad, [(o.case.fault, o.case.params, o.error, o.findings) for o in bad[:3]]
    hits = Counter(phase for o in outcomes if o.verdict is Verdict.PASS for phase in o.phase.split(","))
    missed = sum(o.verdict is Verdict.MISSED for o in outcomes)
    assert missed <= count // 4, [(o.case.fault, o.fired) for o in outcomes if o.verdict is Verdict.MISSED][:5]
    phase = KILLS[kind][1]
    if phase is not None:
        assert hits[phase] >= count // 4, hits


@pytest.mark.parametrize("kind", KILLS)
def test_the_good_store_passes_kills(road: RealRoad, kind: str) -> None:
    check_kills(road, kind, 50)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_the_good_store_passes_many_kills(road: RealRoad, kind: str) -> None:
    check_kills(road, kind, 300)


@pytest.mark.parametrize("number", range(len(VARIANTS)))
def test_a_run_without_a_fault_passes(road: RealRoad, number: int) -> None:
    outcomes = run_all(road, [Case("store", seed=seed, fault="none", params=VARIANTS[number]) for seed in range(4)])
    assert [(o.verdict, o.error, o.findings) for o in outcomes] == [(Verdict.PASS, "", ())] * 4


@pytest.mark.parametrize("fault", ["damage@main+3", "damage@main.page#2 bit=3", "damage@main+4096 op=truncate"])
def test_damage_that_start_up_can_see_is_refused(road: RealRoad, fault: str) -> None:
    outcome = road.run(Case("store", seed=1, fault=fault), "t-damage")
    assert outcome.verdict is Verdict.PASS, outcome.error or outcome.findings
    assert outcome.acked > 0
    assert outcome.found == 0, "the store started on the damaged file"
