"""The fold: what a summary says is what the events said, live or from the file, and its memory is bounded."""

import json
from pathlib import Path

import msgspec
import pytest

from crashlab.engine.events import Emitter
from crashlab.engine.results.read import Records
from crashlab.errors import RecordError
from crashlab.model.event import Event, EventKind
from crashlab.model.seed import rng_for
from crashlab.report.bench import write_records
from crashlab.report.summary.facts import CALLS, STATES, TRIALS
from crashlab.report.summary.fold import Fold, summarise
from crashlab.report.summary.trials import CELLS_MAX, Trials, fault_label

RECORDS = Path(__file__).parents[3] / "golden" / "report" / "records.ndjson"


def outcome(number, verdict="PASS", fault="kill@ack#3", params=None, **more):
    case = {"subject": "app", "seed": number, "fault": fault, "params": params or {}}
    return {
        "trial_id": f"run-{number:06d}",
        "case": case,
        "verdict": verdict,
        "ended": {"kind": "signalled", "code": 9},
        **more,
    }


def finding(invariant="acked-row-lost", fault_class="process death", message="gone"):
    identity = {"oracle": "durability", "invariant": invariant, "subject": "app", "fault_class": fault_class}
    return {"identity": identity, "message": message}


def folded(*outcomes, stop="all cases run"):
    fold = Fold()
    emitter = Emitter(fold)
    emitter.emit(EventKind.RUN_STARTED, command="run", subject="app", seed=1, environment={"os": "Linux 6.1"})
    for each in outcomes:
        emitter.emit(EventKind.TRIAL_FINISHED, each["trial_id"], outcome=each)
    emitter.emit(EventKind.CAMPAIGN_FINISHED, stop=stop, seconds=2.0)
    return fold.summary()


def test_live_and_from_the_file_are_the_same():
    live = Fold()
    for event in Records(RECORDS).events():
        live(event)
    kept = summarise([str(RECORDS)])
    assert msgspec.structs.replace(live.summary(), sources=()) == msgspec.structs.replace(kept, sources=())
    assert kept.answer.word == "FAIL"
    assert kept.counts.trials == 14
    assert {found.identity.partition(" ")[0] for found in kept.findings} >= {"durability/acked-row-lost"}
    witness = kept.findings[0].witnesses[0]
    assert witness.replay.startswith("crashlab replay ")
    assert {step.back for step in witness.story.steps} >= {"there", "gone"}
    assert witness.story.wal.committed


@pytest.mark.parametrize(
    ("outcomes", "stop", "word"),
    [
        ([], "all cases run", "INCONCLUSIVE"),
        ([outcome(1)], "all cases run", "PASS"),
        ([outcome(1), outcome(2, "FAIL", findings=[finding()])], "all cases run", "FAIL"),
        ([outcome(1), outcome(2, "ERROR", error="disk")], "all cases run", "INCONCLUSIVE"),
        ([outcome(1, "MISSED")], "all cases run", "INCONCLUSIVE"),
        ([outcome(1)], "interrupted", "INCONCLUSIVE"),
    ],
)
def test_the_answer(outcomes, stop, word):
    assert folded(*outcomes, stop=stop).answer.word == word


def test_records_that_end_early_are_no_pass():
    fold = Fold()
    fold(Event(0, 0, EventKind.TRIAL_FINISHED, "run-1", {"outcome": outcome(1)}))
    answer = fold.summary().answer
    assert answer.word == "INCONCLUSIVE"
    assert any("did not finish" in reason for reason in answer.reasons)
    gate = {"subject": "app", "seed": 1, "phase_hits_min": 3}
    fold(Event(1, 0, EventKind.GATE_STARTED, "", gate))
    row = {"group": "controls", "name": "acks", "result": "ok"}
    fold(Event(2, 0, EventKind.ROW_FINISHED, "", {"row": row}))
    fold._gates.append(fold._cut_off())
    summary = fold.summary()
    assert (summary.answer.word, len(summary.gates[0].rows)) == ("INCONCLUSIVE", 1)


def test_a_trial_told_twice_counts_once(tmp_path):
    lines = RECORDS.read_bytes().splitlines(keepends=True)
    path = tmp_path / "records.ndjson"
    path.write_bytes(b"".join([*lines, *lines[3:6], b'{"seq":1,"ns']))
    summary = summarise([str(path)])
    assert summary.counts.trials == 14
    assert (summary.sources[0].repeated, summary.sources[0].torn) == (3, 12)


