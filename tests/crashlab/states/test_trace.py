"""Recorded operations as columns: names and inodes, order under concurrency, memory."""

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from recordings import commits, record

from crashlab.errors import RecordError
from crashlab.log.record import Record
from crashlab.log.trace import DIRSYNC_BIT, DONE, HEAD, Role, TraceKind, rename_payload, start_payload
from crashlab.log.writer import LogWriter
from crashlab.states.pending import epochs
from crashlab.states.state import CrashState, resolve
from crashlab.states.trace import load_trace, trace_of


class Tape:
    """Records written by hand. `start` leaves an operation under way, `done` ends it."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def start(self, kind, payload, process=0):
        seq = sum(record.process == process for record in self.records)
        self.records.append(Record(process, seq, len(self.records), 1, int(kind), payload))
        return process, seq

    def done(self, started, rc=0):
        process, seq = started
        self.start(TraceKind.DONE, DONE.pack(seq, rc), process)

    def do(self, kind, payload, rc=0, process=0):
        self.done(self.start(kind, payload, process), rc)

    def create(self, file, name, role=Role.PLAIN, **options):
        self.do(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=file, role=role, tail=name.encode()), **options)

    def open(self, file, name, role=Role.PLAIN, **options):
        self.do(TraceKind.OPEN, start_payload(TraceKind.OPEN, file=file, role=role, tail=name.encode()), **options)

    def write(self, file, offset, data, **options):
        self.do(TraceKind.WRITE, HEAD.pack(file, 0, offset) + data, **options)

    def sync(self, file, *, directory=False):
        self.do(TraceKind.SYNC, HEAD.pack(file, DIRSYNC_BIT if directory else 0, 0))

    def delete(self, name, *, directory=False):
        self.do(
            TraceKind.DELETE,
            start_payload(TraceKind.DELETE, flags=DIRSYNC_BIT if directory else 0, tail=name.encode()),
        )

    def trace(self, **options):
        return trace_of(self.records, **options)


def pending(trace):
    """What is pending at the end, described without numbers, and the durable names."""
    *_, last = epochs(trace)
    return [trace.describe(op).split(" ", 1)[1] for op in last.pending], sorted(last.names)


def test_a_sync_settles_its_own_file_only():
    tape = Tape()
    tape.create(1, "a")
    tape.create(2, "b")
    tape.write(1, 0, b"one")
    tape.write(2, 0, b"two")
    tape.sync(1)
    assert pending(tape.trace()) == (["create a", "create b", "write b 0+3"], [])
    tape.sync(2, directory=True)
    assert pending(tape.trace()) == ([], ["a", "b"])


def test_a_directory_sync_settles_entries_and_no_bytes():
    tape = Tape()
    tape.create(1, "a.tmp")
    tape.write(1, 0, b"one")
    tape.do(TraceKind.RENAME, rename_payload("a.tmp", "a"))
    tape.create(2, "sub/c")
    assert pending(tape.trace())[0] == ["create a.tmp", "write a.tmp 0+3", "rename a.tmp to a", "create sub/c"]
    tape.do(TraceKind.DIRSYNC, start_payload(TraceKind.DIRSYNC, tail=b"."))
    assert pending(tape.trace()) == (["write a.tmp 0+3", "create sub/c"], ["a"])


def test_a_deleted_file_is_pending_until_its_directory_is_synced():
    tape = Tape()
    tape.create(1, "j", Role.JOURNAL)
    tape.write(1, 0, b"x")
    tape.sync(1, directory=True)
    tape.write(1, 1, b"late")
    tape.delete("j")
    tape.create(2, "j", Role.JOURNAL)
    tape.write(2, 0, b"next")
    trace = tape.trace()
    assert pending(trace) == (["write j 1+4", "delete j", "create j", "write j 0+4"], ["j"])
    assert trace.files[0] != trace.files[1] or len(trace.files) == 2
    tape.sync(2, directory=True)
    assert pending(tape.trace()) == ([], ["j"])


def test_a_delete_asked_to_syncs_the_directory():
    tape = Tape()
    tape.create(1, "j", Role.JOURNAL)
    tape.write(1, 0, b"x")
    tape.delete("j", directory=True)
    assert pending(tape.trace()) == ([], [])


def test_failed_operations_change_nothing_and_unfinished_ones_may():
    tape = Tape()
    tape.create(1, "a")
    tape.write(1, 0, b"failed", rc=778)
    tape.do(TraceKind.DELETE, start_payload(TraceKind.DELETE, tail=b"not there"), rc=5898)
    tape.start(TraceKind.WRITE, HEAD.pack(1, 0, 0) + b"under way")
    trace = tape.trace()
    assert pending(trace)[0] == ["create a", "write a 0+9"]
    assert trace.unfinished == [3]
    assert [inode for _, inode in trace.failed_writes] == [0]


def test_what_was_written_during_a_sync_is_not_settled_by_it():
    tape = Tape()
    tape.create(1, "a")
    tape.write(1, 0, b"before")
    sync = tape.start(TraceKind.SYNC, HEAD.pack(1, 0, 0))
    tape.write(1, 10, b"during")
    tape.done(sync)
    tape.write(1, 20, b"after")
    trace = tape.trace()
    assert pending(trace)[0] == ["create a", "write a 10+6", "write a 20+5"]
    # The sync counts from when it returned: a crash before that has nothing settled.
    kinds = [trace.kinds[op] for op in range(len(trace))]
    assert kinds == [TraceKind.CREATE, TraceKind.WRITE, TraceKind.WRITE, TraceKind.SYNC, TraceKind.WRITE]


def test_writes_of_one_range_at_once_are_refused():
    tape = Tape()
    tape.create(1, "a")
    tape.open(1, "a", process=1)
    one = tape.start(TraceKind.WRITE, HEAD.pack(1, 0, 0) + b"0123456789")
    tape.write(1, 20, b"elsewhere", process=1)
    tape.done(one)
    tape.trace()
    one = tape.start(TraceKind.WRITE, HEAD.pack(1, 0, 0) + b"0123456789")
    tape.write(1, 5, b"over it", process=1)
    tape.done(one)
    with pytest.raises(RecordError, match="wrote the same range of 'a' at once"):
        tape.trace()


def test_a_file_from_before_the_recording_needs_its_contents(tmp_path):
    tape = Tape()
    tape.open(1, "old.db", Role.MAIN)
    tape.write(1, 2, b"XX")
    with pytest.raises(RecordError, match="held something before the recording began"):
        tape.trace()
    (tmp_path / "old.db").write_bytes(b"0123456")
    trace = tape.trace(initial=tmp_path)
    assert trace.files[0].role is Role.MAIN
    assert pending(trace) == (["write old.db 2+2"], ["old.db"])
    *_, last = epochs(trace)
    assert resolve(trace, last, CrashState("kill", len(trace))).data == ((1, None),)


def test_what_is_no_part_of_the_states_is_left_out_by_name():
    tape = Tape()
    tape.create(1, "a.db-shm", Role.SHM)
    tape.create(2, "/var/tmp/etilqs_x", Role.OTHER)
    tape.create(3, "../up", Role.PLAIN)
    tape.write(2, 0, b"x")
    tape.write(1, 0, b"x")
    trace = tape.trace()
    assert trace.left_out == {"/var/tmp/etilqs_x", "../up"}
    assert pending(trace) == ([], [])


@pytest.mark.parametrize("what", ["truncated", "other", "newer", "missing", "damaged"])
def test_logs_that_are_none_are_refused_in_one_line(tmp_path, what):
    log = LogWriter(str(tmp_path / "log"))
    log.append(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=1, tail=b"a"))
    log.close()
    path = tmp_path / "log.0000"
    data = bytearray(path.read_bytes())
    match what:
        case "truncated":
            path.write_bytes(data[:100])
        case "other":
            path.write_bytes(b"SQLite f" + data[8:])
        case "newer":
            data[8] = 99
            path.write_bytes(data)
        case "missing":
            path.unlink()
        case "damaged":
            data[64:68] = b"\xff\xff\xff\x7f"
            path.write_bytes(data)
    with pytest.raises(RecordError) as caught:
        load_trace([str(tmp_path / "log")])
    assert "\n" not in str(caught.value)


def test_two_logs_of_one_run_are_merged_by_time(tmp_path):
    one = LogWriter(str(tmp_path / "one"), process=0)
    two = LogWriter(str(tmp_path / "two"), process=1)
    started = one.append(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=1, role=Role.PLAIN, tail=b"a"))
    one.append(TraceKind.DONE, DONE.pack(started, 0))
    started = two.append(TraceKind.OPEN, start_payload(TraceKind.OPEN, file=1, role=Role.PLAIN, tail=b"a"))
    two.append(TraceKind.DONE, DONE.pack(started, 0))
    for log, data in ((two, b"x"), (one, b"yy"), (two, b"zzz")):
        started = log.append(TraceKind.WRITE, HEAD.pack(1, 0, 0) + data)
        log.append(TraceKind.DONE, DONE.pack(started, 0))
    one.close()
    two.close()
    trace = load_trace([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [bytes(trace.data(op)) for op in range(len(trace)) if trace.kinds[op] == TraceKind.WRITE] == [
        b"x",
        b"yy",
        b"zzz",
    ]
    assert len(trace.files) == 1


def test_an_ack_counts_from_the_next_operation_on(tmp_path):
    recording = record(tmp_path, commits(3))
    acked = [recording.acked(moment) for moment in range(len(recording.trace) + 1)]
    assert acked == sorted(acked)
    assert (acked[0], acked[-1]) == (0, 3)


BIG = """
import random, sys
from pathlib import Path
from crashlab.log.trace import HEAD, DONE, Role, TraceKind, start_payload
from crashlab.log.writer import LogWriter
from crashlab.states.classes import Classifier
from crashlab.states.models import Model, Policy, make_plan, batches
from crashlab.states.trace import load_trace

