"""Databases that real kills left are called healthy: a kill is no mechanism."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from crashlab.decide.statistics import upper_bound
from crashlab.diagnosis.autopsy import Verdict, autopsy
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import abnormal, verdict_of, with_checks
from crashlab.engine.road import make_order
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.faults.fault import parse_fault
from crashlab.faults.kill import PHASES
from crashlab.model.case import Case
from crashlab.model.history import EndKind
from crashlab.model.seed import rng_for
from crashlab.sqlite.files import Triplet
from crashlab.writers.launcher import make_launcher

WORKLOADS = {
    "store": "harness.workloads.system_metrics:workload",
    "memory": "harness.workloads.agent_memory:workload",
    "paper": "harness.workloads.paper_session:workload",
    "ledger": "harness.workloads.run_ledger:workload",
}
CALLS = ("wal.write", "wal.sync", "wal.sync.after", "main.write", "main.sync", "main.sync.after", "wal.truncate")
TORN = ("wal.write", "main.write")
RECOVERIES = ("kill@phase=start-up#1", "kill@wal.write#1", "kill@main.write#2", "kill@main.sync#1")
PROGRAMS = Path(__file__).parents[4] / "examples" / "programs"
EVERY = 50  # one in so many by a whole autopsy, which lets SQLite open a copy


def faults(rng):
    """Each phase at some time, an ack, the start, and calls of SQLite to its file system, some torn."""
    for phase in PHASES:
        yield f"kill@phase={phase}#{rng.choice((1, 1, 2, 3, 5, 9))} delay={rng.randrange(400)}us"
    yield f"kill@ack#{rng.randrange(1, 60)} delay={rng.randrange(900)}us"
    yield f"kill@start delay={rng.randrange(1, 40)}ms"
    for call in CALLS:
        torn = f"+{rng.randrange(1, 4096)}" if call in TORN and rng.random() < 0.7 else ""
        yield f"kill@{call}#{rng.choice((1, 2, 3, 7, 20, 50))}{torn}"


class Killed:
    """Kills a workload for real and looks at what is left; `sick`: those not called healthy."""

    def __init__(self, slots, space):
        self.slots, self.space = slots, space
        self.count, self.missed, self.begun, self.sick, self.seen = 0, 0, 0, [], Counter()

    def kill(self, seed, text, before=None):
        """Kill one writer, on what an earlier one left in `before`; return its directory if there is a database."""
        fault = parse_fault(text)
        with self.slots.use() as slot:
            order = make_order(self.slots, slot, self.space, Case("killed", seed, text, {}), fault)
            place = Path(order.directory)
            if before is not None:
                for each in before.glob("state.db*"):
                    shutil.copy(each, place)
            ended = slot.launcher.launch(order)
        if (ended.kind, ended.code) != (EndKind.SIGNALLED, 9):
            self.missed += 1
            return None
        return place if self.look(f"{text} seed {seed}{' again' if before else ''}", Path(order.database)) else None

    def look(self, what, path):
        """Judge one; False where no database had been begun."""
        if not path.exists() or not path.stat().st_size:
            self.begun += 1
            return False
        features = with_checks(examine(Triplet.of(path), keys=True).features, {})
        first = [named.id for named in rank(features).first]
        healthy = verdict_of(features, unchanged=True) is Verdict.HEALTHY and first[:1] == ["none"]
        self.count += 1
        if not self.count % EVERY:
            report = autopsy(path)
            healthy = healthy and report.verdict is Verdict.HEALTHY and report.unchanged
        if not healthy:
            self.sick.append((what, abnormal(features), first))
        self.seen[f"wal {features['wal']}, shm {features['shm.frames']}"] += 1
        return True


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(100, marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]),
    ],
)
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_database_after_real_kills_is_healthy(name, seeds):
    with Workspace() as space, contextlib.closing(Slots(Subject(name, WORKLOADS[name]), make_launcher)) as slots:
        killed = Killed(slots, space)
        for seed in range(seeds):
            rng = rng_for(seed, "killed", name)
            for number, text in enumerate(faults(rng)):
                place = killed.kill(seed, text)
                if place is not None and number % 4 == seed % 4:
                    killed.kill(seed, rng.choice(RECOVERIES), before=place)
                for each in space.root.glob("run*"):
                    shutil.rmtree(each)
    print(
        f"{name}: {killed.count} databases, {len(killed.sick)} not called healthy, at most"
        f" {upper_bound(len(killed.sick), killed.count):.2%} (95 %); {killed.begun} had none yet,"
        f" {killed.missed} missed; {dict(killed.seen)}"
    )
    assert killed.count > 10 * seeds
    assert not killed.sick


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        pytest.param("orders", 25, marks=pytest.mark.slow),
        *(pytest.param(name, 250, marks=pytest.mark.nightly) for name in ("orders", "counters", "uploads")),
    ],
)
@pytest.mark.timeout(3600)
def test_what_a_killed_program_leaves_is_healthy(tmp_path, name, trials):
    """The autopsy is the restart command, so that it sees the files before anything else does."""
    shutil.copy(PROGRAMS / f"{name}.py", tmp_path)
    crashlab = f"{sys.executable} -c 'from crashlab.cli import main; main()'"
    (tmp_path / "look.sh").write_text(f"test -s {name}.db || exit 0\nexec {crashlab} autopsy {name}.db\n")
    line = ["run", "--fault", "kill", "--trials", trials, "--jobs", 1, "--restart", "sh look.sh", "--format", "json"]
    command = [sys.executable, "-c", "from crashlab.cli import main; main()", *map(str, line), "--", sys.executable]
    done = subprocess.run([*command, f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    print(f"{name}: {told['judged']} killed runs, {told['failures']} not called healthy: {told['findings']}")
    assert done.returncode == 0, told["findings"]
    assert told["judged"] > trials / 50  # they are short: most moments come when they have ended
