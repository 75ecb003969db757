"""What is drawn is plain data, legal, parses back, and shrinks to something simple."""

import subprocess
import sys
from random import Random

import hypothesis
import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from crashlab.engine.moments import Moments
from crashlab.errors import CrashlabError, UsageError
from crashlab.faults.fault import KINDS, parse_fault
from crashlab.model.case import Case, decode_case
from crashlab.states.models import Policy
from crashlab.states.pending import epochs
from crashlab.states.state import KILL, parse_state, resolve
from crashlab.strategies import (
    Change,
    InProcess,
    Plan,
    Put,
    cases,
    crash_states,
    fault_texts,
    parse_plan,
    plan_cases,
    plans,
    register_profiles,
)
from crashlab.strategies.plan import JOURNALS, SYNCHRONOUS
from crashlab.strategies.profiles import PROFILES

QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)
PLAN = "wal NORMAL 1024 4 | put 1x900, put 2x50 | put 2x2000, del 1 | checkpoint PASSIVE | put 3x1 | vacuum"


@pytest.fixture(scope="module")
def trace():
    with InProcess() as road:
        yield road.trace(Case("plan", 1, "none", {"plan": PLAN}))


def simplest(drawn, wanted=lambda value: True):
    bounds = settings(max_examples=300, deadline=None, database=None)
    return find(drawn, wanted, settings=bounds, random=Random(2))


@QUICK
@given(plans(journals=JOURNALS, synchronous=SYNCHRONOUS, page_sizes=(512, 65536)))
def test_a_plan_is_text_that_parses_back(plan):
    assert parse_plan(str(plan)) == plan
    assert decode_case(Case("plan", 1, "none", {"plan": str(plan)}).encode()).params["plan"] == str(plan)


