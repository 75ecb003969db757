import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from crashlab.engine import workspace as module
from crashlab.engine.workspace import PREFIX, Workspace
from crashlab.errors import LimitError


def test_it_is_a_directory_of_this_process_and_goes_with_it(tmp_path):
    with Workspace(str(tmp_path)) as workspace:
        assert workspace.root.parent == tmp_path
        assert workspace.root.name.startswith(f"{PREFIX}{os.getpid()}-")
        (workspace.make_run() / "state.db").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_two_workspaces_and_two_runs_never_share(tmp_path):
    with Workspace(str(tmp_path)) as one, Workspace(str(tmp_path)) as other:
        runs = {one.make_run(), one.make_run(), other.make_run(), other.make_run()}
        assert len(runs) == 4
        assert all(run.is_dir() for run in runs)


def test_it_is_removed_when_the_campaign_fails(tmp_path):
    def failing():
        with Workspace(str(tmp_path)) as workspace:
            workspace.make_run()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_lab_left_is_swept_and_nothing_else(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = tmp_path / f"{PREFIX}{int(dead.stdout)}-abc"
    left.mkdir()
    (left / "state.db").write_bytes(b"x")
    kept = [
        tmp_path / f"{PREFIX}{os.getpid()}-abc",  # of a living process
        tmp_path / f"{PREFIX}notes-mine",
        tmp_path / "other-1-abc",
    ]
    for path in kept:
        path.mkdir()
    with Workspace(str(tmp_path)):
        assert not left.exists()
        assert all(path.exists() for path in kept)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_remove_its_parents_workspace(tmp_path):
    text = """
import os, sys
from crashlab.engine.workspace import Workspace
with Workspace(sys.argv[1]) as workspace:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        print(workspace.root.exists())
"""
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
    assert list(tmp_path.iterdir()) == []


def test_a_nearly_full_disk_is_said_before_anything_is_made(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100 << 30, 100 << 30, 3 << 20))
    with pytest.raises(LimitError, match="has 3 MiB free, 64 MiB are needed; free some space or point --workspace"):
        Workspace(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_fastest_base_is_a_directory_that_can_be_written():
    base = Path(module._fastest_base())
    assert base.is_dir()
    assert os.access(base, os.W_OK)
