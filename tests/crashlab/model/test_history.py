import itertools

import pytest

from crashlab.model.history import Ended, EndKind, History, PhaseRecord, StepRecord, StepState
from crashlab.model.phase import Phase, death_phases

KILLED = Ended(EndKind.SIGNALLED, 9)


def step(seq, begin, end=0, state=None, process=0, lane="main"):
    state = state or (StepState.ACKED if end else StepState.OPEN)
    return StepRecord(lane, process, seq, state, (), begin, begin, end, end)


def phase(name, enter, leave=0, detail="", process=0, thread=1):
    return PhaseRecord(name, process, thread, enter, enter, leave, detail)


def history(steps=(), phases=()):
    return History("case", tuple(steps), tuple(phases), (), KILLED)


def test_real_time_order_needs_an_ack_before_the_other_began():
    early, later, overlapping = step(1, 10, 20), step(2, 21, 30), step(3, 15, 40)
    assert early.ended_before(later)
    assert not later.ended_before(early)
    assert not early.ended_before(overlapping)
    assert not step(4, 5).ended_before(later)
    assert not step(5, 5, 6, StepState.REFUSED).ended_before(later)


def test_within_one_process_the_sequence_decides_and_across_processes_the_clock():
    first = StepRecord("a", 0, 1, StepState.ACKED, (), 10, 1, 50, 2)
    second = StepRecord("a", 0, 2, StepState.ACKED, (), 50, 3, 60, 4)
    elsewhere = StepRecord("b", 1, 1, StepState.ACKED, (), 50, 0, 60, 1)
    assert first.ended_before(second)
    assert not first.ended_before(elsewhere)


def test_acked_steps_come_in_the_order_of_their_acks():
    steps = [step(1, 1, 9), step(2, 2, 5), step(3, 3), step(4, 6, 7)]
    assert [s.seq for s in history(steps).acked] == [2, 4, 1]


def test_open_phases_are_those_of_the_writer_that_were_never_left():
    phases = [phase("close", 1), phase("checkpoint", 2, 3), phase("commit", 4), phase("commit", 5, process=1)]
    assert [p.name for p in history(phases=phases).open_phases()] == ["close", "commit"]


START = phase("start-up", 1, 2)


@pytest.mark.parametrize(
    ("steps", "phases", "died_in"),
    [
        ([], [phase("start-up", 1)], [Phase.START_UP]),
        ([], [phase("start-up", 1), phase("commit", 2)], [Phase.START_UP]),
        ([], [phase("start-up", 1), phase("checkpoint", 2)], [Phase.START_UP, Phase.CHECKPOINT]),
        ([], [START], [Phase.BETWEEN]),
        ([step(1, 3, 9)], [START, phase("commit", 4, 5)], [Phase.BETWEEN]),
        ([step(1, 3)], [START], [Phase.STEP]),
        ([step(1, 3)], [START, phase("commit", 4)], [Phase.COMMIT]),
        ([step(1, 3)], [START, phase("commit", 4, 5)], [Phase.COMMIT_ACK]),
        ([step(1, 3, 6), step(2, 7)], [START, phase("commit", 4, 5)], [Phase.STEP]),
        ([step(1, 3, process=1)], [START, phase("commit", 4, 5)], [Phase.BETWEEN]),
        ([step(1, 3)], [START, phase("checkpoint", 4, thread=2)], [Phase.CHECKPOINT]),
        ([step(1, 3)], [START, phase("checkpoint", 4, thread=2), phase("commit", 5)], [Phase.CHECKPOINT, Phase.COMMIT]),
        ([], [START, phase("close", 4)], [Phase.CLOSE_BEFORE]),
        ([], [START, phase("close", 4), phase("checkpoint", 5, 0, "PASSIVE")], [Phase.CLOSE_BEFORE]),
        ([], [START, phase("close", 4), phase("checkpoint", 5, 0, "TRUNCATE")], [Phase.CLOSE_TRUNCATE]),
        ([], [START, phase("close", 4), phase("checkpoint", 5, 6, "TRUNCATE")], [Phase.CLOSE_AFTER]),
        ([], [START, phase("checkpoint", 3, 4, "TRUNCATE"), phase("close", 5)], [Phase.CLOSE_BEFORE]),
        ([], [START, phase("close", 4, 5)], []),
        ([step(1, 2)], [START, phase("commit", 3, 4), phase("close", 5, 6)], []),
    ],
)
def test_where_the_writer_died_is_read_off_its_marks(steps, phases, died_in):
    assert list(death_phases(history(steps, phases))) == died_in


def test_a_second_checkpoint_in_close_starts_the_phase_again():
    marks = itertools.count(4)
    phases = [START, phase("close", next(marks)), phase("checkpoint", next(marks), 99, "TRUNCATE")]
    phases.append(phase("checkpoint", next(marks), 0, "TRUNCATE"))
    assert death_phases(history(phases=phases)) == (Phase.CLOSE_TRUNCATE,)