directory, megabytes = Path(sys.argv[1]), int(sys.argv[2])
log = LogWriter(str(directory / "log"), segment_bytes=1 << 22, bytes_max=1 << 31)
def do(kind, payload):
    log.append(TraceKind.DONE, DONE.pack(log.append(kind, payload), 0))
do(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=1, role=Role.MAIN, tail=b"a.db"))
do(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=2, role=Role.PLAIN, tail=b"b"))
do(TraceKind.WRITE, HEAD.pack(1, 0, 0) + bytes(4096))
rng = random.Random(1)
page = rng.randbytes(4096)
for number in range(megabytes * 256):
    do(TraceKind.WRITE, HEAD.pack(2, 0, number % 1000 * 4096) + page)
    if number % 7 == 6:
        do(TraceKind.SYNC, HEAD.pack(2, 0, 0))
log.close()
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) // 1024
trace = load_trace([str(directory / "log")])
classifier = Classifier(trace, "a.db")
plan = make_plan(trace, Model(Policy.TORN, states_max=20_000), classifier.outside)
states = sum(len(batch) for batch in batches(trace, plan, random.Random(1)))
print(len(trace), states, anonymous())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("megabytes", [40, pytest.param(1024, marks=pytest.mark.slow)])
def test_memory_is_bounded(tmp_path, megabytes):
    run = subprocess.run(
        [sys.executable, "-c", BIG, str(tmp_path), str(megabytes)],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    operations, states, anonymous = map(int, run.stdout.split())
    assert operations > megabytes * 256
    assert states > 0
    assert anonymous < (150 if megabytes == 40 else 500)


def test_descriptors_are_bounded(tmp_path):
    """A log of many small segments."""
    log = LogWriter(str(tmp_path / "log"), segment_bytes=1 << 12)
    started = log.append(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=1, tail=b"a"))
    log.append(TraceKind.DONE, DONE.pack(started, 0))
    for number in range(1000):
        started = log.append(TraceKind.WRITE, HEAD.pack(1, 0, number * 3000) + bytes([number % 251]) * 3000)
        log.append(TraceKind.DONE, DONE.pack(started, 0))
    log.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 300), hard))
    try:
        trace = load_trace([str(tmp_path / "log")])
        writes = [op for op in range(len(trace)) if trace.kinds[op] == TraceKind.WRITE]
        random.Random(1).shuffle(writes)
        assert all(trace.data(op)[0] == trace.offsets[op] // 3000 % 251 for op in writes)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
