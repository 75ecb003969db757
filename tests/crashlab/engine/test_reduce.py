"""Reducing computed crash states, what a case carries, and its texts."""

import json
import random
import shutil
import struct
from pathlib import Path

import msgspec
import pytest

from crashlab.engine.carried import SEAL, carried_trace, load_recording, seal_recording
from crashlab.engine.moments import Loss, Moments, require_fit
from crashlab.engine.reduce import (
    ReduceLimits,
    ReduceStop,
    _minimise,
    fails_alike,
    parsed_state,
    reduce_state,
    size_of,
    steps_begun,
)
from crashlab.engine.subject import Subject
from crashlab.engine.timeline import annotate_case
from crashlab.engine.trace_road import TraceRoad
from crashlab.errors import CrashlabError, LabError, RecordError, UsageError
from crashlab.gallery.controls.off_power_loss import Broken
from crashlab.log.format import USED_SLOT
from crashlab.model.case import Case
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.state import KILL, CrashState, parse_state
from crashlab.strategies.inprocess import InProcess

OFF = Subject("off", "crashlab.gallery.controls.off_power_loss:Broken")
EVERYTHING_LOST = Case("off", 7, "power-loss@op=30 keep=0x0", {"steps": 4})
LOST = Identity("durability", "acked-row-lost", "off", "power loss")


@pytest.fixture(scope="module")
def plan_road():
    with InProcess() as road:
        yield road


@pytest.fixture(scope="module")
def trace(plan_road):
    return plan_road.trace(
        Case("plan", 3, "none", {"plan": "wal NORMAL 1024 4 | put 1x900 | put 2x2000, del 1 | put 3x1"})
    )


def judge_by(fails, trace):
    """A judge that knows what the operations are about instead of asking SQLite."""
    moments = Moments(trace)
    tried = []

    def judge(case):
        state = parsed_state(case)
        tried.append(state)
        name = fails(moments, state)
        kind = FaultClass.POWER_LOSS if state.kind != KILL else FaultClass.PROCESS_DEATH
        found = (Finding(Identity("o", name, case.subject, kind), "so"),) if name else ()
        ended = Ended(EndKind.SIGNALLED, 9)
        return Outcome("t", case, Verdict.FAIL if found else Verdict.PASS, ended, findings=found)

    judge.tried = tried
    return judge


def reduced(fails, trace, state, **limits):
    case = Case("plan", 3, str(state))
    judge = judge_by(fails, trace)
    return reduce_state(judge, trace, case, state, ReduceLimits(**limits)), judge


# --- the search, on a real trace, with a judge whose answer is known


def test_every_state_survives_its_way_through_a_loss(trace):
    moments = Moments(trace)
    for policy in (Policy.SYNCED_ONLY, Policy.PREFIX, Policy.SUBSET, Policy.TORN):
        for state in crash_states(trace, Model(policy, states_max=300), random.Random(1)):
            assert moments.state(state.op, moments.loss(state)) == state


def test_two_guilty_operations_are_all_that_stays_lost(trace):
    moments = Moments(trace)
    moment = max(range(len(trace)), key=lambda at: len(moments.pending(at)))
    pending = moments.pending(moment)
    assert len(pending) > 10
    guilty = {pending[2], pending[-3]}

    def fails(moments, state):
        return "both" if guilty <= set(moments.loss(state).lost) else "one" if state.op % 2 else ""

    start = moments.state(moment, Loss(tuple(pending)))
    result, judge = reduced(fails, trace, start)
    state = parsed_state(result.case)
    assert set(moments.loss(state).lost) == guilty
    assert state.op == max(guilty) + 1
    assert result.identity.invariant == "both"
    assert result.stop is ReduceStop.MINIMAL
    assert result.tries == len(judge.tried) - 1 < 120
    assert (result.before.lost, result.after.lost) == (len(pending), 2)


