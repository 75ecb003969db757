"""The paper engine: what it declares is what it does, the same for the same seed; the good books pass."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crashlab.engine.audit import audit
from crashlab.engine.bridge import bridge
from crashlab.engine.road import RealRoad
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.model.case import Case, Param
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind, History, StepState
from crashlab.model.phase import MARK_CLOSE
from crashlab.states.models import Model, Policy
from crashlab.writers.order import Order
from crashlab.writers.run import EXIT_CRASHED, run_process
from harness.workloads.paper_session import DEFAULTS, PaperSession, workload
from harness.workloads.paper_session.audits import CONFIGURATIONS, config_wired, halt_classification, synchronous
from harness.workloads.paper_session.exchange import PaperGateway
from harness.workloads.paper_session.told import LOCKED, lives, told
from harness.workloads.paper_session.wiring import wire
from harness.workloads.watch import rounds
from store import ConfigAudit, HaltReason, StateManager, risk_halt
from store.books.orders import OrderStatus

SUBJECT = Subject("paper", "harness.workloads.paper_session:workload")


def run_here(directory: Path, seed: int = 7, **params: Param) -> History:
    """Run process 0 in this very process and read its log."""
    directory.mkdir(exist_ok=True)
    order = Order(str(directory), str(directory / "state.db"), "unused", seed, {**DEFAULTS, **params})
    assert run_process(workload, order, 0, lambda _trigger: None) == 0
    logs = [list(read_log(base)) for base in log_bases(str(directory))]
    return build_history("test", merge(logs), Ended(EndKind.EXITED, 0))


@pytest.fixture(scope="module")
def road() -> Iterator[RealRoad]:
    with Workspace() as workspace:
        made = RealRoad(SUBJECT, workspace)
        try:
            yield made
        finally:
            made.close()


def test_two_runs_of_one_seed_do_the_same(tmp_path: Path) -> None:
    runs = [run_here(tmp_path / name) for name in "ab"]
    first, second = ([(s.seq, s.state, s.effects) for s in run.steps] for run in runs)
    assert first == second
    assert len(first) > 80


def test_a_kill_leaves_the_same_bytes_in_two_runs_of_one_seed() -> None:
    slots = Slots(SUBJECT)
    try:
        with Workspace() as workspace:
            bridged = bridge(slots, workspace, Case("paper", 5, "none", {"checkpoint_interval_s": 0}), 12)
    finally:
        slots.close()
    bridged.require_equal()
    assert bridged.prefixes == bridged.prefixes_equal == 12


def test_a_run_has_everything_in_it_that_a_session_can_meet(tmp_path: Path) -> None:
    history = run_here(tmp_path, sessions=len(HaltReason), duration_s=24, locks=2)
    notes = told(history)
    assert sorted(ending.reason for ending in notes.endings.values()) == sorted(HaltReason)
    assert all(ending.done for ending in notes.endings.values())
    refused = [step.error for step in history.steps if step.state is StepState.REFUSED]
    assert refused
    assert all(LOCKED in error for error in refused)
    with StateManager(tmp_path / "state.db") as store:
        sessions, orders = store.sessions(), store.orders()
        fills = Counter(order.status for order in orders for _ in store.order_fills(order.order_id))
        events = store.capital_events()
        told_of_drift = store.get_engine_state("inventory_drift_at_shutdown")
    assert {order.status for order in orders} == {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.FAILED}
    assert {re.sub(r" .*", "", order.failure_reason or "-") for order in orders} == {
        *("-", "shutdown:", "replaced", "tecUNFUNDED_OFFER"),
    }
    assert fills[OrderStatus.CANCELED], "no fill came late"
    kinds = Counter(event.kind for event in events)
    assert kinds == Counter(initial_basis=2, deposit=kinds["deposit"], withdrawal=kinds["withdrawal"])
    assert min(kinds.values()) > 1
    assert {session.parent_id is None for session in sessions} == {True, False}
    assert told_of_drift is None or "session" in told_of_drift
    inside = [any(s.started_at < event.ts <= (s.ended_at or 0) for s in sessions) for event in events]
    assert inside.count(True) > 2
    assert inside.count(False) > 4, "no capital came between two sessions"


def test_declared_effects_are_what_the_database_holds(road: RealRoad) -> None:
    """With no fault the row oracles compare every key of every table."""
    outcomes = [road.run(Case("paper", seed, "none"), f"t-{seed}") for seed in range(4)]
    assert [(o.verdict, o.error, o.findings) for o in outcomes] == [(Verdict.PASS, "", ())] * 4
    assert all(outcome.found > 60 for outcome in outcomes)


def test_each_store_of_a_run_has_one_life_with_one_close(tmp_path: Path) -> None:
    found = list(lives(run_here(tmp_path, sessions=3, checkpoint_interval_s=0.05)))
    assert len(found) == 3
    for life in found:
        closes = [phase for phase in life.phases if phase.name == MARK_CLOSE]
        assert len(closes) == 1
        assert closes[0].leave_ns
        modes = [done.mode for done in rounds(life)]
        assert modes[-1] == "TRUNCATE"
        assert set(modes[:-1]) <= {"PASSIVE"}
        after = [phase.name for phase in life.phases if phase.enter_seq > closes[0].enter_seq]
        assert after == ["checkpoint", "connection-close"]


VARIANTS: tuple[dict[str, Param], ...] = (
    {},
    {"checkpoint_interval_s": 0.05, "wal_autocheckpoint": 0, "synchronous": "NORMAL"},
    {"checkpoint_interval_s": 0.05, "reader": "pinned", "recover": "always"},
    {"checkpoint_interval_s": 0, "synchronous": "OFF", "same_reason": True, "miscount": "always"},
    {"checkpoint_interval_s": 0.05, "fail_round": 1, "fail_at_close": True, "locks": 4},
)

KILLS = {
    "ack": "kill@ack#{k} delay={d}us",
    "commit": "kill@phase=commit#{k} delay={d}us",
    "checkpoint": "kill@phase=checkpoint#{few} delay={d}us",
    "close-before": "kill@phase=close-before#1 delay={d}us",
    "close-truncate": "kill@phase=close-truncate#1 delay={d}us",
    "close-after": "kill@phase=close-after#1",
    "start-up": "kill@phase=start-up#1 delay={long}us",
    "hangup": "hangup@ack#{k} on={on} grace=20ms",
    "io-error": "io-error@wal.{call}#{k} error=EIO mode={mode}",
}


def cases(kind: str, count: int) -> Iterator[Case]:
    for i in range(count):
        syncs = kind == "io-error" and i % 2  # a run has far fewer syncs of the WAL than writes
        fault = KILLS[kind].format(
            k=1 + 13 * i % (30 if syncs else 100),
            d=23 * i % 130,
            few=1 + i % 3,
            long=97 * i % 4000,
            on=("default", "ignore", "print", "handle")[i % 4],
            call=("write", "sync")[i % 2],
            mode=("once", "persistent")[i // 2 % 2],
        )
        # A checkpoint that was made to fail, or a WAL that a reader keeps, says nothing about a failing disk.
        variants = VARIANTS[:2] if kind == "io-error" else VARIANTS
        yield Case("paper", i, fault, variants[i % len(variants)])


def check_kills(road: RealRoad, kind: str, count: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(
            pool.map(lambda numbered: road.run(numbered[1], f"t-{numbered[0]}"), enumerate(cases(kind, count)))
        )
    bad = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert not bad, [(o.case.seed, o.case.fault, o.case.params, o.error, o.findings) for o in bad[:3]]
    missed = [(o.case.fault, o.fired) for o in outcomes if o.verdict is Verdict.MISSED]
    assert len(missed) <= count // 3, missed[:5]


@pytest.mark.parametrize("kind", KILLS)
def test_the_good_books_pass_faults(road: RealRoad, kind: str) -> None:
    check_kills(road, kind, 15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_the_good_books_pass_many_faults(road: RealRoad, kind: str) -> None:
    check_kills(road, kind, 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "synchronous"), [(Policy.KILL, "FULL"), (Policy.SUBSET, "FULL"), (Policy.TORN, "NORMAL")]
)
def test_the_good_books_pass_computed_crash_states(policy: Policy, synchronous: str) -> None:
    with Workspace() as workspace:
        road = TraceRoad(SUBJECT, workspace)
        try:
            case = Case("paper", 3, "none", {"synchronous": synchronous})
            explored = road.explore(case, (Model(policy, states_max=60_000, direct_max=100),), seconds=120, keep=False)
        finally:
            road.close()
    assert not explored.identities


@pytest.mark.parametrize(("name", "value"), [("reader", "pined"), ("miscount", "often"), ("recover", "maybe")])
def test_a_parameter_out_of_range_is_named(tmp_path: Path, name: str, value: Param) -> None:
    order = Order(str(tmp_path), str(tmp_path / "state.db"), "unused", 7, {**DEFAULTS, name: value})
    assert run_process(workload, order, 0, lambda _trigger: None) == EXIT_CRASHED
    with pytest.raises(ValueError, match="unknown parameters \\['cadence'\\]"):
        PaperSession(cadence=1)


def test_the_audits_have_nothing_to_say_and_the_requirements_rest_on_something() -> None:
    audited = audit(workload)
    assert audited.audits == {"config-wired": (), "synchronous": (), "halt-classification": ()}
    assert list(audited.requirements) == [
        "configuration consistent",
        "inventory validated",
        "shutdown sequence verified",
        "async issues resolved",
        "halt classification correct",
        "no silent failures",
        "checkpoint hardening",
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  dry_run: false\n", "", "engine lacks dry_run"),
        ("requote_interval_seconds: 4", "requote_interval_seconds: 5", "must equal engine.tick_interval_seconds"),
        ("clob_switch_threshold_bps", "clob_switch_treshold_bps", "did you mean 'clob_switch_threshold_bps'"),
        ("  max_rpc_failures: 5\n", "", "risk.max_rpc_failures is missing and has no default"),
        ("max_xrp_exposure: 100.0", "max_xrp_exposure: 0", "risk.max_xrp_exposure must be greater than 0"),
    ],
)
def test_a_configuration_that_is_not_consistent_is_told(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "config.yaml"
    plain = CONFIGURATIONS[0].read_text(encoding="utf-8")
    assert old in plain
    path.write_text(plain.replace(old, new), encoding="utf-8")
    assert any(complaint in line for line in config_wired((path,)))


def test_a_key_that_the_engine_does_not_read_is_told() -> None:
    def wiring(config: ConfigAudit) -> None:
        assert config.engine.db_path

    (line, _) = config_wired(wiring=wiring)
    assert line.startswith("config.yaml: parsed but never read: engine.tick_interval_seconds, engine.dry_run")
    assert not list(config_wired(wiring=wire))


class AsyncGateway(PaperGateway):
    async def submit_and_wait(self, order_id: str) -> object:  # type: ignore[override]
        return await asyncio.sleep(0, order_id)


def unguarded(function: Callable[..., object], _what: str) -> Callable[..., object]:
    return function


def test_what_is_not_synchronous_is_told() -> None:
    assert [line for line in synchronous(AsyncGateway) if "submit_and_wait must be synchronous" in line]
    assert len(list(synchronous(guard=unguarded))) == 4


def test_a_wrong_classification_is_told() -> None:
    def always_xrp(limits: object, readings: object) -> tuple[HaltReason, str]:
        return HaltReason.RISK_XRP_EXPOSURE, f"{limits}{readings}"

    lines = list(halt_classification(always_xrp))
    assert len(lines) == 5 + 4
    assert not list(halt_classification(risk_halt))
