"""The trace's records: written by the real log, read back as operations."""

import pytest

from crashlab.errors import RecordError
from crashlab.log.format import Kind
from crashlab.log.operations import Op, read_trace
from crashlab.log.reader import read_log
from crashlab.log.record import Record
from crashlab.log.trace import DIRSYNC_BIT, DONE, HEAD, Role, TraceKind, encode_name, rename_payload, start_payload
from crashlab.log.writer import LogWriter


def write(log: LogWriter, kind: TraceKind, payload: bytes, rc: int | None = 0) -> int:
    seq = log.append(kind, payload)
    if rc is not None:
        log.append(TraceKind.DONE, DONE.pack(seq, rc))
    return seq


def test_every_kind_round_trips_through_a_log_file(tmp_path):
    log = LogWriter(str(tmp_path / "log"))
    create = start_payload(TraceKind.CREATE, file=1, flags=0x80006, role=Role.WAL, tail=b"a.db-wal")
    write(log, TraceKind.CREATE, create)
    log.begin("lane", 1, ())
    write(log, TraceKind.WRITE, start_payload(TraceKind.WRITE, file=1, offset=32, tail=b"bytes"))
    write(log, TraceKind.TRUNCATE, start_payload(TraceKind.TRUNCATE, file=1, offset=7), rc=1546)
    write(log, TraceKind.SYNC, start_payload(TraceKind.SYNC, file=1, flags=2 | DIRSYNC_BIT))
    write(log, TraceKind.CLOSE, start_payload(TraceKind.CLOSE, file=1))
    write(
        log,
        TraceKind.DELETE,
        start_payload(TraceKind.DELETE, flags=DIRSYNC_BIT, role=Role.WAL, tail=b"a.db-wal"),
    )
    write(log, TraceKind.RENAME, rename_payload("ä.tmp", "é.json"))
    write(log, TraceKind.DIRSYNC, start_payload(TraceKind.DIRSYNC, tail=b"."))
    write(
        log, TraceKind.OPEN, start_payload(TraceKind.OPEN, file=2, role=Role.MAIN, tail=encode_name("x\udcff")), rc=None
    )
    log.close()
    ops = list(read_trace(read_log(str(tmp_path / "log"))))
    assert " ".join(op.kind.name for op in ops) == "CREATE WRITE TRUNCATE SYNC CLOSE DELETE RENAME DIRSYNC OPEN"
    created, written, cut, synced, closed, deleted, renamed, dirsynced, opened = ops
    assert (created.path, created.role, created.flags, created.rc) == ("a.db-wal", Role.WAL, 0x80006, 0)
    assert (written.path, written.offset, written.data, written.role) == ("a.db-wal", 32, b"bytes", Role.WAL)
    assert (written.seq_start, written.seq_done) == (3, 4)
    assert (cut.offset, cut.rc, cut.succeeded) == (7, 1546, False)
    assert (synced.flags, synced.dirsync) == (2, True)
    assert closed.succeeded
    assert (deleted.path, deleted.dirsync, deleted.file, deleted.role) == ("a.db-wal", True, 0, Role.WAL)
    assert (renamed.path, renamed.target) == ("ä.tmp", "é.json")
    assert dirsynced.path == "."
    assert (opened.path, opened.seq_done, opened.rc) == ("x\udcff", None, None)


def record(seq: int, kind: int, payload: bytes, process: int = 0) -> Record:
    return Record(process, seq, seq, 1, kind, payload)


OPEN_1 = start_payload(TraceKind.OPEN, file=1, role=Role.MAIN, tail=b"a")


def test_operations_come_in_the_order_of_their_starts():
    records = [
        record(0, TraceKind.OPEN, OPEN_1),
        record(1, TraceKind.DONE, DONE.pack(0, 0)),
        record(2, TraceKind.SYNC, HEAD.pack(1, 2, 0)),
        record(3, TraceKind.WRITE, HEAD.pack(1, 0, 9) + b"w"),
        record(4, TraceKind.DONE, DONE.pack(3, 0)),
        record(5, TraceKind.DONE, DONE.pack(2, 0)),
    ]
    ops = list(read_trace(records))
    assert [(op.kind, op.seq_done) for op in ops] == [
        (TraceKind.OPEN, 1),
        (TraceKind.SYNC, 5),
        (TraceKind.WRITE, 4),
    ]


def test_operations_are_yielded_as_soon_as_they_are_finished():
    def forever():
        yield record(0, TraceKind.OPEN, OPEN_1)
        yield record(1, TraceKind.DONE, DONE.pack(0, 0))
        raise AssertionError("read on although an operation was complete")

    assert next(read_trace(forever())).path == "a"


def test_files_of_two_processes_are_told_apart():
    other = start_payload(TraceKind.OPEN, file=1, role=Role.WAL, tail=b"b")
    ops: list[Op] = list(
        read_trace(
            [
                record(0, TraceKind.OPEN, OPEN_1, 0),
                record(0, TraceKind.OPEN, other, 1),
                record(1, TraceKind.WRITE, HEAD.pack(1, 0, 0) + b"x", 1),
                record(2, TraceKind.DONE, DONE.pack(1, 0), 1),
            ]
        )
    )
    assert [(op.process, op.path, op.rc) for op in ops] == [(0, "a", None), (1, "b", None), (1, "b", 0)]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([record(0, TraceKind.DONE, DONE.pack(7, 0))], "ends operation 7, which never began"),
        ([record(0, TraceKind.WRITE, HEAD.pack(3, 0, 0))], "file 3, which was never opened"),
        ([record(0, TraceKind.WRITE, b"short")], "too short"),
        ([record(0, 60, b"")], "kind 60, which this crashlab does not know"),
        ([record(0, TraceKind.OPEN, HEAD.pack(1, 0, 99) + b"a")], "names role 99"),
    ],
)
def test_damaged_traces_are_refused_in_one_line(records, says):
    with pytest.raises(RecordError, match=says) as caught:
        list(read_trace(records))
    assert "\n" not in str(caught.value)


def test_the_kinds_leave_those_of_the_log_alone():
    assert not {int(kind) for kind in TraceKind} & {int(kind) for kind in Kind}
    assert list(read_trace([record(0, Kind.NOTE, b"\xa1x")])) == []
