from pathlib import Path

import pytest

from crashlab.errors import RecordError
from crashlab.log.format import Kind
from crashlab.log.history import build_history
from crashlab.log.reader import merge, read_log
from crashlab.log.writer import LogWriter
from crashlab.model.history import Ended, EndKind, StepState
from crashlab.model.step import Effect

KILLED = Ended(EndKind.SIGNALLED, 9)


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return LogWriter(str(tmp_path / "log.0"))


def history(*logs: LogWriter):
    return build_history("case", merge([list(read_log(log.base)) for log in logs]), KILLED)


def effect(key: int, value: object = "v") -> Effect:
    return Effect("t", (key,), None if value is None else (value,))


def test_an_acked_step_has_the_effects_that_happened(log):
    for seq, happened in enumerate((None, (effect(2),), ())):
        log.begin("main", seq, (effect(1), effect(2)))
        log.ack("main", seq, happened)
    steps = history(log).steps
    assert [s.state for s in steps] == [StepState.ACKED] * 3
    assert [s.effects for s in steps] == [(effect(1), effect(2)), (effect(2),), ()]
    assert all(s.begin_seq < s.end_seq and s.begin_ns <= s.end_ns for s in steps)


def test_refused_and_open_steps_keep_what_may_have_happened(log):
    log.begin("main", 1, (effect(1, None),))
    log.refused("main", 1, "OperationalError: disk I/O error")
    log.begin("main", 2, (effect(1, b"\xff"),))
    refused, running = history(log).steps
    assert (refused.state, refused.effects, refused.error) == (
        StepState.REFUSED,
        (effect(1, None),),
        "OperationalError: disk I/O error",
    )
    assert (running.state, running.effects, running.end_ns) == (StepState.OPEN, (effect(1, b"\xff"),), 0)


def test_lanes_and_processes_number_their_steps_apart(log, tmp_path):
    other = LogWriter(str(tmp_path / "log.1"), process=1)
    for writer, lane in ((log, "a"), (log, "b"), (other, "a")):
        writer.begin(lane, 1, ())
        writer.ack(lane, 1, None)
    assert sorted((s.process, s.lane, s.seq) for s in history(log, other).steps) == [
        (0, "a", 1),
        (0, "b", 1),
        (1, "a", 1),
    ]


def test_phases_nest_and_stay_open_where_the_process_died(log):
    log.enter("close")
    log.enter("checkpoint", "PASSIVE")
    log.leave("checkpoint", "PASSIVE: 0|3|3")
    log.enter("checkpoint", "TRUNCATE")
    phases = history(log).phases
    assert [(p.name, p.detail, bool(p.leave_ns)) for p in phases] == [
        ("close", "", False),
        ("checkpoint", "PASSIVE: 0|3|3", True),
        ("checkpoint", "TRUNCATE", False),
    ]


def test_a_leave_without_an_enter_is_no_phase(log):
    log.leave("commit")
    assert history(log).phases == ()


def test_notes_settings_and_the_mark_of_the_crash_point(log):
    log.note("hello")
    log.setting("synchronous", "2")
    log.setting("synchronous", "1")
    log.fired("kill")
    found = history(log)
    assert [note.text for note in found.notes] == ["hello", "fired: kill"]
    assert found.settings == {"synchronous": "1"}
    assert found.last_ns == found.notes[-1].ns


def test_records_of_the_trace_are_passed_over(log):
    log.append(32, b"anything")
    log.note("hello")
    assert len(history(log).notes) == 1


def test_a_step_that_begins_twice_is_refused_since_it_would_hide_the_first_ack(log):
    log.begin("main", 1, (effect(1),))
    log.ack("main", 1, None)
    log.begin("main", 1, (effect(2),))
    with pytest.raises(RecordError, match="step 1 of lane 'main' began twice"):
        history(log)


def test_an_ack_without_a_begin_is_refused(log):
    log.ack("main", 4, None)
    with pytest.raises(RecordError, match="step 4 of lane 'main' ended without a begin"):
        history(log)


@pytest.mark.parametrize("kind", [Kind.BEGIN, Kind.ACK, Kind.REFUSED, Kind.ENTER, Kind.LEAVE, Kind.NOTE, Kind.SETTING])
@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_payload_of_the_wrong_form_is_refused(log, kind, payload):
    log.append(kind, payload)
    with pytest.raises(RecordError, match="wrong form"):
        history(log)
