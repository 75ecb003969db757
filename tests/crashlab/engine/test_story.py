"""The story of a trial: what became of each step, and the WAL frame by frame."""

import sqlite3
import subprocess
import sys

from crashlab.engine.story import tell_story, wal_map
from crashlab.model.history import Ended, EndKind, History, PhaseRecord, StepRecord, StepState
from crashlab.model.step import Effect
from crashlab.model.story import STEPS_MAX
from crashlab.sqlite.files import Triplet


def step(seq, state, *effects):
    end = 0 if state is StepState.OPEN else seq * 1_000_000 + 500_000
    told = tuple(Effect("t", (key,), value) for key, value in effects)
    return StepRecord("main", 0, seq, state, told, seq * 1_000_000, seq * 2, end, seq * 2 + 1)


def history(*steps):
    phases = (PhaseRecord("commit", 0, 1, 2_000_000, 5), PhaseRecord("start-up", 0, 1, 0, 0, 1_000_000))
    return History("case", steps, phases, (), Ended(EndKind.SIGNALLED, 9), 9_000_000)


def test_what_became_of_each_step(tmp_path):
    steps = (
        step(1, StepState.ACKED, (1, ("a",)), (2, ("b",))),  # 1 was written over by step 2, 2 is there
        step(2, StepState.ACKED, (1, ("c",))),
        step(3, StepState.ACKED, (3, ("d",)), (4, ("e",))),  # half of it
        step(4, StepState.ACKED, (5, ("f",))),  # neither it nor what step 5 wrote over it
        step(5, StepState.OPEN, (5, ("g",))),
        step(6, StepState.ACKED, (6, None)),  # deleted, and deleted it is
        step(7, StepState.REFUSED, (7, ("h",))),
        step(8, StepState.ACKED, (8, ("i",))),
        step(9, StepState.ACKED, (8, ("j",))),
    )
    rows = {"t": {(1,): ("c",), (2,): ("b",), (3,): ("d",), (8,): ("j",)}}
    story = tell_story(history(*steps), rows, Triplet.of(tmp_path / "none.db"), operations=[(500_000, "sync a-wal")])
    assert [each.back for each in story.steps] == [
        "there",
        "there",
        "part",
        "gone",
        "gone",
        "there",
        "",
        "over",
        "there",
    ]
    assert (story.steps[0].begin_us, story.steps[0].end_us, story.steps[4].end_us) == (1000, 1500, -1)
    assert [(each.name, each.leave_us) for each in story.phases] == [("commit", -1), ("start-up", 1000)]
    assert story.operations[0].at_us == 500
    assert (story.fault_us, story.wal, story.left_out) == (9000, None, {})
    assert {each.back for each in tell_story(history(*steps), None, Triplet.of(tmp_path / "none.db")).steps} == {""}


def test_a_story_stays_small(tmp_path):
    many = tuple(step(number, StepState.ACKED, (number, ("x",))) for number in range(1000))
    story = tell_story(history(*many), {}, Triplet.of(tmp_path / "none.db"))
    assert len(story.steps) == STEPS_MAX
    assert story.steps[-1].seq == 999
    assert story.left_out == {"steps": 1000 - STEPS_MAX}


def test_every_frame_of_the_wal_has_its_fate(tmp_path):
    """A checkpointed and restarted WAL with an uncommitted frame: main, wal, uncommitted and old, once each."""
    live = tmp_path / "live.db"
    db = sqlite3.connect(live)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE t(x)")
    for number in range(20):
        db.execute("INSERT INTO t VALUES(?)", ("x" * 3000 + str(number),))
        db.commit()
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    evidence = _copied(live, tmp_path / "first")
    whole = wal_map(evidence)
    assert {run.fate for run in whole.runs} == {"main"}
    assert whole.backfilled == whole.committed == whole.frames > 20
    for number in range(2):
        db.execute("INSERT INTO t VALUES(?)", ("y" * 3000 + str(number),))
        db.commit()
    evidence = _copied(live, tmp_path / "second")
    mapped = wal_map(evidence)
    assert [run.fate for run in mapped.runs] == ["wal", "old"]
    assert sum(run.frames for run in mapped.runs) == mapped.frames == whole.frames
    assert (mapped.committed, mapped.backfilled, mapped.generations) == (mapped.runs[0].frames, 0, 2)
    assert mapped.commits[-1] == mapped.committed
    # The last frame's commit mark is torn off: nothing of its commit counts any more.
    data = bytearray(evidence.wal.read_bytes())
    data[32 + (mapped.committed - 1) * 4120 + 30] ^= 1
    evidence.wal.write_bytes(data)
    torn = wal_map(evidence)
    assert torn.committed < mapped.committed
    assert "torn" in {run.fate for run in torn.runs}
    db.close()


def _copied(live, directory):
    """Copied by another process: closing a descriptor of a live database would cancel this one's locks."""
    code = "import sys; from crashlab.sqlite.files import Triplet; Triplet.of(sys.argv[1]).copy_into(sys.argv[2])"
    directory.mkdir()
    subprocess.run([sys.executable, "-c", code, live, directory], check=True, timeout=60)
    return Triplet.of(directory / live.name)
