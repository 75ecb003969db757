"""`crashlab doctor`: what it says is what was tried, and a thing that cannot be done is told with what follows."""

import json
import sys

import pytest

from crashlab.engine.machine import State, look, tried
from crashlab.errors import LimitError
from crashlab.sqlite.tap import tap_problem


def facts(answer):
    return {fact["name"]: fact for fact in json.loads(answer.out)["facts"]}


def test_doctor(crashlab):
    answer = crashlab("doctor")
    assert answer.code == 0
    assert "SQLite: 3." in answer.out
    assert "trials run on: " in answer.out
    assert answer.out.splitlines()[-1].endswith(("can be done here", "tap on this sqlite3", "hang-up", "seccomp"))


def test_json_has_every_fact_and_each_that_is_not_well_says_what_follows(crashlab):
    answer = crashlab("doctor", "--format", "json")
    found = facts(answer)
    assert {"Python", "cores", "SQLite", "tap on this sqlite3", "trials run on", "kill inside a phase"} <= set(found)
    assert {"this directory", "seccomp", "pytest", "apsw"} <= set(found)
    for fact in found.values():
        assert bool(fact["therefore"]) == bool(fact["do"]) == (fact["state"] != "yes"), fact
    assert (found["tap on this sqlite3"]["state"] == "yes") == (tap_problem() is None)


def test_the_tap_is_tried_and_not_believed(monkeypatch):
    assert tried.tap().state is (State.YES if tap_problem() is None else State.NO)
    monkeypatch.setattr(tried, "_TAP", 'print(\'{"write": 5, "sync": 0}\')')
    assert "it saw 5 writes and 0 syncs" in tried.tap().value
    monkeypatch.setattr(tried, "_TAP", "import os, signal; os.abort()")
    broken = tried.tap()
    assert broken.state is State.NO
    assert "the child that tried it ended with " in broken.value
    assert "real kills can" in broken.therefore


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no such timer elsewhere")
def test_the_timer_is_tried_and_not_believed(monkeypatch):
    assert tried.kill_timer(available=True).state is State.YES
    monkeypatch.setattr(tried, "_KILL", "print('alive')")
    assert tried.kill_timer(available=True).state is State.NOTE
    assert tried.kill_timer(available=False).state is State.NOTE


def test_what_cannot_be_done_is_told_at_the_end(crashlab, project, monkeypatch):
    monkeypatch.setattr(look, "seccomp_problem", lambda: "the container forbids it")
    monkeypatch.setattr(look, "can_hang_up", lambda: False)
    answer = crashlab("doctor", "--format", "text", "--format", "json=doctor.json")
    assert "  no    seccomp: the container forbids it\n        therefore  programs that the tap cannot" in answer.out
    assert answer.out.splitlines()[-1] == "cannot be done here: terminal hang-up, seccomp"
    assert json.loads((project.directory / "doctor.json").read_bytes())["format_version"] == 1


def test_no_room_for_trials_is_a_fact(crashlab, monkeypatch):
    def full(_workspace):
        raise LimitError("the lab's own disk /dev/shm has 3 MiB free")

    monkeypatch.setattr(look, "Workspace", full)
    answer = crashlab("doctor")
    assert answer.code == 0
    assert "  no    trials run on: the lab's own disk /dev/shm has 3 MiB free" in answer.out
    assert "trials run on" in answer.out.splitlines()[-1]
