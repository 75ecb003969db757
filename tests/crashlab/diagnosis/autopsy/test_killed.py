"""Every state in which a kill can leave a store's files is called healthy: a kill is no mechanism."""

import contextlib
from pathlib import Path

import pytest

from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.report import Verdict
from crashlab.diagnosis.autopsy.signs import abnormal, verdict_of, with_checks
from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.sqlite.files import Triplet
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState

STORES = ("crashlab.gallery.controls.ack_before_commit:Twin", "harness.workloads.system_metrics:workload")


@pytest.mark.parametrize("states", [25, pytest.param(1500, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("workload", STORES)
def test_a_kill_between_any_two_operations_is_healthy(tmp_path, workload, states):
    sick, seen = [], set()
    with Workspace() as space:
        road = TraceRoad(Subject("store", workload), space)
        with contextlib.closing(road):
            trace = road.recording(Case("store", 7, "kill@op=1", {})).trace()
            step = max(1, len(trace) // states)
            with Materialiser(trace, tmp_path / "states") as files:
                for op in range(0, len(trace), step):
                    place = tmp_path / str(op)
                    place.mkdir()
                    files.export(CrashState(KILL, op), place)
                    main = database_of(place)
                    if main is None:
                        continue
                    features = with_checks(examine(Triplet.of(main), keys=True).features, {})
                    seen.add(features["wal"])
                    first = [named.id for named in rank(features).first]
                    if verdict_of(features, unchanged=True) is not Verdict.HEALTHY or first[:1] != ["none"]:
                        sick.append((op, features["main"], abnormal(features), first))
    # A file of zero length is a database that was not begun yet: not told from one that lost all.
    assert not [each for each in sick if each[1] != "zero length"]
    assert "commits" in seen


def database_of(place: Path) -> Path | None:
    """The database's main file among what the store wrote."""
    mains = [path for path in place.rglob("*") if path.is_file() and Path(f"{path}-wal").exists()]
    return mains[0] if mains else next(iter(sorted(place.rglob("*.db"))), None)
