"""An actor that is a fork of another, and what the stage sees of a WAL without a name."""

import os
import sys

import pytest

from crashlab.errors import LabError
from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.stage.driver import Driver
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def stage(tmp_path):
    exhibit = Exhibit("x", "t", FaultClass.NONE, "h", "c", lambda _stage: None, {}, "s", ("a",))
    stage = Stage(exhibit, Driver(), tmp_path, seed=1, control=False)
    yield stage
    stage.stop()


def test_a_forked_actor_has_its_parents_connections_and_a_process_of_its_own(stage):
    parent = stage.opener("P")
    stage.create(parent)
    child = stage.forked("C", parent)
    assert child.pid not in (parent.pid, os.getpid())
    assert stage.insert(child, "row", 3) is None
    assert parent.sql("SELECT count(*) FROM t") == [[3]]
    assert {holder.actor for holder in stage.step("forked").holders} == {"P", "C"}
    child.kill()
    assert not child.alive
    with pytest.raises(LabError, match="did not fire"):
        child.kill()
    assert parent.sql("SELECT count(*) FROM t") == [[3]]
    again = stage.forked("C", parent)
    parent.kill()
    assert again.sql("SELECT count(*) FROM t") == [[3]]


def test_nobody_outlives_the_stage(stage):
    parent = stage.opener("P")
    child = stage.forked("C", parent)
    descriptors = len(os.listdir("/proc/self/fd"))
    stage.stop()
    assert not child.alive
    assert len(os.listdir("/proc/self/fd")) == descriptors - 3
    with pytest.raises(ProcessLookupError):
        os.kill(parent.pid, 0)


def test_a_ghost_wal_is_seen_only_where_it_holds_commits(stage):
    writer = stage.opener("W")
    stage.step("opened")
    assert stage.features["live.ghost_wal"] == "none"
    os.unlink(f"{stage.main}-wal")
    stage.step("unlinked, without a commit")
    assert stage.features["live.unlinked"] == "wal"
    assert stage.features["live.ghost_wal"] == "none"
    stage.create(writer)
    ghosts = stage.step("written into").ghosts
    assert [len(ghost.commits) for ghost in ghosts] == [2]
    assert stage.features["live.ghost_wal"] == "commits"


class Closing:
    """A connection that closes when nobody holds it any more, as apsw's does."""

    def __init__(self, connection):
        self.execute = connection.execute
        self.close = connection.close

    def __del__(self):
        self.close()


class ClosingDriver(Driver):
    def connect(self, path, *, uri=False, busy_s=0.0):
        return Closing(super().connect(path, uri=uri, busy_s=busy_s))


def test_who_leaves_closes_nothing(stage):
    stage.driver = ClosingDriver()
    writer = stage.opener("W")
    stage.create(writer)
    writer.leave()
    assert {file.name for file in stage.step("left").files} == {"state.db", "state.db-wal", "state.db-shm"}
