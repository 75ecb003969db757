"""Whether a fault fired is told by the wait status and the log, whatever was intended."""

import pytest

from crashlab.faults.fault import parse_fault
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History, NoteRecord


def history(*notes: str) -> History:
    return History("case", (), (), tuple(NoteRecord(1, 0, text) for text in notes), Ended(EndKind.EXITED, 0))


def exited(code, **more):
    return Ended(EndKind.EXITED, code, **more)


def signalled(code, **more):
    return Ended(EndKind.SIGNALLED, code, **more)


OVERDUE = Ended(EndKind.DEADLINE, 9)
CRASHED_OF_EIO = "crashed: Traceback …\nOSError: [Errno 5] Input/output error"


@pytest.mark.parametrize(
    ("fault", "ended", "notes", "fired", "how"),
    [
        ("none", exited(0), (), True, "ran to its end"),
        ("none", exited(70), (), False, "exited with code 70"),
        ("none", signalled(11), (), False, "ended by signal 11"),
        ("none", OVERDUE, (), False, "at its deadline"),
        ("kill@ack#3", signalled(9), ("fired: kill",), True, "killed by signal 9"),
        ("kill@ack#3", signalled(9), (), False, "ended by signal 9"),  # somebody else's kill: the OOM killer's, say
        ("kill@ack#3", signalled(11), ("fired: kill",), False, "ended by signal 11"),
        ("kill@ack#3 delay=9s", exited(0), ("fired: kill",), False, "exited with code 0"),
        ("kill@ack#3", exited(0), (), False, "exited with code 0"),
        ("kill@ack#3", OVERDUE, ("fired: kill",), False, "at its deadline"),
        ("hangup@ack#3", signalled(1, hung_up=True), ("fired: hangup",), True, "ended by SIGHUP"),
        ("hangup@ack#3", signalled(1), ("fired: hangup",), False, "never closed"),
        ("hangup@ack#3", signalled(1, hung_up=True), (), False, "never closed"),
        ("hangup@ack#3", signalled(9, hung_up=True, grace_kill=True), ("fired: hangup",), True, "end of the grace"),
        ("hangup@ack#3", signalled(9, hung_up=True), ("fired: hangup",), False, "another reason"),
        ("hangup@ack#3", signalled(11, hung_up=True), ("fired: hangup",), False, "another reason"),
        ("hangup@ack#3", exited(0, hung_up=True), ("fired: hangup", "hang-up: handled"), True, "its own handler"),
        ("hangup@ack#3", exited(0, hung_up=True), ("fired: hangup",), False, "another reason"),
        ("hangup@ack#3", exited(70, hung_up=True), ("fired: hangup", CRASHED_OF_EIO), True, "EIO"),
        ("hangup@ack#3", exited(70, hung_up=True), ("fired: hangup", "crashed: KeyError"), False, "another reason"),
        ("hangup@ack#3", Ended(EndKind.DEADLINE, 9, hung_up=True), ("fired: hangup",), False, "at its deadline"),
        ("damage@main", exited(0), (), True, "flipped"),
        ("damage@main", signalled(9), (), False, "not as planned"),
        ("damage@main after=ack#3", signalled(9), ("fired: kill",), True, "flipped"),
        ("damage@main after=ack#3", exited(0), (), False, "not as planned"),
        ("damage@main after=ack#3", signalled(9), (), False, "not as planned"),
    ],
)
def test_fired_or_not_and_in_which_words(fault, ended, notes, fired, how):
    firing = parse_fault(fault).fired(ended, history(*notes), "flipped bit 0 of byte 0 of state.db")
    assert firing.fired is fired
    assert how in firing.how


def test_damage_that_changed_nothing_did_not_fire():
    firing = parse_fault("damage@wal+99999").fired(exited(0), history(), "")
    assert not firing.fired
    assert "nothing to damage at damage@wal+99999" in firing.how


@pytest.mark.parametrize(
    ("fault", "fault_class"),
    [
        ("none", FaultClass.NONE),
        ("kill@ack", FaultClass.PROCESS_DEATH),
        ("hangup@ack", FaultClass.PROCESS_DEATH),
        ("damage@main", FaultClass.INTERFERENCE),
    ],
)
def test_every_claim_names_its_class(fault, fault_class):
    assert parse_fault(fault).fault_class is fault_class


def test_the_trigger_and_the_terminal_are_as_written():
    kill = parse_fault("kill@phase=checkpoint#2 delay=1ms")
    assert (kill.trigger().phase, kill.trigger().n, kill.trigger().delay_us) == ("checkpoint", 2, 1000)
    assert kill.hangup() is None
    hangup = parse_fault("hangup@ack#5 on=print grace=200ms")
    assert (hangup.trigger().action, hangup.trigger().n) == ("hangup", 5)
    assert (hangup.hangup().on, hangup.hangup().grace_s) == ("print", 0.2)
    assert parse_fault("damage@main").trigger() is None
    assert parse_fault("damage@main after=ack#4").trigger().n == 4
    assert parse_fault("none").trigger() is None
