"""A recording is whole when its replay is what the disk has; every difference is named."""

import os

import pytest
from recordings import commits, record
from test_trace import Tape

from crashlab.errors import LabError
from crashlab.log.trace import HEAD, Role, TraceKind, rename_payload, start_payload
from crashlab.states.replay import compare_with_disk, require_same


@pytest.fixture
def compare(tmp_path):
    numbers = iter(range(100))

    def compared(trace, disk):
        scratch = tmp_path / f"scratch{next(numbers)}"
        scratch.mkdir()
        return [str(difference) for difference in compare_with_disk(trace, disk, scratch)]

    return compared


WORKLOADS = {
    "wal": commits(5),
    "checkpoints": commits(9, synchronous="normal", autocheckpoint=5),
    "off": commits(5, synchronous="off"),
    "delete": commits(4, journal="delete"),
    "truncate": commits(4, journal="truncate"),
    "persist": commits(4, journal="persist"),
    "memory": commits(4, journal="memory"),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_whole_recording_replays_to_the_disk(tmp_path, compare, name):
    recording = record(tmp_path / "r", WORKLOADS[name])
    assert compare(recording.trace, recording.run) == []


def damaged(run, how):
    database = run / "a.db"
    match how:
        case "byte":
            data = bytearray(database.read_bytes())
            data[5000] ^= 1
            database.write_bytes(data)
            return "a.db: differs from the replay at byte 5000"
        case "longer":
            size = database.stat().st_size
            with database.open("ab") as file:
                file.write(b"x")
            return f"a.db: {size + 1} bytes on the disk, {size} in the replay"
        case "gone":
            database.unlink()
            return "a.db: not on the disk; the recording left it there"
        case "sidecar":
            (run / "a.db-wal").write_bytes(b"x")
            return "a.db-wal: on the disk; the recording doesn't have it"
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["byte", "longer", "gone", "sidecar"])
def test_a_difference_is_an_error_by_name(tmp_path, compare, how):
    recording = record(tmp_path / "r", commits(5))
    says = damaged(recording.run, how)
    assert compare(recording.trace, recording.run) == [says]
    scratch = tmp_path / "x"
    scratch.mkdir()
    with pytest.raises(LabError, match="the recording is not whole, so it proves nothing") as caught:
        require_same(recording.trace, recording.run, scratch)
    assert says in str(caught.value)


def test_the_wal_index_is_left_out(tmp_path, compare):
    recording = record(tmp_path / "r", commits(5))
    (recording.run / "a.db-shm").write_bytes(b"anything")
    assert compare(recording.trace, recording.run) == []


def written(tape, disk, contents):
    disk.mkdir(exist_ok=True)
    for name in os.listdir(disk):
        (disk / name).unlink()
    for name, data in contents.items():
        (disk / name).write_bytes(data)
    return tape.trace()


@pytest.mark.parametrize(
    ("there", "fits"),
    [
        (b"abcdefgh", True),  # absent
        (b"abXYZWgh", True),  # whole
        (b"abXYefgh", True),  # a prefix
        (b"abcYZWgh", False),  # a suffix
        (b"abXYefgH", False),
        (b"abXYZW", False),
    ],
)
def test_an_unfinished_write_is_absent_whole_or_a_prefix(tmp_path, compare, there, fits):
    tape = Tape()
    tape.create(1, "f")
    tape.write(1, 0, b"abcdefgh")
    tape.start(TraceKind.WRITE, HEAD.pack(1, 0, 2) + b"XYZW")
    assert (compare(written(tape, tmp_path / "disk", {"f": there}), tmp_path / "disk") == []) == fits


@pytest.mark.parametrize(
    ("there", "fits"),
    [(b"ab", True), (b"abX", True), (b"abXYZ", True), (b"abXYZW", False), (b"abYZ", False), (b"a", False)],
)
def test_an_unfinished_write_may_have_made_the_file_longer(tmp_path, compare, there, fits):
    tape = Tape()
    tape.create(1, "f")
    tape.write(1, 0, b"ab")
    tape.start(TraceKind.WRITE, HEAD.pack(1, 0, 2) + b"XYZ")
    assert (compare(written(tape, tmp_path / "disk", {"f": there}), tmp_path / "disk") == []) == fits


@pytest.mark.parametrize(("there", "fits"), [(b"abcd", True), (b"ab", True), (b"abc", False)])
def test_an_unfinished_truncation_is_absent_or_whole(tmp_path, compare, there, fits):
    tape = Tape()
    tape.create(1, "f")
    tape.write(1, 0, b"abcd")
    tape.start(TraceKind.TRUNCATE, HEAD.pack(1, 0, 2))
    assert (compare(written(tape, tmp_path / "disk", {"f": there}), tmp_path / "disk") == []) == fits


@pytest.mark.parametrize(
    ("there", "fits"),
    [({"old": b"x"}, True), ({"new": b"x"}, True), ({}, False), ({"old": b"x", "new": b"y"}, False)],
)
def test_an_unfinished_rename_is_absent_or_whole(tmp_path, compare, there, fits):
    tape = Tape()
    tape.create(1, "old")
    tape.write(1, 0, b"x")
    tape.start(TraceKind.RENAME, rename_payload("old", "new"))
    assert (compare(written(tape, tmp_path / "disk", there), tmp_path / "disk") == []) == fits


@pytest.mark.parametrize("there", [{}, {"f": b"x"}])
def test_an_unfinished_create_or_delete_may_be_either(tmp_path, compare, there):
    tape = Tape()
    tape.create(1, "f")
    tape.write(1, 0, b"x")
    tape.start(TraceKind.DELETE, start_payload(TraceKind.DELETE, role=Role.PLAIN, tail=b"f"))
    assert compare(written(tape, tmp_path / "disk", there), tmp_path / "disk") == []
    tape = Tape()
    tape.start(TraceKind.CREATE, start_payload(TraceKind.CREATE, file=1, role=Role.PLAIN, tail=b"f"))
    assert compare(written(tape, tmp_path / "disk", {"f": b""} if there else {}), tmp_path / "disk") == []


@pytest.mark.parametrize(("there", "fits"), [(b"ab??ef", True), (b"abcdef", True), (b"ab??eF", False)])
def test_a_failed_write_may_have_left_any_part_of_its_bytes(tmp_path, compare, there, fits):
    tape = Tape()
    tape.create(1, "f")
    tape.write(1, 0, b"abcdef")
    tape.write(1, 2, b"XY", rc=778)
    assert (compare(written(tape, tmp_path / "disk", {"f": there}), tmp_path / "disk") == []) == fits
