"""A campaign whose lab was killed at any byte of its records goes on: nothing lost, nothing counted twice."""

import msgspec
import pytest

from crashlab.engine.campaign import Limits, StopReason, Tally, run_campaign
from crashlab.engine.events import Emitter
from crashlab.engine.results.append import open_records, reopen_records
from crashlab.engine.results.plan import RunPlan, require_same
from crashlab.engine.results.read import Records
from crashlab.engine.results.resume import Numbers, read_recorded
from crashlab.errors import RecordError, UsageError
from crashlab.model.case import Case
from crashlab.model.event import EventKind
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.report.ndjson import NdjsonWriter

TRIALS = 12
PLAN = RunPlan("run", "s", 1, ("kill@ack#5",), TRIALS, code="c0de", crashlab="0.1.0+ab")


class Road:
    """Every third case fails; counts how often each case ran."""

    def __init__(self):
        self.ran = []

    def run(self, case, trial_id, *, keep=True):
        self.ran.append(case.seed)
        found = (Finding(Identity("durability", f"i{case.seed % 2}", "s", "process death"), "gone"),)
        verdict, findings = (Verdict.FAIL, found) if case.seed % 3 == 0 else (Verdict.PASS, ())
        return Outcome(trial_id, case, verdict, Ended(EndKind.SIGNALLED, 9), phase="commit", findings=findings)

    def close(self):
        pass


def cases():
    return (Case("s", number, "kill@ack#5") for number in range(TRIALS))


def begin(directory, executor, limits=Limits()):  # noqa: B008
    with open_records(directory) as stream:
        emitter = Emitter(NdjsonWriter(stream))
        emitter.emit(EventKind.RUN_STARTED, **msgspec.to_builtins(PLAN))
        return run_campaign(Road(), cases(), executor, limits, emitter, tally=Tally(keep=False))


def go_on(directory, executor, road, limits=Limits()):  # noqa: B008
    with reopen_records(directory) as stream:
        found = read_recorded(directory)
        stream.cut(found.whole)
        emitter = Emitter(NdjsonWriter(stream), first=found.seq)
        emitter.emit(EventKind.RUN_RESUMED, recorded=len(found.done), torn=found.torn, trials=TRIALS)
        return run_campaign(road, cases(), executor, limits, emitter, tally=found.tally, recorded=found.done)


def summary(tally):
    return tally.verdicts, tally.phases, tally.identities


def test_a_kill_at_any_byte_loses_nothing_and_doubles_nothing(tmp_path, executor):
    whole = begin(tmp_path, executor)
    data = (tmp_path / "records.ndjson").read_bytes()
    first = data.index(b"\n") + 1
    again = tmp_path / "again"
    again.mkdir()
    for cut in [first, *range(first, len(data), 97), len(data) - 1, len(data)]:
        (again / "records.ndjson").write_bytes(data[:cut])
        road = Road()
        recorded = {outcome.case.seed for outcome in Records(again).outcomes()}
        tally = go_on(again, executor, road)
        assert sorted(road.ran) == sorted(set(range(TRIALS)) - recorded)
        records = Records(again)
        assert sorted((o.trial_id, o.case.seed) for o in records.outcomes()) == [
            (f"campaign-{number:06d}", number) for number in range(TRIALS)
        ]
        assert summary(tally) == summary(whole)
        assert [record.seq for record in records] == list(range(sum(1 for _ in records)))
        assert tally.stop is StopReason.DONE


def test_sittings_of_a_few_trials_make_the_whole(tmp_path, executor):
    whole = begin(tmp_path, executor, Limits(budget_trials=2))
    assert whole.stop is StopReason.TRIALS
    for _ in range(4):
        assert go_on(tmp_path, executor, Road(), Limits(budget_trials=2, slots=1)).stop is StopReason.TRIALS
    tally = go_on(tmp_path, executor, Road())
    assert (tally.stop, sum(tally.verdicts.values())) == (StopReason.DONE, TRIALS)
    found = read_recorded(tmp_path)
    assert (len(found.done), found.doubled, found.sittings, found.stop) == (TRIALS, 0, 6, "all cases run")
    assert go_on(tmp_path, executor, road := Road()).stop is StopReason.DONE
    assert road.ran == []


def test_an_outcome_that_comes_twice_counts_once(tmp_path, executor):
    begin(tmp_path, executor)
    path = tmp_path / "records.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[3], lines[4]]))
    found = read_recorded(tmp_path)
    assert (found.doubled, len(found.done), sum(found.tally.verdicts.values())) == (2, TRIALS, TRIALS)


def test_one_writer_a_file(tmp_path, executor):
    begin(tmp_path, executor)
    with reopen_records(tmp_path), pytest.raises(UsageError, match=r"records\.ndjson: another crashlab is writing"):
        reopen_records(tmp_path)
    reopen_records(tmp_path).close()


def test_records_of_something_else_are_refused_by_name(tmp_path):
    path = tmp_path / "records.ndjson"
    for lines, error, said in (
        ([], UsageError, "nothing was recorded"),
        ([{"seq": 0, "ns": 0, "kind": "gate-started", "data": {}}], UsageError, "do not begin with the plan"),
        (
            [{"seq": 0, "ns": 0, "kind": "run-started", "data": msgspec.structs.asdict(PLAN) | {"command": "kills"}}],
            UsageError,
            "records of `kills`",
        ),
        ([{"seq": 0, "ns": 0, "kind": "run-started", "data": {"command": 7}}], RecordError, "line 1"),
    ):
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        with pytest.raises(error, match=said):
            read_recorded(tmp_path)


def test_what_differs_is_named():
    here = {"python": "CPython 3.11.7", "sqlite": "3.40.1", "file_system": "tmpfs", "cores": "2", "os": "Linux 6.8.1"}
    then = msgspec.structs.replace(PLAN, environment=here)
    require_same(then, msgspec.structs.replace(then, environment={**here, "cores": "64", "os": "Linux 6.9.0"}), "r")
    for change, said in (
        ({"seed": 2}, "seed: 1, now 2"),
        ({"code": "0ther"}, "the code of subject 's': c0de, now 0ther"),
        ({"crashlab": "0.2.0+cd"}, r"crashlab: 0\.1\.0\+ab, now 0\.2\.0\+cd"),
        ({"params": {"every": 3}}, "parameters: none, now every=3"),
        ({"environment": {**here, "sqlite": "3.51.3"}}, r"SQLite: 3\.40\.1, now 3\.51\.3"),
        ({"environment": {**here, "file_system": "ext4"}}, "file system of the trials: tmpfs, now ext4"),
    ):
        with pytest.raises(UsageError, match=rf"r cannot go on.*\({said}\)"):
            require_same(then, msgspec.structs.replace(then, **change), "r")


def test_numbers_are_a_set():
    numbers = Numbers()
    assert [numbers.add(number) for number in (5, 0, 5, 1000)] == [True, True, False, True]
    assert [number for number in range(-1, 2000) if number in numbers] == [0, 5, 1000]
    assert len(numbers) == 3