def test_plans_shrink_to_one_small_change():
    changes = simplest(plans(), lambda plan: "put" in str(plan))
    assert changes == Plan((Change((Put(1, 0),)),), "wal", "FULL", 4096, 1000)
    assert str(simplest(plans(), lambda plan: "vacuum" in str(plan))) == "wal FULL 4096 1000 | vacuum"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected JOURNAL SYNCHRONOUS PAGE_SIZE AUTOCHECKPOINT"),
        ("wal FULL 4096 1000 | drop table t", "'drop table t', expected put KEYxSIZE"),
        ("wal FULL 4096 1000 | put 1x2000000", "expected put KEYxSIZE"),
        ("wal FULL 4096 1000 | checkpoint HARD", "checkpoint 'HARD', expected one of PASSIVE"),
        ("wal; FULL 4096 1000", "expected JOURNAL"),
        ("memory FULL 4096 1000", "journal mode 'memory', expected one of wal"),
        ("wal LOUD 4096 1000", "synchronous 'LOUD'"),
        ("wal FULL 4095 1000", "page size 4095, expected a power of two"),
        ("x" * 600_000, "expected at most 500000"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(text, said):
    with pytest.raises(UsageError) as caught:
        parse_plan(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@QUICK
@given(st.data())
def test_faults_are_canonical_texts(data):
    text = data.draw(fault_texts())
    assert str(parse_fault(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_is_drawn(kind):
    assert simplest(fault_texts(kinds=(kind,))).partition("@")[0] == kind


@QUICK
@given(st.data())
def test_cases_are_plain_data(data):
    case = data.draw(cases("store", params={"every": st.integers(1, 5), "reader": st.sampled_from(["none", "pinned"])}))
    assert decode_case(case.encode()) == case
    assert set(case.params) == {"every", "reader"}


@QUICK
@given(data=st.data())
def test_every_state_that_is_drawn_fits_its_trace(trace, data):
    state = data.draw(crash_states(trace))
    moments = Moments(trace)
    assert parse_state(str(state)) == state
    resolve(trace, moments.epoch(state.op), state)
    if state.kind != KILL:
        assert moments.state(state.op, moments.loss(state)) == state


@pytest.mark.parametrize("policy", list(Policy))
def test_states_keep_to_their_policy(trace, policy):
    moments = Moments(trace)
    kinds = set()

    @settings(QUICK, max_examples=40)
    @given(crash_states(trace, policies=(policy,), entries=policy is not Policy.SUBSET, first=20))
    def look(state):
        assert state.op >= 20
        kinds.add(state.kind)
        if state.kind == KILL:
            return
        loss = moments.loss(state)
        pending = moments.pending(state.op)
        if policy is Policy.SYNCED_ONLY:
            assert loss.lost == tuple(pending)
        if policy in (Policy.SYNCED_ONLY, Policy.SUBSET):
            assert not loss.torn
        if policy is Policy.SUBSET:
            assert not any(moments.is_entry(op) for op in loss.lost)
        if policy is Policy.PREFIX:
            gone = {*loss.lost, *dict(loss.torn)}
            for group in {trace.inodes[op] for op in pending if not moments.is_entry(op)}:
                there = [op in gone for op in pending if trace.inodes[op] == group and not moments.is_entry(op)]
                assert there == sorted(there)

    look()
    assert kinds == ({KILL} if policy is Policy.KILL else {"power-loss"})


def test_states_shrink_to_few_losses_at_an_early_moment(trace):
    moments = Moments(trace)
    assert str(simplest(crash_states(trace))) == "kill@op=0"
    losses = crash_states(trace, policies=(Policy.SUBSET, Policy.TORN))
    state = simplest(losses, lambda state: state.op > 12 and len(moments.loss(state).lost) >= 1)
    assert len(moments.loss(state).lost) == 1
    assert not state.torn
    assert state.op == min(at for at in range(13, len(trace)) if moments.pending(at))
    torn = simplest(losses, lambda state: bool(state.torn))
    assert len(torn.torn) == 1
    assert moments.loss(torn).lost == ()


def test_all_policies_come_up(trace):
    seen = set()

    @settings(QUICK, max_examples=200)
    @given(crash_states(trace))
    def look(state):
        seen.add((state.kind, bool(state.torn_bytes), bool(state.torn), bool(state.keep)))

    look()
    assert {("kill", False, False, False), ("kill", True, False, False)} <= seen
    assert {("power-loss", False, True, True), ("power-loss", False, False, False)} <= seen


@pytest.mark.parametrize(
    "wrong",
    [
        lambda trace: crash_states(trace, policies=()),
        lambda trace: crash_states(trace, first=5, last=2),
        lambda trace: crash_states(trace, last=10**6),
        lambda trace: plans(journals=("wall",)),
        lambda trace: plans(page_sizes=(100,)),
        lambda trace: plans(synchronous=()),
        lambda trace: plans(operations_max=0),
        lambda trace: fault_texts(kinds=("kil",)),
        lambda trace: fault_texts(kinds=()),
    ],
)
def test_an_empty_or_wrong_choice_is_refused_at_once(trace, wrong):
    with pytest.raises(CrashlabError) as caught:
        wrong(trace)
    assert "expected" in str(caught.value) or "did you mean" in str(caught.value)


# --- the road in this process


@settings(QUICK, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(plan_cases(plans(journals=JOURNALS, synchronous=SYNCHRONOUS, operations_max=5)))
def test_the_same_plan_is_recorded_to_the_same_bytes(case):
    seen = []
    for _ in range(2):
        with InProcess() as road:
            trace = road.trace(case)
            columns = [list(getattr(trace, name)) for name in ("kinds", "inodes", "offsets", "lengths", "names")]
            seen.append((columns, [bytes(trace.data(op)) for op in range(len(trace)) if trace.lengths[op]]))
            assert len(list(epochs(trace))) >= 1
    assert seen[0] == seen[1]


def test_a_broken_run_and_a_wrong_parameter_are_told():
    with InProcess() as road:
        with pytest.raises(UsageError, match="'plam'; the workload declares: plan"):
            road.trace(Case("plan", 1, "none", {"plam": "x"}))
        with pytest.raises(CrashlabError, match="expected JOURNAL"):
            road.trace(Case("plan", 1, "none", {"plan": "x"}))
        with pytest.raises(UsageError, match="hits a real process"):
            road.run(Case("plan", 1, "kill@ack#3"))
        road.run(Case("plan", 1, "kill@op=3"))  # and it goes on


# --- how it is loaded


def test_profiles_are_registered_only_when_asked_for():
    names = register_profiles("of-a-test-")
    assert names == tuple(f"of-a-test-{name}" for name in PROFILES)
    for name in names:
        profile = settings.get_profile(name)
        assert profile.deadline is None
        assert profile.print_blob
    assert settings.get_profile("of-a-test-ci").derandomize
    assert not settings.get_profile("of-a-test-nightly").derandomize
    with pytest.raises(hypothesis.errors.InvalidArgument):
        settings.get_profile("crashlab-dev")


def test_a_plan_replays_without_hypothesis():
    code = "import sys, crashlab.strategies.workload; assert 'hypothesis' not in sys.modules, 'loaded'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    code = "import crashlab.strategies as s; print(*sorted(n for n in s.__all__ if not callable(getattr(s, n))))"
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_a_plan_is_what_msgspec_takes():
    plan = parse_plan(PLAN)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