def test_it_never_becomes_another_bug(trace):
    moments = Moments(trace)
    moment = max(range(len(trace)), key=lambda at: len(moments.pending(at)))
    pending = moments.pending(moment)

    def fails(moments, state):
        lost = moments.loss(state).lost
        return "first" if len(lost) > 4 else "other" if lost else ""

    result, _ = reduced(fails, trace, moments.state(moment, Loss(tuple(pending))))
    assert result.identity.invariant == "first"
    assert len(moments.loss(parsed_state(result.case)).lost) == 5


def test_of_a_torn_write_only_the_guilty_sector_stays_lost(trace):
    moments = Moments(trace)
    moment, op = next(
        (moment, op) for moment in range(len(trace)) for op in moments.pending(moment) if moments.sectors(op) >= 3
    )
    everything = (1 << moments.sectors(op)) - 1

    def fails(moments, state):
        return "torn" if any(at == op and not mask >> 1 & 1 for at, mask in moments.loss(state).torn) else ""

    start = moments.state(moment, Loss((), ((op, 1),)))
    result, _ = reduced(fails, trace, start)
    assert moments.loss(parsed_state(result.case)).torn == ((op, everything & ~2),)
    assert result.after.sectors == 1


def test_rather_lost_than_torn(trace):
    moments = Moments(trace)
    moment, op = next((m, o) for m in range(len(trace)) for o in moments.pending(m) if moments.sectors(o) >= 2)

    def fails(moments, state):
        loss = moments.loss(state)
        return "gone" if op in {*loss.lost, *dict(loss.torn)} else ""

    result, _ = reduced(fails, trace, moments.state(moment, Loss((), ((op, 1),))))
    assert moments.loss(parsed_state(result.case)) == Loss((op,))


def test_a_kill_goes_back_in_time_and_is_whole_if_it_can_be(trace):
    writes = [op for op in range(len(trace)) if trace.lengths[op] > 64]
    first, last = writes[0], writes[-1]
    result, _ = reduced(lambda m, s: "late" if s.op >= first else "", trace, CrashState(KILL, last, 40))
    assert result.case.fault == f"kill@op={first}"
    result, _ = reduced(lambda m, s: "torn" if s.torn_bytes >= 7 else "", trace, CrashState(KILL, last, 60))
    state = parsed_state(result.case)
    assert state.torn_bytes == 7
    assert state.op < last


def test_limits_stop_it_and_are_told(trace):
    moments = Moments(trace)
    moment = max(range(len(trace)), key=lambda at: len(moments.pending(at)))
    start = moments.state(moment, Loss(tuple(moments.pending(moment))))
    result, judge = reduced(lambda m, s: "x" if m.loss(s).lost else "", trace, start, tries_max=3)
    assert result.stop is ReduceStop.TRIES
    assert len(judge.tried) == 4
    assert result.after <= result.before
    result, judge = reduced(lambda m, s: "x", trace, start, seconds=-1.0)
    assert result.stop is ReduceStop.SECONDS
    assert result.case.fault == str(start)


def test_what_does_not_fail_is_not_reduced(trace):
    with pytest.raises(LabError, match="does not fail here"):
        reduced(lambda m, s: "", trace, CrashState(KILL, 3))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_delta_debugging_ends_at_a_minimal_part(size):
    rng = random.Random(size)
    for _ in range(20):
        guilty = set(rng.sample(range(size), rng.randint(0, min(size, 3))))
        assert set(_minimise(list(range(size)), lambda items, guilty=guilty: guilty <= set(items))) == guilty


# --- with real SQLite


@pytest.fixture(scope="module")
def off_case(tmp_path_factory):
    """The directory of a failing case of the control with synchronous=OFF."""
    from crashlab.engine.workspace import Workspace

    root = tmp_path_factory.mktemp("cases")
    with Workspace() as space:
        road = TraceRoad(OFF, space, keep=root)
        try:
            outcome = road.run(EVERYTHING_LOST, "t")
        finally:
            road.close()
    assert outcome.verdict is Verdict.FAIL, outcome.error
    return Path(outcome.case_dir)


@pytest.fixture
def case_copy(off_case, tmp_path):
    return Path(shutil.copytree(off_case, tmp_path / "case"))


