"""Trends: runs that may be compared, rates, and changes with an interval."""

import msgspec
import pytest

from crashlab.decide.trend import trend
from crashlab.errors import RecordError, UsageError
from crashlab.model.case import Case
from crashlab.model.event import Event
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome, StateCount

LOST = Finding(Identity("durability", "acked-row-lost", "s", "power loss"), "gone")
TORN = Finding(Identity("integrity", "quick-check", "s", "power loss"), "malformed")


def write(directory, *, trials=100, failing=0, findings=(LOST,), commit="a" * 40, double=0, **more):
    directory.mkdir(parents=True)
    started = {"command": "run", "subject": "s", "seed": 1, "faults": ["states@torn#50"], "commit": commit}
    started |= {"committed": "2026-11-20T10:00:00+00:00", "environment": {"sqlite": "3.40.1"}} | more
    events = [Event(0, 0, "run-started", "", started)]
    for number in [*range(trials), *range(double)]:
        bad = number < failing
        outcome = Outcome(
            f"campaign-{number:06d}",
            Case("s", number, "states@torn#50"),
            Verdict.FAIL if bad else Verdict.PASS,
            Ended(EndKind.SIGNALLED, 9),
            findings=findings if bad else (),
            states=StateCount(50),
        )
        events.append(Event(0, 0, "trial-finished", outcome.trial_id, {"outcome": msgspec.to_builtins(outcome)}))
    (directory / "records.ndjson").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return str(directory)


def test_runs_in_a_directory_are_taken_by_their_numbers(tmp_path):
    runs = tmp_path / "lab" / "runs"
    for number in (10, 2, 1):
        write(runs / f"run-{number}", commit=f"{number:040x}")
    for given in (tmp_path / "lab", runs):
        (series,) = trend([str(given)])
        assert [point.run.rpartition("-")[2] for point in series.points] == ["1", "2", "10"]
        assert [point.states for point in series.points] == [5000] * 3


def test_a_change_comes_with_its_interval(tmp_path):
    a = write(tmp_path / "a")
    b = write(tmp_path / "b", failing=12, commit="b" * 40)
    c = write(tmp_path / "c", failing=1, findings=(TORN,), commit="c" * 40, double=3, environment={"sqlite": "3.51.3"})
    (series,) = trend([a, b, c])
    assert [(point.judged, point.failures) for point in series.points] == [(100, 0), (100, 12), (100, 1)]
    found = {(change.finding, change.before): change for change in series.changes}
    appeared = found[(str(LOST.identity), "aaaaaaaa")]
    assert (appeared.a, appeared.b, appeared.clear) == ((0, 100), (12, 100), True)
    assert 0.04 < appeared.low < 0.12 < appeared.high < 0.21
    went = found[(str(LOST.identity), "bbbbbbbb")]
    assert (went.b, went.clear, went.high < 0) == ((0, 100), True, True)
    once = found[(str(TORN.identity), "bbbbbbbb")]
    assert (once.a, once.b, once.clear) == ((0, 100), (1, 100), False)
    assert series.environments == ("bbbbbbbb → cccccccc: SQLite 3.40.1 → 3.51.3",)


def test_only_what_may_be_compared_is(tmp_path):
    a = write(tmp_path / "a")
    b = write(tmp_path / "b", faults=["states@kill#50"])
    c = write(tmp_path / "c", params={"every": 3})
    assert [len(series.points) for series in trend([a, b, c])] == [1, 1, 1]
    with pytest.raises(UsageError, match="given twice"):
        trend([a, str(tmp_path / "a" / "records.ndjson")])
    with pytest.raises(RecordError, match="no such file"):
        trend([a, str(tmp_path / "none")])


def test_no_trials_say_nothing(tmp_path):
    (series,) = trend([write(tmp_path / "a", trials=0), write(tmp_path / "b", trials=5, failing=5)])
    assert all(not change.clear and (change.low, change.high) == (-1.0, 1.0) for change in series.changes)
