"""The crash point is counted out exactly, and once."""

import threading

import pytest

from crashlab.log.history import build_history
from crashlab.log.reader import read_log
from crashlab.log.writer import LogWriter
from crashlab.model.history import Ended, EndKind
from crashlab.writers.marks import Marks
from crashlab.writers.order import Action, Moment, Trigger


@pytest.fixture
def made(tmp_path):
    log = LogWriter(str(tmp_path / "log.0"))
    fired = []

    def make(trigger):
        return Marks(log, trigger, fired.append)

    yield make, fired, log
    log.close()


def step(marks, *, commits=1):
    marks.step_begins()
    for _ in range(commits):
        with marks.inside("commit"):
            pass
    marks.acked()


def phase(name, n=1):
    return Trigger(Moment.PHASE, Action.KILL, name, n)


def test_acks_are_counted(made):
    make, fired, log = made
    marks = make(Trigger(Moment.ACK, n=3))
    for number in range(1, 6):
        step(marks)
        assert len(fired) == (number >= 3)
    history = build_history("t", list(read_log(log.base)), Ended(EndKind.EXITED, 0))
    assert [note.text for note in history.notes] == ["fired: kill"]


def test_commits_inside_steps_are_counted_and_no_others(made):
    make, fired, _ = made
    marks = make(phase("commit", 2))
    with marks.inside("commit"):
        assert not fired
    step(marks)
    with marks.inside("commit"):
        assert not fired
    step(marks)
    assert len(fired) == 1


def test_commit_ack_is_when_a_commit_inside_a_step_has_returned(made):
    make, fired, _ = made
    marks = make(phase("commit-ack", 2))
    marks.step_begins()
    marks.enter("commit")
    marks.leave("commit")
    marks.enter("commit")
    assert not fired
    marks.leave("commit")
    assert fired


def test_a_commit_of_another_thread_is_not_inside_this_threads_step(made):
    make, fired, _ = made
    marks = make(phase("commit"))
    marks.step_begins()
    thread = threading.Thread(target=marks.enter, args=("commit",))
    thread.start()
    thread.join()
    assert not fired
    marks.enter("commit")
    assert fired


@pytest.mark.parametrize(
    ("name", "fires_at"), [("close-before", 1), ("close-truncate", 3), ("close-after", 4), ("checkpoint", 0)]
)
def test_the_parts_of_a_close(made, name, fires_at):
    make, fired, _ = made
    marks = make(phase(name))
    seen = []
    with marks.inside("checkpoint", "TRUNCATE"):
        seen.append(len(fired))
    marks.enter("close")
    seen.append(len(fired))
    with marks.inside("checkpoint", "PASSIVE"):
        seen.append(len(fired))
    marks.enter("checkpoint", "TRUNCATE")
    seen.append(len(fired))
    marks.leave("checkpoint", "TRUNCATE")
    seen.append(len(fired))
    assert seen == [0] * fires_at + [1] * (5 - fires_at)


def test_many_threads_fire_once(made):
    make, fired, _ = made
    marks = make(Trigger(Moment.ACK, n=50))
    start = threading.Barrier(5)

    def work():
        start.wait()
        for _ in range(40):
            step(marks)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fired) == 1


def test_without_a_trigger_nothing_fires(made):
    make, fired, _ = made
    marks = make(None)
    marks.start()
    step(marks)
    assert not fired
