"""Exposure kept up to date write by write is what a comparison of the files says."""

from pathlib import Path

import pytest

from crashlab.decide.study.track import follow
from crashlab.engine.recording import record
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, read_marks
from crashlab.model.case import Case
from crashlab.model.history import Ended, EndKind
from crashlab.model.seed import rng_for
from crashlab.sqlite.exposure import measure_exposure
from crashlab.states.materialise import Materialiser
from crashlab.states.state import KILL, CrashState
from crashlab.writers.order import ClockKind

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def slots():
    made = Slots(Subject("app", "studied_app:App", (HERE,)))
    yield made
    made.close()


def recorded(slots, space, **params):
    case = Case("app", 1, "none", {"steps": 60, **params}, deadline_s=60)
    recording = record(slots, space, case, clock=ClockKind.RENDEZVOUS, tick_s=1.0)
    records = read_marks(log_bases(recording.directory))
    trace = recording.trace()
    return trace, follow(trace, records, build_history("app", records, Ended(EndKind.EXITED, 0)), "state.db")


@pytest.mark.parametrize(
    "params",
    [
        {"checkpoint_interval_s": 7.0},
        {"checkpoint_mode": "TRUNCATE", "vacuum_at": 31},
        {"checkpoint_interval_s": 0.0, "wal_autocheckpoint": 30},
        {"reader": "pinned"},
    ],
    ids=str,
)
def test_every_moment_has_the_frames_that_the_files_themselves_have(slots, params):
    with Workspace() as space:
        trace, track = recorded(slots, space, **params)
        assert not track.odd
        moments = sorted(rng_for(1, "moments").sample(range(len(track.exposed)), 80))
        with Materialiser(trace, space.make_run() / "states") as files:
            for moment in moments:
                work = files.show(CrashState(KILL, moment))
                main, wal = ((work / name) for name in ("state.db", "state.db-wal"))
                there = [file.read_bytes() if file.exists() else b"" for file in (main, wal)]
                assert track.exposed[moment] == measure_exposure(*there).frames, moment


def test_time_is_the_clock_s_and_rests_are_exact(slots):
    with Workspace() as space:
        _, track = recorded(slots, space, checkpoint_interval_s=10.0)
    assert [rest.start for rest in track.rests] == [float(n) for n in range(60)]
    assert track.checkpoints == 5  # the sixth is due when the clock stops
    assert track.completions == {"checkpoint": 5}
    # One row a second from the start or from the checkpoint at each tenth second, which comes before the write.
    assert [rest.rows for rest in track.rests] == [n % 10 + 1 for n in range(60)]
    assert [rest.start - rest.oldest for rest in track.rests] == [float(n % 10) for n in range(60)]
    assert {rest.unsynced for rest in track.rests} == {0}


def test_without_a_sync_at_each_commit_the_rows_since_the_last_checkpoint_are_not_durable(slots):
    with Workspace() as space:
        _, track = recorded(slots, space, synchronous="NORMAL")
    assert [rest.unsynced for rest in track.rests] == [rest.rows for rest in track.rests]