def judge_with(road):
    return lambda case: road.run(case, "t", keep=False)


def test_a_power_loss_under_off_becomes_one_lost_operation(off_case, workspace):
    recording, trace = carried_trace(off_case)
    road = TraceRoad(OFF, workspace, recording=recording)
    try:
        state = parsed_state(EVERYTHING_LOST)
        result = reduce_state(judge_with(road), trace, EVERYTHING_LOST, state)
        assert result.identity == LOST
        assert result.before.lost > 10
        assert result.after.lost == 1
        assert result.after.moment < state.op
        assert steps_begun(recording, trace, result.after.moment)[0] < 4
        outcome = road.run(result.case, "t", keep=False)
        assert fails_alike(outcome, LOST)
        # 1-minimal: nothing lost, and it passes.
        moments = Moments(trace)
        whole = msgspec.structs.replace(result.case, fault=str(moments.state(result.after.moment, Loss())))
        assert road.run(whole, "t", keep=False).verdict is Verdict.PASS
        assert size_of(moments, parsed_state(result.case)) == result.after
    finally:
        road.close()


def without_times(outcome):
    plain = json.loads(msgspec.json.encode(outcome))
    for name in ("timings_us", "trial_id", "case_dir"):
        plain.pop(name)
    plain["exposure"].pop("seconds")
    plain["story"].pop("fault_us")
    for mark in (each for part in plain["story"].values() if isinstance(part, list) for each in part):
        for name in [name for name in mark if name.endswith("_us")]:
            mark.pop(name)
    return plain


def test_the_same_case_twice_gives_the_same_bytes_and_the_same_outcome(off_case, tmp_path):
    """Once in a writer and a judge of their own, twice in this process: all the same."""
    seen = []
    for number in range(2):
        with InProcess(Broken()) as road:
            outcome = road.run(EVERYTHING_LOST, keep=tmp_path / str(number))
        seen.append((evidence_of(Path(outcome.case_dir)), without_times(outcome)))
    recorded = msgspec.json.decode((off_case / "outcome.json").read_bytes(), type=Outcome)
    assert seen[0] == seen[1] == (evidence_of(off_case), without_times(recorded))
    assert any(len(data) > 1000 for data in seen[0][0].values())


def evidence_of(directory):
    return {path.name: path.read_bytes() for path in (directory / "evidence").iterdir()}


def test_a_replay_from_the_carried_trace_is_exact(off_case, workspace):
    recorded = json.loads((off_case / "outcome.json").read_bytes())
    road = TraceRoad(OFF, workspace, recording=carried_trace(off_case)[0])
    try:
        again = [road.run(EVERYTHING_LOST, "t", keep=False) for _ in range(2)]
    finally:
        road.close()
    assert [json.loads(msgspec.json.encode(outcome.findings)) for outcome in again] == [recorded["findings"]] * 2


def test_a_case_tells_its_story(case_copy):
    annotate_case(case_copy)
    story = (case_copy / "timeline.txt").read_text()
    lines = story.splitlines()
    acked = [line for line in lines if "ACK   main#" in line]
    crash = next(at for at, line in enumerate(lines) if "CRASH (power-loss)" in line)
    assert len(acked) == 4
    assert lines.index(acked[-1]) < crash
    assert "BEGIN main#2  fill (2) → (200)" in story
    assert "write state.db-wal 0+32" in story
    assert "LOST" in story
    listed = (case_copy / "persisted.txt").read_text()
    _, trace = carried_trace(case_copy)
    moments = Moments(trace)
    lost = moments.loss(parsed_state(EVERYTHING_LOST)).lost
    assert f"lost: {len(lost)} operations" in listed
    for op in moments.settled_before(30):
        assert trace.describe(op) in listed
    # The trace was cut to what is used, and is as good as before.
    annotate_case(case_copy)
    assert (case_copy / "timeline.txt").read_text() == story