def test_a_bad_line_is_named(tmp_path):
    lines = RECORDS.read_bytes().splitlines(keepends=True)
    path = tmp_path / "records.ndjson"
    event = json.loads(lines[2])
    event["data"]["outcome"]["verdict"] = 7
    path.write_bytes(b"".join([*lines[:2], json.dumps(event).encode() + b"\n", *lines[3:]]))
    with pytest.raises(RecordError, match=r"records\.ndjson, line 3: trial-finished of an unknown form"):
        summarise([str(path)])


def test_a_finding_is_counted_by_what_shows_it():
    fold = Fold()
    fold(Event(0, 0, EventKind.TRIAL_FINISHED, "run-1", {"outcome": outcome(1, "FAIL", findings=[finding()])}))
    state = outcome(2, "FAIL", "kill@op=7", findings=[finding()], case_dir="cases/ab", fired="computed")
    explored = {"judged": 4, "failures": 2, "outcomes": [state], "coverage": [{"generated": 90}], "reach": []}
    name = "durability/acked-row-lost · app · process death"
    fold(Event(1, 0, EventKind.EXPLORED, "", {"row": "r", "explored": {**explored, "identities": {name: 12}}}))
    failing = outcome(3, "FAIL", "io-error@any.write#1", findings=[finding(fault_class="I/O error")])
    other = "durability/acked-row-lost · app · I/O error"
    fold(Event(2, 0, EventKind.SWEPT, "", {"row": "r", "outcomes": [failing], "identities": {other: 5}}))
    summary = fold.summary()
    assert {found.identity: found.counts for found in summary.findings} == {
        name: {TRIALS: 1, STATES: 12},
        other: {CALLS: 5},
    }
    assert summary.states == 90
    best = next(found for found in summary.findings if found.identity == name).witnesses[0]
    assert (best.fault, best.reduce) == ("kill@op=7", "crashlab reduce cases/ab")


def test_cells_and_maps():
    summary = folded(
        outcome(1, params={"interval": 5, "reader": "none"}, exposure={"rows": 7, "main_alone": "readable"}),
        outcome(2, params={"interval": 0.5, "reader": "none"}),
        outcome(3, "FAIL", "kill@phase=commit#1 delay=9us", {"interval": 5, "reader": "none"}, findings=[finding()]),
    )
    assert [(cell.fault, cell.params["interval"]) for cell in summary.cells] == [
        ("kill@ack", 0.5),
        ("kill@ack", 5),
        ("kill@phase=commit", 5),
    ]
    (heat,) = summary.heat  # the reader never varied
    assert (heat.param, heat.values) == ("interval", ("0.5", "5"))
    assert [[counts.judged for counts in row] for row in heat.cells] == [[1, 1], [0, 1]]
    assert heat.rows_p95[0] == (-1.0, 7.0)
    assert summary.exposures[0].rows.n == 1


def test_memory_is_bounded_by_caps_that_are_told():
    trials = Trials()
    summary = folded(
        *(outcome(n, params={"n": n}) for n in range(CELLS_MAX + 5)),
        *(outcome(n + 5000, "FAIL", findings=[finding(f"i{n}")]) for n in range(600)),
    )
    assert summary.counts.judged == CELLS_MAX + 605
    assert len(summary.cells) == CELLS_MAX
    assert summary.left_out["findings"] == 100
    assert summary.left_out["trials of further combinations"] >= 5
    assert len(summary.findings) == 500
    assert trials.counts().trials == 0


@pytest.mark.parametrize(
    ("fault", "label"),
    [
        ("kill@ack#17", "kill@ack"),
        ("kill@phase=commit#3 delay=40us", "kill@phase=commit"),
        ("hangup@ack#5 grace=5s on=handle", "hangup@ack on=handle"),
        ("io-error@main.sync#2 error=EIO mode=persistent", "io-error@main.sync error=EIO mode=persistent"),
        ("kill@wal.write#5+1024", "kill@wal.write"),
        ("power-loss@op=831 keep=0x1f", "power-loss@op"),
        ("damage@main.page#3 bit=12", "damage@main.page"),
        ("none", "none"),
    ],
)
def test_fault_labels(fault, label):
    assert fault_label(fault) == label


def test_the_bench_writes_records_that_a_report_reads(tmp_path):
    for name in ("a", "b"):
        write_records(tmp_path / name, 500, rng_for(1, "test"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    summary = summarise([str(tmp_path / "a")])
    assert summary.counts.trials == 500
    assert len(summary.heat) == 3