def test_names_and_rows_cannot_write_to_the_terminal(plan_road, tmp_path):
    class Evil(type(plan_road.workload)):
        def steps(self, lane, instance, ctx):
            for step in super().steps(lane, instance, ctx):
                effects = tuple(msgspec.structs.replace(e, key=("\x1b[2J",)) for e in step.effects)
                yield type(step)(step.seq, effects, step.do)

    with InProcess(Evil()) as road:
        case = Case("plan", 1, "none", {"plan": "wal FULL 4096 0 | put 1x1"})
        case = msgspec.structs.replace(case, fault=f"kill@op={len(road.trace(case))}")
        outcome = road.run(case, keep=tmp_path)
    story = (Path(outcome.case_dir) / "timeline.txt").read_text()
    assert "\x1b" not in story
    assert "x1b[2J" in story


# --- bad input


def test_states_that_do_not_fit_are_refused_in_one_line(trace):
    for text in (
        "kill@op=99999",
        "power-loss@op=0 keep=0xff",
        "kill@op=1+100000",
        "power-loss@op=5 keep=0x0 torn=9:0x1",
    ):
        with pytest.raises(UsageError, match="is no state of the recorded run") as caught:
            require_fit(trace, parse_state(text))
        assert "\n" not in str(caught.value)


def damaged(data, how):
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "short":
        return data[:20]
    if how == "magic":
        return b"SQLite format 3\0" + data[16:]
    if how == "newer":
        return data[:8] + struct.pack("<I", 99) + data[12:]
    return data[:200] + b"\xff" * 64 + data[264:]


@pytest.mark.parametrize("how", ["truncated", "short", "magic", "newer", "overwritten"])
def test_a_damaged_trace_is_refused_in_one_line(case_copy, how):
    log = case_copy / "trace" / "log.0.0000"
    seal_recording(str(case_copy / "trace"))
    (case_copy / "trace" / SEAL).unlink()
    log.write_bytes(damaged(log.read_bytes(), how))
    with pytest.raises(RecordError) as caught:
        carried_trace(case_copy)
    assert "\n" not in str(caught.value)
    assert "upgrade" in str(caught.value) or "log" in str(caught.value)


def test_a_directory_without_a_log_is_no_recording(tmp_path):
    with pytest.raises(RecordError, match="no log in it"):
        load_recording(str(tmp_path))


def test_no_random_damage_gets_past_as_anything_but_a_record_error(case_copy):
    seal_recording(str(case_copy / "trace"))
    (case_copy / "trace" / SEAL).unlink()
    log = case_copy / "trace" / "log.0.0000"
    good = log.read_bytes()
    rng = random.Random(5)
    refused = 0
    log_lines = []
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.choice((rng.randrange(len(data)), rng.randrange(64, 2000)))
            data[at : at + 8] = rng.randbytes(8)
        log.write_bytes(data)
        try:
            load_recording(str(case_copy / "trace"))
        except CrashlabError as error:
            refused += 1
            log_lines.append(str(error))
    assert not any("\n" in line for line in log_lines)
    assert refused > 20
    log.write_bytes(good)
    seal_recording(str(case_copy / "trace"))
    sealed = log.read_bytes()
    for at in (100, len(sealed) // 2, len(sealed) - 1):
        log.write_bytes(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(RecordError):
            load_recording(str(case_copy / "trace"))


def test_a_trace_that_would_fill_the_disk_is_refused(case_copy):
    seal_recording(str(case_copy / "trace"))
    (case_copy / "trace" / SEAL).unlink()
    log = case_copy / "trace" / "log.0.0000"
    data = bytearray(log.read_bytes())
    trace = load_recording(str(case_copy / "trace"))
    op = next(op for op in range(len(trace)) if trace.lengths[op] == 4096)
    start = trace._position[op] - 8  # the offset, just before the bytes
    data[start : start + 8] = (1 << 50).to_bytes(8, "little")
    log.write_bytes(data)
    assert memoryview(data).cast("Q")[USED_SLOT] == len(data)
    with pytest.raises(RecordError, match="expected at most"):
        load_recording(str(case_copy / "trace"))
